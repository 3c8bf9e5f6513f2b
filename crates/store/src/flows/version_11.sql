-- The addresses of each node's own interfaces, as its agent told them last (rule: node-by-address).
CREATE TABLE node_addresses (
    node TEXT NOT NULL PRIMARY KEY,
    told INTEGER NOT NULL,      -- nanoseconds since the Unix epoch
    addresses TEXT NOT NULL     -- with spaces between
) STRICT, WITHOUT ROWID;
