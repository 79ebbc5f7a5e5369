-- What mailed links and codes allow. A row holds no secret: the link is a MAC over the id. The act that it allows deletes it.
CREATE TABLE one_time_tokens (
    id          BLOB NOT NULL PRIMARY KEY,
    purpose     INTEGER NOT NULL,
    -- Null where there is no account yet.
    user_id     BLOB REFERENCES users (id) ON DELETE CASCADE,
    -- The very address that the token is about, and the form of it that is unique among accounts.
    email       TEXT NOT NULL,
    email_key   TEXT NOT NULL,
    -- What the act needs beside, as JSON: of an invitation the groups, of a registration the name and the password hash.
    content     TEXT NOT NULL,
    -- SHA-256 of the secret in a cookie of the browser that asked; null where no browser did.
    browser     BLOB,
    wrong_codes INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX one_time_tokens_of_a_user ON one_time_tokens (user_id, purpose);
CREATE INDEX one_time_tokens_of_an_address ON one_time_tokens (email_key);
CREATE INDEX one_time_tokens_of_a_browser ON one_time_tokens (browser);
CREATE INDEX one_time_tokens_by_expiry ON one_time_tokens (expires_at);

-- Messages that wait to be sent. A row is written in the transaction of the act that causes it, and deleted once it is sent.
CREATE TABLE outbox (
    id         BLOB NOT NULL PRIMARY KEY,
    kind       TEXT NOT NULL,
    -- The user whom the message is about; null where that is not known yet, or the account is gone.
    user_id    BLOB REFERENCES users (id) ON DELETE CASCADE,
    recipient  TEXT NOT NULL,
    -- What the message says, as JSON.
    content    TEXT NOT NULL,
    -- The one-time token of the link in it.
    token_id   BLOB,
    created_at INTEGER NOT NULL,
    -- When it is sent or tried again. A node that sends it sets this to the time at which another may try.
    due_at     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_by_time ON outbox (due_at);
CREATE INDEX outbox_of_a_user ON outbox (user_id);

-- The language of mails and pages, as a tag of RFC 5646.
ALTER TABLE users ADD COLUMN language TEXT NOT NULL DEFAULT 'en';
