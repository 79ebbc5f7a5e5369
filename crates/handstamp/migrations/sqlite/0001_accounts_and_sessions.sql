-- Times are seconds since the Unix epoch. Ids are UUIDs of 16 bytes.

CREATE TABLE users (
    id            BLOB    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL,
    -- As it was typed, for mail; and in lower case, which no two accounts share. Compared bytewise.
    email         TEXT    NOT NULL,
    email_key     TEXT    NOT NULL UNIQUE,
    -- A PHC string; null where nobody can sign in by a password.
    password_hash TEXT,
    created_at    INTEGER NOT NULL,
    signed_in_at  INTEGER,
    disabled_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    -- SHA-256 of the session id, which itself is only in the token.
    id_hash      BLOB    NOT NULL PRIMARY KEY,
    -- What lists and forms call the session; it opens nothing.
    handle       BLOB    NOT NULL UNIQUE,
    user_id      BLOB    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    user_agent   TEXT    NOT NULL,
    address      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_of_a_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
