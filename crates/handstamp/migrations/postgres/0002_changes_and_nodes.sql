-- The log of changes that nodes follow. A writer takes the next position by updating the one row of the counter and so
-- holds that row until it commits: positions have no gaps and are in the order of the commits.

CREATE TABLE change_counter (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    position BIGINT NOT NULL
);

INSERT INTO change_counter (id, position) VALUES (1, 0);

CREATE TABLE changes (
    position BIGINT NOT NULL PRIMARY KEY,
    -- session, user, expired or everybody
    kind     TEXT   NOT NULL,
    -- The hash of the session's id; the user's id; eight bytes of a time, big-endian; nothing.
    subject  BYTEA  NOT NULL
);

-- Who caches sessions, and up to which position each has forgotten what changed.
CREATE TABLE nodes (
    id       UUID   NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL,
    -- Whoever waits for a node gives it up when this has stood still for as long as its lease, in milliseconds.
    renewals BIGINT NOT NULL,
    lease    BIGINT NOT NULL
);
