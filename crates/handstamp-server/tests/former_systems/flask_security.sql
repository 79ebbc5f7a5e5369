BEGIN TRANSACTION;
CREATE TABLE role (
	id INTEGER NOT NULL, 
	name VARCHAR(80) NOT NULL, 
	description VARCHAR(255), 
	permissions TEXT, 
	update_datetime DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "role" VALUES(1,'staff',NULL,NULL,'2026-11-28 08:06:01');
INSERT INTO "role" VALUES(2,'Content editors',NULL,NULL,'2026-11-28 08:06:01');
INSERT INTO "role" VALUES(3,'writers',NULL,NULL,'2026-11-28 08:06:01');
CREATE TABLE roles_users (
	user_id INTEGER, 
	role_id INTEGER, 
	FOREIGN KEY(user_id) REFERENCES user (id), 
	FOREIGN KEY(role_id) REFERENCES role (id)
);
INSERT INTO "roles_users" VALUES(1,1);
INSERT INTO "roles_users" VALUES(1,2);
INSERT INTO "roles_users" VALUES(2,3);
CREATE TABLE user (
	fs_webauthn_user_handle VARCHAR(64), 
	mf_recovery_codes TEXT, 
	password VARCHAR(255), 
	us_phone_number VARCHAR(128), 
	username VARCHAR(255), 
	us_totp_secrets TEXT, 
	id INTEGER NOT NULL, 
	email VARCHAR(255) NOT NULL, 
	active BOOLEAN NOT NULL, 
	fs_uniquifier VARCHAR(64) NOT NULL, 
	confirmed_at DATETIME, 
	last_login_at DATETIME, 
	current_login_at DATETIME, 
	last_login_ip VARCHAR(64), 
	current_login_ip VARCHAR(64), 
	login_count INTEGER, 
	tf_primary_method VARCHAR(64), 
	tf_totp_secret VARCHAR(255), 
	tf_phone_number VARCHAR(128), 
	create_datetime DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
	update_datetime DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (fs_webauthn_user_handle), 
	UNIQUE (us_phone_number), 
	UNIQUE (username), 
	UNIQUE (email), 
	UNIQUE (fs_uniquifier)
);
INSERT INTO "user" VALUES('71adac75ea504abd83ac0c12774b2c67',NULL,'$2b$04$EAQx4UNLrToNHsujpaJUlOAuKWqI3KW2yLN8Q7Gy48MIOnPYywSu6',NULL,NULL,NULL,1,'ada@example.com',1,'00000000000000000000000000000001','2021-03-04 05:06:07.890000',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2021-03-04 05:06:07.890000','2021-03-04 05:06:07.890000');
INSERT INTO "user" VALUES('3f641ba3986348b4ac60e8a9b48be46c',NULL,'$2b$04$1Ad8hRN7StDRxKCM2pht4e0D78guqEixp9zUcSlPIaImtspoJ1/Pa',NULL,NULL,NULL,2,'bob@example.com',0,'00000000000000000000000000000002',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'2021-03-04 05:06:07.890000','2021-03-04 05:06:07.890000');
COMMIT;
