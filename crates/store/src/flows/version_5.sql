-- When each node's agent observed, in nanoseconds since the Unix epoch: intervals apart from each other.
CREATE TABLE views (
    node TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (node, first)
) WITHOUT ROWID;
-- Earlier versions kept no such times: what an agent has records of, it observed.
INSERT INTO views SELECT node, min(first), max(last) FROM records WHERE node <> '' GROUP BY node;
