-- The audit log: one row for each event, written in the transaction of its act.
CREATE TABLE events (
    -- HMAC-SHA-256 of the other columns that tell of the event, under the salt. It stays when the event is erased.
    commitment BYTEA NOT NULL PRIMARY KEY,
    -- Null until the event is sealed. Positions have no gaps.
    position   BIGINT,
    -- Until the event is sealed the tag of its commitment, then the tag of its link.
    tag        BYTEA NOT NULL,
    -- A UUID of version 7, which contains the time; null if the event was erased.
    id         UUID UNIQUE,
    time       BIGINT NOT NULL,
    name       TEXT NOT NULL,
    -- The user whose account the event is about. Events outlive their users, so it is no foreign key.
    user_id    UUID,
    -- JSON. It is text, since the commitment covers its bytes.
    content    TEXT NOT NULL,
    salt       BYTEA NOT NULL,
    -- The id of the event that records the erasure of this one: the deletion of its user. An erased event has zero as its time,
    -- and empty texts and salt.
    erased_by  UUID
);

CREATE UNIQUE INDEX events_sealed ON events (position) WHERE position IS NOT NULL;
CREATE INDEX events_unsealed ON events (id) WHERE position IS NULL;
CREATE INDEX events_of_a_user ON events (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX events_erased ON events (erased_by) WHERE erased_by IS NOT NULL;

-- The newest position and its link. A node holds the row while it seals or erases.
CREATE TABLE event_head (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    position BIGINT NOT NULL,
    link     BYTEA NOT NULL
);

-- How many sign-ins of an account failed in an hour since the Unix epoch. A job makes an event of it when the hour is over. Those
-- for addresses without an account are counted under the nil UUID.
CREATE TABLE failed_sign_ins (
    user_id UUID NOT NULL,
    hour    BIGINT NOT NULL,
    count   BIGINT NOT NULL,
    PRIMARY KEY (user_id, hour)
);

INSERT INTO event_head (id, position, link) VALUES (1, 0, decode(repeat('00', 32), 'hex'));
