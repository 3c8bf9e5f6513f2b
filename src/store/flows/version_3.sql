-- What a leader that ends at once must not lose: that it was about to take policies away.

CREATE TABLE broken_glass (
    -- Namespaces whose glass was broken and of which the record has no line yet.
    namespace TEXT NOT NULL,
    at INTEGER NOT NULL,      -- nanoseconds since 1970-01-01T00:00:00Z
    reason TEXT NOT NULL,
    policies INTEGER NOT NULL, -- how many were to be taken away
    PRIMARY KEY (namespace, at)
) STRICT, WITHOUT ROWID;

CREATE VIEW broken_glass_view AS
    SELECT namespace, strftime('%Y-%m-%dT%H:%M:%fZ', at / 1e9, 'unixepoch') AS at, reason, policies
    FROM broken_glass;
