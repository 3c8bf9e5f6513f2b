-- What a leader that ends at once must not lose, and what reports of earlier times need.

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

CREATE TABLE ended_reviews (
    -- Reviews of workloads that went, or of namespaces that are not segmented any more: what was in force before.
    namespace TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    ended_at INTEGER NOT NULL, -- nanoseconds since 1970-01-01T00:00:00Z
    body TEXT NOT NULL,        -- as in reviews
    PRIMARY KEY (namespace, kind, name, ended_at)
) STRICT, WITHOUT ROWID;
