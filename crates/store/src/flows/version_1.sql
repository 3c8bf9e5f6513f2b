CREATE TABLE applied (
    -- Which batches have been applied: each run of an agent counts its batches from 1.
    instance TEXT NOT NULL, -- the agent's run, 32 hexadecimal digits
    first INTEGER NOT NULL, -- the first number of an interval
    last INTEGER NOT NULL,  -- its last number
    node TEXT NOT NULL,
    PRIMARY KEY (instance, first)
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    -- One row for all connections between the same ends that began in the same 10 seconds, as one observer
    -- (a source on a node) saw them. Several observers may tell of the same connections: the graph counts
    -- each once, this table does not. Counts end at 2^63 - 1.
    began INTEGER NOT NULL,       -- in units of 10 s since 1970-01-01T00:00:00Z
    node TEXT NOT NULL,
    source TEXT NOT NULL,         -- capture, conntrack, hubble, flow-log
    client TEXT NOT NULL,         -- address
    server TEXT NOT NULL,         -- address, after any translation
    port INTEGER NOT NULL,        -- of the server
    protocol TEXT NOT NULL,       -- TCP, UDP, SCTP
    via TEXT NOT NULL,            -- what the client had called, if that was translated, else ''
    seen_as TEXT NOT NULL,        -- the client's address as the server saw it, if translated, else ''
    client_port INTEGER NOT NULL, -- of a connection without a handshake, else -1
    verdict TEXT NOT NULL,        -- established, one-way, unanswered, refused, dropped
    opening TEXT NOT NULL,        -- what says who the client is: handshake, first-packet, listener, undecided
    claims TEXT NOT NULL,         -- what the source says of the ends, JSON, or ''
    connections INTEGER NOT NULL,
    datagrams INTEGER NOT NULL,
    bytes_to_server INTEGER NOT NULL,
    bytes_to_client INTEGER NOT NULL,
    first INTEGER NOT NULL,       -- nanoseconds since 1970-01-01T00:00:00Z, as all times here
    last INTEGER NOT NULL,
    window_scale INTEGER NOT NULL, -- in which of 128 windows of 2^scale seconds it was active:
    window_base INTEGER NOT NULL,  -- the first one's number
    window_bits BLOB NOT NULL,     -- one bit for each, the first one's is the lowest; 16 bytes, big-endian
    PRIMARY KEY (began, node, source, client, server, port, protocol, via, seen_as, client_port, verdict,
                 opening, claims)
) STRICT, WITHOUT ROWID;

CREATE TABLE scans (
    -- Failed connections of one client beyond those that have rows in records.
    client TEXT NOT NULL PRIMARY KEY, -- '': of more clients than are told apart
    connections INTEGER NOT NULL,
    addresses INTEGER NOT NULL,
    ports INTEGER NOT NULL,
    samples TEXT NOT NULL,            -- some targets, JSON: [["10.0.0.1:80", "TCP"], …]
    first INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE names (
    -- DNS answers: client asked for name and was told address.
    address TEXT NOT NULL,
    name TEXT NOT NULL,
    client TEXT NOT NULL,
    first INTEGER NOT NULL,
    until INTEGER NOT NULL,   -- when the last answer's TTL ended
    PRIMARY KEY (address, name, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE other_traffic (
    -- Packets that no NetworkPolicy can express.
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,       -- group-TCP, group-UDP, group-SCTP, icmp, or protocol-NUMBER
    packets INTEGER NOT NULL,
    PRIMARY KEY (source, destination, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE losses (
    -- What was lost on the way, by reason.
    node TEXT NOT NULL,
    loss TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (node, loss)
) STRICT, WITHOUT ROWID;

CREATE VIEW flows AS
    -- records for people: times in RFC 3339, to the millisecond.
    SELECT
        strftime('%Y-%m-%dT%H:%M:%fZ', first / 1e9, 'unixepoch') AS first,
        strftime('%Y-%m-%dT%H:%M:%fZ', last / 1e9, 'unixepoch') AS last,
        node, source, client, server, port, protocol, verdict, opening,
        nullif(via, '') AS via, nullif(seen_as, '') AS seen_as,
        nullif(client_port, -1) AS client_port, nullif(claims, '') AS claims,
        connections, datagrams, bytes_to_server, bytes_to_client
    FROM records;

CREATE VIEW edges AS
    -- Who called whom, as each observer has it.
    SELECT
        client, server, port, protocol, verdict, node, source,
        sum(connections) AS connections,
        strftime('%Y-%m-%dT%H:%M:%fZ', min(first) / 1e9, 'unixepoch') AS first,
        strftime('%Y-%m-%dT%H:%M:%fZ', max(last) / 1e9, 'unixepoch') AS last
    FROM records
    GROUP BY client, server, port, protocol, verdict, node, source;
