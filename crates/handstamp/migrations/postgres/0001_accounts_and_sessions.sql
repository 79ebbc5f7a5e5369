-- Times are seconds since the Unix epoch.

CREATE TABLE users (
    id            UUID   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    -- As it was typed, for mail; and in lower case, which no two accounts share. Compared bytewise.
    email         TEXT   NOT NULL,
    email_key     TEXT   COLLATE "C" NOT NULL UNIQUE,
    -- A PHC string; null where nobody can sign in by a password.
    password_hash TEXT   COLLATE "C",
    created_at    BIGINT NOT NULL,
    signed_in_at  BIGINT,
    disabled_at   BIGINT
);

CREATE TABLE sessions (
    -- SHA-256 of the session id, which itself is only in the token.
    id_hash      BYTEA  NOT NULL PRIMARY KEY,
    -- What lists and forms call the session; it opens nothing.
    handle       UUID   NOT NULL UNIQUE,
    user_id      UUID   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    user_agent   TEXT   NOT NULL,
    address      TEXT   NOT NULL
);

CREATE INDEX sessions_of_a_user ON sessions (user_id, created_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
