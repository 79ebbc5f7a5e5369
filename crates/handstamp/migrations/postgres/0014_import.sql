-- Users that come from another system.

-- The id of a user in the former system; null where there was none.
ALTER TABLE users ADD COLUMN legacy_id TEXT COLLATE "C";
-- When the user was imported; null where the account was created here.
ALTER TABLE users ADD COLUMN imported_at BIGINT;
-- What a check of the password hash of another system costs, such as bcrypt:12; null for our own hashes.
ALTER TABLE users ADD COLUMN password_cost TEXT COLLATE "C";

CREATE UNIQUE INDEX users_by_legacy_id ON users (legacy_id) WHERE legacy_id IS NOT NULL;
CREATE INDEX users_by_password_cost ON users (password_cost) WHERE password_cost IS NOT NULL;

-- The highest cost of each kind of hash among the users, such as bcrypt:12 scrypt:32768:8:1. Every check of a password does the work
-- of all of them.
CREATE TABLE imported_hash_costs (
    id    BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    costs TEXT NOT NULL
);

INSERT INTO imported_hash_costs (id, costs) VALUES (1, '');

-- The cookies of the former system that were exchanged for a session: each is exchanged once.
CREATE TABLE legacy_exchanges (
    digest     BYTEA NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX legacy_exchanges_by_expiry ON legacy_exchanges (expires_at);
