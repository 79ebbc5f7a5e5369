-- Users that come from another system.

-- The id of a user in the former system; null where there was none.
ALTER TABLE users ADD COLUMN legacy_id TEXT COLLATE "C";
-- When the user was imported; null where the account was created here.
ALTER TABLE users ADD COLUMN imported_at BIGINT;
-- The family of a password hash that is more or other work than our own; null for our own.
ALTER TABLE users ADD COLUMN password_family TEXT COLLATE "C";

CREATE UNIQUE INDEX users_by_legacy_id ON users (legacy_id) WHERE legacy_id IS NOT NULL;
CREATE INDEX users_by_password_family ON users (password_family) WHERE password_family IS NOT NULL;

-- The highest cost of the hashes of each family. Every check of a password does the work of all of them.
CREATE TABLE imported_hash_costs (
    family TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    cost   BIGINT NOT NULL
);

-- The cookies of the former system that were exchanged for a session: each is exchanged once.
CREATE TABLE legacy_exchanges (
    digest     BYTEA NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX legacy_exchanges_by_expiry ON legacy_exchanges (expires_at);
