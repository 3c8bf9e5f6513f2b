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
