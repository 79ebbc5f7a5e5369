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
INSERT INTO "user" (id, username, email, password_hash, email_confirmed, created_at, about_me) VALUES (1, 'ada', 'Ada@Example.com', 'scrypt:1024:8:1$v2srxFhjcHHMkWct$3fafed22d3822aa8460bfc91e7df53c52fecf6bfc50006ec83d2461ea9c8b4fb437b87e82f3b9099d2918acdc1d70a93fcd7e045117184b56bf3f7dc7b3f5692', true, '2021-03-04 05:06:07.890000', 'It''s me');
INSERT INTO "user" (id, username, email, password_hash, email_confirmed, created_at, about_me) VALUES (2, 'bob', 'bob@example.com', 'pbkdf2:sha256:1000$MOwkk9YJA5K6OolK$8b968232564ec06e11327a80702661b2329dcb7886a5575668f925f9536fac5e', false, '2021-03-04 05:06:07.890000', 'It''s me');
INSERT INTO "user" (id, username, email, password_hash, email_confirmed, created_at, about_me) VALUES (3, 'carol', 'carol@example.com', NULL, true, '2021-03-04 05:06:07.890000', 'It''s me');
INSERT INTO "user" (id, username, email, password_hash, email_confirmed, created_at, about_me) VALUES (4, 'nobody', NULL, 'pbkdf2:sha256:1000$oVS8XADeGU7PXxSq$c0812b31c6535c24ba3896bf6a5fda56650dd62877e2600ae14dd18b80b3133f', false, '2021-03-04 05:06:07.890000', 'It''s me');
