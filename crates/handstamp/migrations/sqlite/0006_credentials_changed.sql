-- When the credentials of an account were last changed; null where they never were since this column exists. Device cookies from
-- before it do not count.
ALTER TABLE users ADD COLUMN credentials_changed_at INTEGER;
