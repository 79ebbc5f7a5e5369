-- Sessions of the system that a site has left, which are exchanged for sessions of ours.

-- By what cookies of the former system name the user where that is not the id: fs_uniquifier of Flask-Security.
ALTER TABLE users ADD COLUMN legacy_session_key TEXT COLLATE "C";
-- When the sessions of the user in the former system ended, so that none is exchanged any more.
ALTER TABLE users ADD COLUMN legacy_ended_at BIGINT;
-- The digest of the session of the former system that this one was exchanged for.
ALTER TABLE sessions ADD COLUMN legacy_digest BYTEA;

CREATE UNIQUE INDEX users_by_legacy_session_key ON users (legacy_session_key) WHERE legacy_session_key IS NOT NULL;
CREATE INDEX sessions_by_legacy_digest ON sessions (legacy_digest) WHERE legacy_digest IS NOT NULL;

-- When the sessions of all users in the former system ended: one row at most.
CREATE TABLE legacy_end (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    ended_at BIGINT NOT NULL
);
