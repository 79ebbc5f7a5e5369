-- The groups that somebody is in, by name.

CREATE TABLE user_groups (
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    PRIMARY KEY (user_id, name)
) STRICT, WITHOUT ROWID;
