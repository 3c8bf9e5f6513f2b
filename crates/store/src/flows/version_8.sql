-- Which batches have been applied, by node and run: an agent that gives another node's run as its own marks numbers of its
-- own node only.
CREATE TABLE applied_by_node (
    node TEXT NOT NULL,
    instance TEXT NOT NULL, -- the agent's run, 32 hexadecimal digits
    first INTEGER NOT NULL, -- the first number of an interval
    last INTEGER NOT NULL,  -- its last number
    PRIMARY KEY (node, instance, first)
) STRICT, WITHOUT ROWID;

INSERT INTO applied_by_node (node, instance, first, last) SELECT node, instance, first, last FROM applied;

DROP TABLE applied;

ALTER TABLE applied_by_node RENAME TO applied;

CREATE TABLE runs_by_node (
    -- When a batch of each run of a node's agent last came: of the runs of a node the latest ones are kept in applied.
    node TEXT NOT NULL,
    instance TEXT NOT NULL, -- as in applied
    at INTEGER NOT NULL,    -- in seconds since the Unix epoch
    PRIMARY KEY (node, instance)
) STRICT, WITHOUT ROWID;

INSERT INTO runs_by_node (node, instance, at) SELECT node, instance, max(at) FROM runs GROUP BY node, instance;

DROP TABLE runs;

ALTER TABLE runs_by_node RENAME TO runs;

-- The one before went with its table.
CREATE TRIGGER run_is_seen AFTER INSERT ON applied
    BEGIN INSERT INTO runs (node, instance, at) VALUES (new.node, new.instance, unixepoch())
    ON CONFLICT DO UPDATE SET at = max(at, excluded.at); END;
