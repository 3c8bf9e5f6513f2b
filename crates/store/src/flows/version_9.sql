-- Who answered: only an answer of a resolver is a name. Names of before have none, so they are not believed.
CREATE TABLE answered_names (
    -- DNS answers: client asked resolver for name and was told address.
    address TEXT NOT NULL,
    name TEXT NOT NULL,
    client TEXT NOT NULL,
    resolver TEXT NOT NULL,   -- the address of who answered, source (the flow log says it itself), or unknown
    first INTEGER NOT NULL,
    until INTEGER NOT NULL,   -- when the last answer's TTL ended
    PRIMARY KEY (address, name, client, resolver)
) STRICT, WITHOUT ROWID;
INSERT INTO answered_names (address, name, client, resolver, first, until)
    SELECT address, name, client, 'unknown', first, until FROM names;
DROP TABLE names;
ALTER TABLE answered_names RENAME TO names;
