-- What is remembered of a namespace beyond its reviews: refused connections, rejected policies, times without a guard.
-- It outlives workloads and Segmentations.
CREATE TABLE memories (
    namespace TEXT PRIMARY KEY,
    body TEXT NOT NULL -- JSON
) STRICT, WITHOUT ROWID;
