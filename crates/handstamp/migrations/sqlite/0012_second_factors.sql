-- The secrets that users' authenticator apps share, sealed. A row without confirmed_at is being set up.
CREATE TABLE totp_secrets (
    user_id      BLOB NOT NULL PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    sealed       BLOB NOT NULL,
    -- The session in which it was set up. Another one gets a secret of its own until one is confirmed.
    session_id   BLOB NOT NULL,
    -- The newest step of 30 seconds whose code was accepted. Each step is accepted once.
    last_step    INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    confirmed_at INTEGER
) STRICT, WITHOUT ROWID;

-- The hashes of the recovery codes that were not used.
CREATE TABLE recovery_codes (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL,
    PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;
