-- The passkeys of users.
CREATE TABLE passkeys (
    -- Lists and forms show it. It opens nothing.
    id              UUID NOT NULL PRIMARY KEY,
    user_id         UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- The id that the authenticator gave it.
    credential_id   BYTEA NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    -- The public key and its properties, as JSON of the library that verifies signatures.
    credential      TEXT NOT NULL,
    -- The signature counter at the last use.
    counter         BIGINT NOT NULL,
    -- Whether it can be synchronised, and whether it was at the last use.
    backup_eligible BIGINT NOT NULL,
    backed_up       BIGINT NOT NULL,
    -- Whether its authenticator has verified the user, as by a PIN or a fingerprint, at the registration or since.
    user_verified   BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    used_at         BIGINT
);

CREATE INDEX passkeys_of_a_user ON passkeys (user_id);

-- The ceremonies that were completed, until they expire anyway: each allows one act.
CREATE TABLE used_ceremonies (
    id         BYTEA NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX used_ceremonies_by_expiry ON used_ceremonies (expires_at);
