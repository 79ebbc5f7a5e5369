-- How often somebody has guessed. A key stands for what counts together, an account or a network, and is a hash of it.

CREATE TABLE attempts (
    key       BLOB    NOT NULL PRIMARY KEY,
    -- In this run, since when, and when the last one was.
    count     INTEGER NOT NULL,
    since     INTEGER NOT NULL,
    last_at   INTEGER NOT NULL,
    -- In this day, since when.
    today     INTEGER NOT NULL,
    day_since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX attempts_by_age ON attempts (last_at);
-- Where there are too many rows, those with the fewest attempts go first.
CREATE INDEX attempts_by_weight ON attempts (today, last_at);
