-- The secrets that users' authenticator apps share, sealed. A row without confirmed_at is being set up.
CREATE TABLE totp_secrets (
    user_id      UUID NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed       BYTEA NOT NULL,
    -- The session in which it was set up. Another one gets a secret of its own until one is confirmed.
    session_id   UUID NOT NULL,
    -- The newest step of 30 seconds whose code was accepted. Each step is accepted once.
    last_step    BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    confirmed_at BIGINT
);

-- The hashes of the recovery codes that were not used.
CREATE TABLE recovery_codes (
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    BYTEA NOT NULL,
    PRIMARY KEY (user_id, hash)
);
