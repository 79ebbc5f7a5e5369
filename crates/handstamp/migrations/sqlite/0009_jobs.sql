-- The jobs that one node runs for all. A node claims a job by setting the time at which it is due again.
CREATE TABLE jobs (
    name         TEXT   NOT NULL PRIMARY KEY,
    due_at       INTEGER NOT NULL,
    succeeded_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
