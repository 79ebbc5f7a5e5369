CREATE TABLE "user" (
	id SERIAL NOT NULL, 
	username VARCHAR(64), 
	email VARCHAR(120), 
	password_hash VARCHAR(256), 
	email_confirmed BOOLEAN NOT NULL, 
	created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, 
	about_me TEXT, 
	PRIMARY KEY (id), 
	UNIQUE (username), 
	UNIQUE (email)
);
INSERT INTO "user" (id, username, email, password_hash, email_confirmed, created_at, about_me) VALUES (1, 'ada', 'Ada@Example.com', 'scrypt:1024:8:1$5mAuo6OD1EoEWC8b$678f8bdd13fe7e35d7ee9f5c5a88d461b39f180d547596f2524a150beef903f26167d65db104a793857c7fb7ccbe78cb04c7d449333ba53d6cb75be0739c3f6a', true, '2021-03-04 05:06:07.890000', 'It''s me');
INSERT INTO "user" (id, username, email, password_hash, email_confirmed, created_at, about_me) VALUES (2, 'bob', 'bob@example.com', 'pbkdf2:sha256:1000$FAqyAxbrPLIll0Kx$69d071fa6f24bcfd537fd0aee0aa79c53ca53bbf2fd43981f6c2c5eaa26af777', false, '2021-03-04 05:06:07.890000', 'It''s me');
INSERT INTO "user" (id, username, email, password_hash, email_confirmed, created_at, about_me) VALUES (3, 'carol', 'carol@example.com', NULL, true, '2021-03-04 05:06:07.890000', 'It''s me');
INSERT INTO "user" (id, username, email, password_hash, email_confirmed, created_at, about_me) VALUES (4, 'nobody', NULL, 'pbkdf2:sha256:1000$YCPGoiVtI3KA9qnh$087ac6ef4b116d7d01de0677cfe59a19215ff195cce180bc23ff976c7146c801', false, '2021-03-04 05:06:07.890000', 'It''s me');
