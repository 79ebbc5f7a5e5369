-- The accounts at providers that are connected with users.
CREATE TABLE identities (
    -- Sessions refer to it. It opens nothing.
    id         BLOB NOT NULL PRIMARY KEY,
    user_id    BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The name of the provider in the settings.
    provider   TEXT NOT NULL,
    -- What identifies the account, whatever its address is. Compared bytewise.
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    -- The address that the provider told last; empty if none.
    email      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at    INTEGER,
    UNIQUE (issuer, subject),
    UNIQUE (user_id, provider)
) STRICT;

-- The identity by which a session began, and the id of the session at the provider, if it told one.
ALTER TABLE sessions ADD COLUMN identity_id BLOB REFERENCES identities (id) ON DELETE SET NULL;
ALTER TABLE sessions ADD COLUMN provider_session_id TEXT;

CREATE INDEX sessions_of_an_identity ON sessions (identity_id) WHERE identity_id IS NOT NULL;
CREATE INDEX sessions_by_provider_session ON sessions (provider_session_id) WHERE provider_session_id IS NOT NULL;

-- What providers have ended, until no sign-in from before it can be under way any more. A sign-in and a logout of the same subject lock
-- the row, so that neither misses the other. Then issued_at is zero if nothing has ended.
CREATE TABLE provider_logouts (
    -- SHA-256 of the issuer with the subject or the session.
    key        BLOB NOT NULL PRIMARY KEY,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX provider_logouts_by_expiry ON provider_logouts (expires_at);
