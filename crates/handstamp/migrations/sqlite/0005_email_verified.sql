-- When the address of an account was verified; null where it is only what its owner typed.

ALTER TABLE users ADD COLUMN email_verified_at INTEGER;
