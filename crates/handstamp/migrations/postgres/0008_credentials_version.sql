-- Increased by every change of a user's credentials. A sign-in compares it, whatever the method.
ALTER TABLE users ADD COLUMN credentials_version BIGINT NOT NULL DEFAULT 1;

-- How the user of a session authenticated: the names of the methods (RFC 8176) separated by spaces, the assurance level
-- (NIST SP 800-63B-4) and the time. Sessions from before these columns began with a password.
ALTER TABLE sessions ADD COLUMN methods TEXT NOT NULL DEFAULT 'pwd';
ALTER TABLE sessions ADD COLUMN assurance BIGINT NOT NULL DEFAULT 1;
ALTER TABLE sessions ADD COLUMN authenticated_at BIGINT NOT NULL DEFAULT 0;
UPDATE sessions SET authenticated_at = created_at;
