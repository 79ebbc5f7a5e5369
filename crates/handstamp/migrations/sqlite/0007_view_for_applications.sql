-- What an application in the same database may read of accounts: documented, and the same in later versions.
CREATE VIEW handstamp_users AS SELECT id, name, email, created_at FROM users;
