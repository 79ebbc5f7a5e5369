-- The groups that somebody is in, by name.

CREATE TABLE user_groups (
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (user_id, name)
);
