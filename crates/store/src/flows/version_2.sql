-- The controller's state beside the flow records: edges of earlier hours, reviews, decisions, the record.

DROP VIEW edges;
CREATE VIEW flow_edges AS
    -- Who called whom, as each observer has it, in the records that are not folded into edges yet.
    SELECT
        client, server, port, protocol, verdict, node, source,
        sum(connections) AS connections,
        strftime('%Y-%m-%dT%H:%M:%fZ', min(first) / 1e9, 'unixepoch') AS first,
        strftime('%Y-%m-%dT%H:%M:%fZ', max(last) / 1e9, 'unixepoch') AS last
    FROM records
    GROUP BY client, server, port, protocol, verdict, node, source;

CREATE TABLE edges (
    -- Every edge of the folded records, of all time: what records that are deleted were folded into.
    client TEXT NOT NULL,    -- the peer, JSON: {"workload":{"namespace":…,"name":…,"kind":…}}, "api-server", …
    server TEXT NOT NULL,    -- the same
    protocol TEXT NOT NULL,  -- TCP, UDP, SCTP
    port INTEGER NOT NULL,   -- the server's own
    body TEXT NOT NULL,      -- the edge with its evidence, JSON
    PRIMARY KEY (client, server, protocol, port)
) STRICT, WITHOUT ROWID;

CREATE TABLE edges_by_hour (
    -- The same, each for one hour.
    hour INTEGER NOT NULL,   -- in hours since 1970-01-01T00:00:00Z
    client TEXT NOT NULL,
    server TEXT NOT NULL,
    protocol TEXT NOT NULL,
    port INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (hour, client, server, protocol, port)
) STRICT, WITHOUT ROWID;

CREATE TABLE edge_names (
    -- DNS names under which outside addresses of folded edges were looked up.
    address TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (address, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE edge_scans (
    -- Clients whose folded records were a port scan: nothing of it became an edge.
    client TEXT NOT NULL PRIMARY KEY, -- the peer, JSON
    body TEXT NOT NULL                -- what it tried, JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE reviews (
    -- One row for each workload: where its review stands, JSON of the review's own.
    namespace TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (namespace, kind, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    -- Every ProposalDecision that was answered.
    uid TEXT NOT NULL PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    at INTEGER NOT NULL,     -- when it was answered, nanoseconds since 1970-01-01T00:00:00Z
    outcome TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE segments (
    -- Namespaces that are segmented.
    namespace TEXT NOT NULL PRIMARY KEY,
    observing_since INTEGER NOT NULL, -- nanoseconds since 1970-01-01T00:00:00Z
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE departed_pods (
    -- Pods that are gone, and owned their addresses before.
    uid TEXT NOT NULL PRIMARY KEY,
    gone_at INTEGER NOT NULL,         -- nanoseconds since 1970-01-01T00:00:00Z
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE record (
    -- What happened, one line each, chained by hashes: nanoseg record verify.
    sequence INTEGER PRIMARY KEY, -- from 1 on, without gaps
    line TEXT NOT NULL
) STRICT;

CREATE TRIGGER record_grows_at_its_end BEFORE INSERT ON record
    WHEN new.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM record)
    BEGIN SELECT raise(ABORT, 'the record grows at its end only'); END;
CREATE TRIGGER record_is_never_changed BEFORE UPDATE ON record
    BEGIN SELECT raise(ABORT, 'the record is never changed'); END;
CREATE TRIGGER record_is_never_cut BEFORE DELETE ON record
    BEGIN SELECT raise(ABORT, 'the record is never cut'); END;

CREATE VIEW record_head AS
    SELECT sequence, line FROM record ORDER BY sequence DESC LIMIT 1;

CREATE VIEW record_lines AS
    -- record for people, a column for each field that every line has.
    SELECT
        sequence,
        json_extract(line, '$.at') AS at,
        json_extract(line, '$.action') AS action,
        json_extract(line, '$.actor') AS actor,
        json_extract(line, '$.namespace') AS namespace,
        json_extract(line, '$.object') AS object,
        json_extract(line, '$.before') AS before,
        json_extract(line, '$.after') AS after,
        json_extract(line, '$.reason') AS reason,
        line
    FROM record;

CREATE VIEW decisions_view AS
    SELECT
        strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e9, 'unixepoch') AS at,
        namespace, name, outcome, uid, body
    FROM decisions;

CREATE VIEW segments_view AS
    SELECT
        namespace,
        strftime('%Y-%m-%dT%H:%M:%fZ', observing_since / 1e9, 'unixepoch') AS observing_since,
        body
    FROM segments;

CREATE VIEW departed_pods_view AS
    SELECT uid, strftime('%Y-%m-%dT%H:%M:%fZ', gone_at / 1e9, 'unixepoch') AS gone_at, body
    FROM departed_pods;

CREATE VIEW edges_view AS
    -- edges for people: peers by name, times in RFC 3339.
    SELECT
        coalesce(json_extract(client, '$.workload.namespace') || '/' || json_extract(client, '$.workload.name'), client) AS client,
        coalesce(json_extract(server, '$.workload.namespace') || '/' || json_extract(server, '$.workload.name'), server) AS server,
        protocol, port,
        json_extract(body, '$.edge.lesson.kind') AS lesson,
        json_extract(body, '$.edge.first') AS first,
        json_extract(body, '$.edge.last') AS last,
        json_extract(body, '$.edge.verdicts') AS verdicts,
        body
    FROM edges;

CREATE VIEW edges_by_hour_view AS
    SELECT
        strftime('%Y-%m-%dT%H:00:00Z', hour * 3600, 'unixepoch') AS hour,
        coalesce(json_extract(client, '$.workload.namespace') || '/' || json_extract(client, '$.workload.name'), client) AS client,
        coalesce(json_extract(server, '$.workload.namespace') || '/' || json_extract(server, '$.workload.name'), server) AS server,
        protocol, port,
        json_extract(body, '$.edge.lesson.kind') AS lesson,
        json_extract(body, '$.edge.verdicts') AS verdicts,
        body
    FROM edges_by_hour;
