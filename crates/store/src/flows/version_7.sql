-- What bounds the store, and lets records be folded without holding up other writers.

CREATE TABLE edge_backlog (
    -- Edges of folded hours that are still to be added to edges and edges_by_hour, in the order of their rows.
    hour INTEGER NOT NULL,   -- in hours since 1970-01-01T00:00:00Z
    client TEXT NOT NULL,
    server TEXT NOT NULL,
    protocol TEXT NOT NULL,
    port INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- When an edge was last seen, in nanoseconds since the Unix epoch: what was not seen for long is forgotten.
ALTER TABLE edges ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
UPDATE edges SET last = coalesce(unixepoch(json_extract(body, '$.edge.last')), 0) * 1000000000;
CREATE INDEX edges_by_last ON edges (last);

CREATE TABLE runs (
    -- When a batch of each run of an agent last came: of the runs of a node the latest ones are kept in applied.
    instance TEXT NOT NULL PRIMARY KEY, -- as in applied
    node TEXT NOT NULL,
    at INTEGER NOT NULL                 -- in seconds since the Unix epoch
) STRICT, WITHOUT ROWID;
INSERT INTO runs SELECT instance, max(node), 0 FROM applied GROUP BY instance;
CREATE TRIGGER run_is_seen AFTER INSERT ON applied
    BEGIN INSERT INTO runs (instance, node, at) VALUES (new.instance, new.node, unixepoch())
    ON CONFLICT DO UPDATE SET at = max(at, excluded.at); END;
