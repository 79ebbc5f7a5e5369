-- How often somebody has guessed. A key stands for what counts together, an account or a network, and is a hash of it.

CREATE TABLE attempts (
    key       BYTEA  NOT NULL PRIMARY KEY,
    -- In this run, since when, and when the last one was.
    count     BIGINT NOT NULL,
    since     BIGINT NOT NULL,
    last_at   BIGINT NOT NULL,
    -- In this day, since when.
    today     BIGINT NOT NULL,
    day_since BIGINT NOT NULL
);

CREATE INDEX attempts_by_age ON attempts (last_at);
-- Where there are too many rows, those with the fewest attempts go first.
CREATE INDEX attempts_by_weight ON attempts (today, last_at);
