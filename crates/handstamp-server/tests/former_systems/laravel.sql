-- The tables that the first migration of a Laravel app makes, with soft deletes, for SQLite and PostgreSQL.
-- The hashes are made by password_hash of PHP.
CREATE TABLE users (
    id bigint NOT NULL PRIMARY KEY,
    name varchar(255) NOT NULL,
    email varchar(255) NOT NULL UNIQUE,
    email_verified_at timestamp(0) NULL,
    password varchar(255) NOT NULL,
    remember_token varchar(100) NULL,
    created_at timestamp(0) NULL,
    updated_at timestamp(0) NULL,
    deleted_at timestamp(0) NULL
);
CREATE TABLE password_reset_tokens (email varchar(255) NOT NULL PRIMARY KEY, token varchar(255) NOT NULL, created_at timestamp(0) NULL);
CREATE TABLE sessions (id varchar(255) NOT NULL PRIMARY KEY, user_id bigint NULL, ip_address varchar(45) NULL, user_agent text NULL, payload text NOT NULL, last_activity integer NOT NULL);
INSERT INTO users VALUES
    (1, 'Ada', 'ada@example.com', '2021-03-04 05:06:07', '$2y$04$Eux8g1Pf6tRgxZom0fuaG.CSzqk5ZXlxYmkBi1m9kxIIK75.hmDUa', 'remember-me', '2021-03-04 05:06:07', '2021-03-04 05:06:07', NULL),
    (2, 'Bob', 'bob@example.com', NULL, '$2y$04$LMURclaRwlK32AjjrfnhVO6KMp.Luy9Zc7uNjKGCEjxTtRyMFb5ne', NULL, NULL, NULL, '2023-04-05 06:07:08');
