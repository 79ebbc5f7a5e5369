-- An index of many rows takes longer than any other statement may.
SET LOCAL statement_timeout = 0;

-- The accounts at providers that are connected with users.
CREATE TABLE identities (
    -- Sessions refer to it. It opens nothing.
    id         UUID NOT NULL PRIMARY KEY,
    user_id    UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The name of the provider in the settings.
    provider   TEXT COLLATE "C" NOT NULL,
    -- What identifies the account, whatever its address is. Compared bytewise.
    issuer     TEXT COLLATE "C" NOT NULL,
    subject    TEXT COLLATE "C" NOT NULL,
    -- The address that the provider told last; empty if none.
    email      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at    BIGINT,
    UNIQUE (issuer, subject),
    UNIQUE (user_id, provider)
);

-- The identity by which a session began, and the id of the session at the provider, if it told one.
ALTER TABLE sessions ADD COLUMN identity_id UUID REFERENCES identities (id) ON DELETE SET NULL;
ALTER TABLE sessions ADD COLUMN provider_session_id TEXT COLLATE "C";

CREATE INDEX sessions_of_an_identity ON sessions (identity_id) WHERE identity_id IS NOT NULL;
CREATE INDEX sessions_by_provider_session ON sessions (provider_session_id) WHERE provider_session_id IS NOT NULL;

-- What providers have ended, until no sign-in from before it can be under way any more. A sign-in and a logout of the same subject lock
-- the row, so that neither misses the other. Then issued_at is zero if nothing has ended.
CREATE TABLE provider_logouts (
    -- SHA-256 of the issuer with the subject or the session.
    key        BYTEA NOT NULL PRIMARY KEY,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX provider_logouts_by_expiry ON provider_logouts (expires_at);
