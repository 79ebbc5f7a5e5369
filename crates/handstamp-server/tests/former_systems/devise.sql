-- The table that "rails generate devise User" makes, with the modules confirmable, lockable and trackable, for SQLite and PostgreSQL.
-- The hashes are made by the gem bcrypt.
CREATE TABLE users (
    id bigint NOT NULL PRIMARY KEY,
    email varchar DEFAULT '' NOT NULL,
    encrypted_password varchar DEFAULT '' NOT NULL,
    reset_password_token varchar,
    reset_password_sent_at timestamp(6),
    remember_created_at timestamp(6),
    sign_in_count integer DEFAULT 0 NOT NULL,
    current_sign_in_at timestamp(6),
    last_sign_in_at timestamp(6),
    current_sign_in_ip varchar,
    last_sign_in_ip varchar,
    confirmation_token varchar,
    confirmed_at timestamp(6),
    confirmation_sent_at timestamp(6),
    unconfirmed_email varchar,
    failed_attempts integer DEFAULT 0 NOT NULL,
    unlock_token varchar,
    locked_at timestamp(6),
    first_name varchar,
    last_name varchar,
    created_at timestamp(6) NOT NULL,
    updated_at timestamp(6) NOT NULL
);
CREATE UNIQUE INDEX index_users_on_email ON users (email);
CREATE TABLE schema_migrations (version varchar NOT NULL PRIMARY KEY);
INSERT INTO users (id, email, encrypted_password, confirmed_at, locked_at, first_name, last_name, created_at, updated_at) VALUES
    (980190962, 'ada@example.com', '$2a$04$3bnYzOsNJj/Wf3wJjoYOte6VwhwLUT0rDRQaIpo1yDVIQgxKqhGI.', '2021-03-04 05:06:07.890123', NULL, 'Ada', 'Lovelace', '2021-03-04 05:06:07.123456', '2021-03-04 05:06:07.123456'),
    (980190963, 'bob@example.com', '$2a$05$gLzqIO0JrhFp9jdnYl4RBumbGQL/dx4PlopKcmzb5//9dqWUEvSiW', NULL, '2022-01-02 03:04:05', 'Bob', NULL, '2021-03-04 05:06:07.123456', '2021-03-04 05:06:07.123456'),
    (980190964, 'carol@example.com', '', '2021-03-04 05:06:07', NULL, NULL, NULL, '2021-03-04 05:06:07', '2021-03-04 05:06:07');
