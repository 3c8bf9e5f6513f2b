-- Who told it, and when: the receiver's clock beside the times that observers tell.

-- When it was told first, and until when it went on as far as it is believed, in nanoseconds since the Unix epoch; null
-- in rows of earlier versions.
ALTER TABLE records ADD COLUMN told_first INTEGER;
ALTER TABLE records ADD COLUMN told_last INTEGER;

DROP VIEW flows;
CREATE VIEW flows AS
    -- records for people: times in RFC 3339, to the millisecond.
    SELECT
        strftime('%Y-%m-%dT%H:%M:%fZ', first / 1e9, 'unixepoch') AS first,
        strftime('%Y-%m-%dT%H:%M:%fZ', last / 1e9, 'unixepoch') AS last,
        strftime('%Y-%m-%dT%H:%M:%fZ', told_first / 1e9, 'unixepoch') AS told_first,
        strftime('%Y-%m-%dT%H:%M:%fZ', told_last / 1e9, 'unixepoch') AS told_last,
        node, source, client, server, port, protocol, verdict, opening,
        nullif(via, '') AS via, nullif(seen_as, '') AS seen_as,
        nullif(client_port, -1) AS client_port, nullif(claims, '') AS claims,
        connections, datagrams, bytes_to_server, bytes_to_client
    FROM records;

CREATE TABLE scans_by_node (
    -- Failed connections of one client beyond those that have rows in records, as one node's agent tells of them.
    node TEXT NOT NULL,               -- '': of a store of an earlier version
    client TEXT NOT NULL,             -- '': of more clients than are told apart
    connections INTEGER NOT NULL,
    addresses INTEGER NOT NULL,
    ports INTEGER NOT NULL,
    samples TEXT NOT NULL,            -- some targets, JSON: [["10.0.0.1:80", "TCP"], …]
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (node, client)
) STRICT, WITHOUT ROWID;
INSERT INTO scans_by_node SELECT '', client, connections, addresses, ports, samples, first, last FROM scans;
DROP TABLE scans;
