-- What the pages of administration read.

-- Users whose names begin with a text, in any case of ASCII letters.
CREATE INDEX users_by_name ON users (lower(name), id);
CREATE INDEX user_groups_by_name ON user_groups (name, user_id);

-- Events of one name, and those of operators: the actor comes first in the content.
CREATE INDEX events_by_name ON events (name, id) WHERE id IS NOT NULL;
CREATE INDEX events_of_operators ON events (id) WHERE substr(content, 1, 19) = '{"actor":"operator"';

-- How many sign-ins, failed sign-ins and new accounts an hour since the Unix epoch had. Sealing counts them.
CREATE TABLE event_hours (
    hour          INTEGER NOT NULL PRIMARY KEY,
    sign_ins      INTEGER NOT NULL,
    refusals      INTEGER NOT NULL,
    registrations INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A transaction that may leave the group admins without an enabled member holds this row.
CREATE TABLE administrators_lock (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1)
) STRICT, WITHOUT ROWID;

INSERT INTO administrators_lock (id) VALUES (1);

-- The version of Handstamp that a node runs; null for one from before this column.
ALTER TABLE nodes ADD COLUMN version TEXT;
-- Why a message could not be delivered the last time.
ALTER TABLE outbox ADD COLUMN last_error TEXT;

CREATE INDEX outbox_with_errors ON outbox (id) WHERE last_error IS NOT NULL;
