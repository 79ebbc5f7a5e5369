//! `handstamp import --from`: databases that frameworks made, exports of other systems, and hostile ones.
//!
//! `script/former-systems` makes the files of tests/former_systems anew, in the folder that `HANDSTAMP_FORMER_SYSTEMS` names.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use handstamp_testing::{Postgres, TestServer};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use super::import::goes_on_after_kills;

/// The password of all users in the files.
const PASSWORD: &str = "plum-octave-harbour";

pub fn path_of(name: &str) -> String {
    let stored = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/former_systems").to_owned();
    format!("{}/{name}", std::env::var("HANDSTAMP_FORMER_SYSTEMS").unwrap_or(stored))
}

/// Makes a SQLite database by statements, and returns its URL.
pub async fn sqlite(server: &TestServer, name: &str, sql: String) -> String {
    let path = server.folder().join(name);
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap();
    // The tables come in another order than the references to them.
    connection.execute("PRAGMA foreign_keys = OFF").await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    connection.close().await.unwrap();
    format!("sqlite:///{}", path.display())
}

/// A SQLite database of a file in tests/former_systems.
pub async fn former(server: &TestServer, name: &str) -> String {
    sqlite(server, &format!("{name}.db"), fs::read_to_string(path_of(name)).unwrap()).await
}

/// Makes a PostgreSQL database by statements, and returns its URL.
pub async fn postgres(sql: String) -> String {
    let url = Postgres::shared().new_database();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    connection.close().await.unwrap();
    url
}

fn import(server: &TestServer, system: &str, input: &str, flags: &[&str]) -> (i32, String, String) {
    server.run_cli(&[&["import", "--from", system, input], flags].concat(), "")
}

/// Runs a command at a terminal at which this is typed. Returns the exit status, standard output and what the terminal shows.
fn at_a_terminal(server: &TestServer, arguments: &[&str], typed: &str) -> (i32, String, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    // It must not become the terminal of the tests: its end would be theirs (SIGHUP).
    let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    let end = || File::options().read(true).write(true).custom_flags(flags).open(name.to_str().unwrap()).unwrap();
    let mut terminal = File::from(terminal);
    terminal.write_all(typed.as_bytes()).unwrap();
    let mut command = server.cli_command(arguments);
    let process = command.stdin(end()).stdout(Stdio::piped()).stderr(end()).spawn().unwrap();
    // The command has the ends that the reading below waits for.
    drop(command);
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    // It fails once the process has closed its end.
    while let Ok(read) = terminal.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..read]);
    }
    let output = process.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(shown).replace("\r\n", "\n"))
}

/// Some fields of a user.
fn shown(server: &TestServer, email: &str) -> [Value; 6] {
    let user = server.cli_json(&["user", "show", email]);
    ["name", "email_verified", "created_at", "disabled", "groups", "legacy_id"].map(|field| user[field].clone())
}

fn values(name: &str, verified: bool, created: &str, disabled: bool, groups: &[&str], id: &str) -> [Value; 6] {
    [name.into(), verified.into(), created.into(), disabled.into(), groups.into(), id.into()]
}

async fn signs_in(server: &TestServer, email: &str) -> bool {
    assert_eq!(server.visitor().signs_in(email, "wrong-password-here").await.status, 422);
    server.visitor().signs_in(email, PASSWORD).await.status == 303
}

handstamp_testing::stories! {
    async fn users_of_a_flask_app_sign_in_with_their_passwords(server: TestServer) {
        let url = former(&server, "flask.sql").await;
        let (status, output, error) = import(&server, "flask", &url, &["--yes"]);
        assert_eq!((status, output.as_str()), (1, "imported 3 users (1 without a password); already there: 0; refused: 1\n"), "{error}");
        assert!(error.contains("row with id 4: "), "{error}");
        assert_eq!(shown(&server, "ada@example.com"), values("ada", true, "2021-03-04T05:06:07Z", false, &[], "1"));
        assert_eq!(shown(&server, "bob@example.com"), values("bob", false, "2021-03-04T05:06:07Z", false, &[], "2"));
        assert!(signs_in(&server, "ada@example.com").await && signs_in(&server, "bob@example.com").await);
        let again = import(&server, "flask", &url, &["--yes"]);
        assert!(again.1.starts_with("imported 0 users; already there: 3"), "{again:?}");
    }

    async fn the_table_is_shown_without_secrets_and_nothing_is_done_without_a_terminal(server: TestServer) {
        let url = former(&server, "flask.sql").await;
        let (status, output, error) = import(&server, "flask", &url, &[]);
        assert_eq!((status, output.as_str()), (2, ""), "{error}");
        for text in ["table user, 4 rows", "email_verified  email_confirmed", "not imported    about_me", "row with id 1", "Ada@Example.com", "scrypt", "--yes"] {
            assert!(error.contains(text), "{text}: {error}");
        }
        assert!(!error.contains("678f8bdd13fe") && !error.contains("5mAuo6OD1EoEWC8b"), "{error}");
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
        let (status, output, error) = import(&server, "flask", &url, &["--dry-run"]);
        assert!(status == 1 && output.starts_with("would import 3 users"), "{error}");
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
    }

    async fn at_a_terminal_the_command_asks_and_takes_only_yes_for_yes(server: TestServer) {
        let url = former(&server, "flask.sql").await;
        let ask = |typed: &str| at_a_terminal(&server, &["import", "--from", "flask", &url], typed);
        for typed in ["n\n", "\n", "\u{4}", "yikes\n"] {
            let (status, output, seen) = ask(typed);
            assert_eq!((status, output.as_str()), (1, ""), "{seen}");
            assert!(seen.contains("Import 4 rows? [y/N] ") && seen.contains("nothing was imported"), "{seen}");
            assert_eq!(seen.matches("\n  row with id ").count(), 3, "{seen}");
            assert!(seen.contains("scrypt, N 1024") && !seen.contains("678f8bdd13fe"), "{seen}");
            assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
        }
        let (status, output, seen) = ask("y\n");
        assert!(status == 1 && output.starts_with("imported 3 users"), "one has no address: {output} {seen}");
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 3);
    }

    async fn a_run_from_a_table_that_is_killed_goes_on_without_doubles_or_gaps(server: TestServer) {
        let sql = "CREATE TABLE user (id INTEGER PRIMARY KEY, email TEXT, password TEXT);
            CREATE TABLE role (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE roles_users (user_id INTEGER, role_id INTEGER);
            INSERT INTO role VALUES (1, 'staff');
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000)
            INSERT INTO user SELECT i, 'u' || i || '@example.com', '$2y$04$Eux8g1Pf6tRgxZom0fuaG.CSzqk5ZXlxYmkBi1m9kxIIK75.hmDUa' FROM n;
            INSERT INTO roles_users SELECT id, 1 FROM user;";
        let url = sqlite(&server, "many.db", sql.to_owned()).await;
        goes_on_after_kills(&server, &["import", "--from", "flask", &url, "--yes", "--single-hash"], 12_000).await;
    }

    async fn users_of_a_devise_app_with_a_pepper_get_our_hash_at_their_first_sign_in(mut server: TestServer) {
        let sql = ["devise.sql", "devise_pepper.sql"].map(|name| fs::read_to_string(path_of(name)).unwrap()).concat();
        let url = sqlite(&server, "devise.db", sql).await;
        let (status, output, error) = import(&server, "devise", &url, &["--yes"]);
        assert_eq!((status, output.as_str()), (0, "imported 3 users; already there: 0; refused: 0\n"), "{error}");
        const OWN: &str = "SELECT COUNT(*) FROM users WHERE password_hash LIKE '$argon2id$%' AND password_cost IS NULL";
        assert!(!signs_in(&server, "ada@example.com").await, "the pepper is not set");
        server.restart_with("HANDSTAMP_IMPORT__BCRYPT_PEPPER", "f1ee3b1c8a0d4e6b97a2");
        assert_eq!(server.count(OWN).await, 0);
        assert!(signs_in(&server, "ada@example.com").await && signs_in(&server, "carol@example.com").await);
        assert_eq!(server.count(OWN).await, 2);
        server.restart_with("HANDSTAMP_IMPORT__BCRYPT_PEPPER", "another");
        assert!(signs_in(&server, "ada@example.com").await, "our own hash has no pepper");
        assert!(import(&server, "devise", &url, &["--yes"]).1.contains("already there: 3"));
    }

    async fn users_of_flask_security_keep_their_roles(mut server: TestServer) {
        let url = former(&server, "flask_security.sql").await;
        let (status, output, error) = import(&server, "flask", &url, &["--yes"]);
        assert!(status == 1 && output.starts_with("imported 1 user;"), "{error}");
        assert!(error.contains("--group 'Content editors=…'") && error.contains("legacy_session_key fs_uniquifier"), "{error}");
        let (status, _, error) = import(&server, "flask", &url, &["--yes", "--group", "Content editors=editors"]);
        assert_eq!(status, 0, "{error}");
        assert_eq!(shown(&server, "ada@example.com"), values("ada", true, "2021-03-04T05:06:07Z", false, &["editors", "staff"], "1"));
        assert_eq!(shown(&server, "bob@example.com"), values("bob", false, "2021-03-04T05:06:07Z", true, &["writers"], "2"));
        assert!(!signs_in(&server, "ada@example.com").await, "the salt of the app is not set");
        server.restart_with("HANDSTAMP_IMPORT__FLASK_SECURITY_SALT", "146585145368132386173505678016728509634");
        assert!(signs_in(&server, "ada@example.com").await && !signs_in(&server, "bob@example.com").await);
    }

    async fn users_of_a_django_project_sign_in_with_their_passwords(server: TestServer) {
        let url = former(&server, "django.sql").await;
        let refused = server.folder().join("refused.jsonl");
        let flags = ["--yes", "--group", "Content editors=", "--refused", refused.to_str().unwrap()];
        let (status, output, error) = import(&server, "django", &url, &flags);
        assert_eq!((status, output.as_str()), (1, "imported 3 users (1 without a password); already there: 0; refused: 1\n"), "{error}");
        assert!(error.contains("row with id 4: "), "{error}");
        assert_eq!(shown(&server, "ada@example.com"), values("Ada Lovelace", true, "2021-03-04T05:06:07Z", false, &["staff"], "1"));
        assert_eq!(shown(&server, "bob@example.com"), values("bob", true, "2021-03-04T05:06:07Z", true, &["staff"], "2"));
        assert_eq!(shown(&server, "carol@example.com"), values("Carol", false, "2021-03-04T05:06:07Z", false, &[], "3"));
        assert!(signs_in(&server, "ada@example.com").await);
        let refused = fs::read_to_string(refused).unwrap();
        let corrected = refused.replace("\"legacy_id\":\"4\"", "\"legacy_id\":\"4\",\"email\":\"dave@example.com\"");
        fs::write(server.folder().join("corrected.jsonl"), corrected).unwrap();
        let corrected = server.folder().join("corrected.jsonl");
        let (status, output, error) = server.run_cli(&["import", corrected.to_str().unwrap()], "");
        assert!(status == 0 && output.starts_with("imported 1 user;"), "{error}");
        assert!(signs_in(&server, "dave@example.com").await);
    }

    async fn a_custom_model_of_django_is_found(server: TestServer) {
        let url = former(&server, "django_own_model.sql").await;
        let (status, _, error) = import(&server, "django", &url, &["--yes", "--email-verified"]);
        assert!(status == 0 && error.contains("table members_member"), "{error}");
        assert_eq!(shown(&server, "ada@example.com"), values("Ada", true, "2021-03-04T05:06:07Z", false, &["staff"], "1"));
        assert!(signs_in(&server, "ada@example.com").await);
    }

    async fn users_of_devise_and_laravel_sign_in_with_their_passwords(server: TestServer) {
        let (devise, laravel) = (former(&server, "devise.sql").await, former(&server, "laravel.sql").await);
        let (status, output, error) = import(&server, "devise", &devise, &["--yes"]);
        assert_eq!((status, output.as_str()), (0, "imported 3 users (1 without a password); already there: 0; refused: 0\n"), "{error}");
        assert_eq!(shown(&server, "ada@example.com"), values("Ada Lovelace", true, "2021-03-04T05:06:07Z", false, &[], "980190962"));
        assert_eq!(shown(&server, "bob@example.com"), values("Bob", false, "2021-03-04T05:06:07Z", true, &[], "980190963"));
        assert!(signs_in(&server, "ada@example.com").await);
        server.run_cli(&["user", "delete", "ada@example.com"], "");
        let (status, output, error) = import(&server, "laravel", &laravel, &["--yes"]);
        assert!(status == 1 && output.starts_with("imported 1 user;"), "bob has the account of the other app: {error}");
        assert!(error.contains("row with id 2: the address is that of another account"), "{error}");
        assert_eq!(shown(&server, "ada@example.com"), values("Ada", true, "2021-03-04T05:06:07Z", false, &[], "1"));
        assert!(signs_in(&server, "ada@example.com").await);
    }

    async fn users_of_better_auth_sign_in_with_their_passwords(server: TestServer) {
        let url = former(&server, "better_auth.sql").await;
        let (status, output, error) = import(&server, "better-auth", &url, &["--yes"]);
        assert_eq!((status, output.as_str()), (0, "imported 3 users (1 without a password); already there: 0; refused: 0\n"), "{error}");
        let ada = shown(&server, "ada@example.com");
        assert_eq!(ada[..4], values("Ada", true, "2024-05-06T07:08:09Z", false, &[], "")[..4]);
        assert_eq!(ada[5].as_str().unwrap().len(), 32);
        assert_eq!(shown(&server, "carol@example.com"), values("Carol", true, "2024-05-06T07:08:09Z", false, &[], "carol"));
        assert!(signs_in(&server, "ada@example.com").await && signs_in(&server, "bob@example.com").await);
    }

    async fn tables_are_read_from_postgresql(server: TestServer) {
        let read = |name: &str| fs::read_to_string(path_of(name)).unwrap();
        let roles = "CREATE TABLE role (id int PRIMARY KEY, name text); CREATE TABLE roles_users (user_id int, role_id int);
                     INSERT INTO role VALUES (1, 'staff'), (2, 'board'); INSERT INTO roles_users VALUES (1, 1), (1, 2);";
        let url = postgres(read("flask_postgres.sql") + roles).await;
        let (status, output, error) = import(&server, "flask", &url, &["--yes"]);
        assert!(status == 1 && output.starts_with("imported 3 users (1 without"), "{error}");
        assert!(error.contains("row with id 4: ") && error.contains("name of role by roles_users"), "{error}");
        assert_eq!(shown(&server, "ada@example.com"), values("ada", true, "2021-03-04T05:06:07Z", false, &["board", "staff"], "1"));
        assert!(signs_in(&server, "ada@example.com").await);
        server.run_cli(&["user", "delete", "ada@example.com"], "");
        server.run_cli(&["user", "delete", "bob@example.com"], "");
        server.run_cli(&["user", "delete", "carol@example.com"], "");
        let url = postgres(read("devise.sql")).await;
        let (status, _, error) = import(&server, "devise", &url, &["--yes"]);
        assert_eq!(status, 0, "{error}");
        assert_eq!(shown(&server, "bob@example.com"), values("Bob", false, "2021-03-04T05:06:07Z", true, &[], "980190963"));
        let types = "CREATE SCHEMA app; CREATE TABLE app.\"Member \"\"x\"\" table\" (\"Id\" uuid PRIMARY KEY, \"E Mail\" text, password bytea, created_at timestamptz, active bool);
                     INSERT INTO app.\"Member \"\"x\"\" table\" VALUES ('0190b5ad-0000-7000-8000-000000000001', 'eve@example.com', '$2y$04$Eux8g1Pf6tRgxZom0fuaG.CSzqk5ZXlxYmkBi1m9kxIIK75.hmDUa', '2021-03-04 06:06:07+01', true);";
        let url = postgres(types.to_owned()).await;
        let (status, _, error) = import(&server, "flask", &url, &["--yes", "--table", "app.Member \"x\" table", "--map", "E Mail=email"]);
        assert_eq!(status, 0, "{error}");
        let id = "0190b5ad-0000-7000-8000-000000000001";
        assert_eq!(shown(&server, "eve@example.com"), values("eve", false, "2021-03-04T05:06:07Z", false, &[], id));
    }

    async fn users_of_auth0_come_with_the_hashes_of_the_second_file(server: TestServer) {
        let passwords = path_of("auth0_passwords.ndjson");
        let (status, output, error) = import(&server, "auth0", &path_of("auth0_users.ndjson"), &["--passwords", &passwords]);
        assert_eq!((status, output.as_str()), (1, "imported 3 users (1 without a password); already there: 0; refused: 1\n"), "{error}");
        assert!(error.contains("user with id auth0|60425dc43519d90068f82975: "), "{error}");
        let id = "auth0|60425dc43519d90068f82973";
        assert_eq!(shown(&server, "ada@example.com"), values("Ada Lovelace", true, "2021-03-05T16:35:16Z", false, &[], id));
        let id = "auth0|60425dc43519d90068f82974";
        assert_eq!(shown(&server, "bob@example.com"), values("Bob", false, "2021-03-05T16:35:16Z", true, &[], id));
        assert!(signs_in(&server, "ada@example.com").await && !signs_in(&server, "bob@example.com").await);
        let (status, output, error) = import(&server, "auth0", &passwords, &[]);
        assert!(status == 0 && output.contains("already there: 2"), "{output} {error}");
    }

    async fn users_of_keycloak_sign_in_with_their_passwords(server: TestServer) {
        let flags = ["--group", "staff/editors=editors"];
        let (status, output, error) = import(&server, "keycloak", &path_of("keycloak_realm.json"), &flags);
        assert_eq!((status, output.as_str()), (1, "imported 3 users (1 without a password); already there: 0; refused: 1\n"), "{error}");
        assert!(error.contains("is the service account of a client"), "{error}");
        let id = |number: u32| format!("9d3b0d3c-64d2-4a52-8b1b-00000000000{number}");
        assert_eq!(shown(&server, "ada@example.com"), values("Ada Lovelace", true, "2021-03-04T05:06:07Z", false, &["editor", "staff"], &id(1)));
        assert_eq!(shown(&server, "bob@example.com"), values("bob", false, "2021-03-04T05:06:07Z", true, &[], &id(2)));
        assert_eq!(shown(&server, "carol@example.com"), values("carol", true, "2021-03-04T05:06:07Z", false, &["editors"], &id(3)));
        assert!(signs_in(&server, "ada@example.com").await);
    }

    async fn users_of_firebase_sign_in_with_their_passwords(mut server: TestServer) {
        let config = path_of("firebase_hash_config.txt");
        let (status, output, error) = import(&server, "firebase", &path_of("firebase_users.json"), &["--hash-config", &config]);
        assert_eq!((status, output.as_str()), (1, "imported 3 users (1 without a password); already there: 0; refused: 1\n"), "{error}");
        let id = "0aBcDeFgHiJkLmNoPqRsTuVwXyZ1";
        assert_eq!(shown(&server, "ada@example.com"), values("Ada Lovelace", true, "2021-03-04T05:06:07Z", false, &[], id));
        assert_eq!(shown(&server, "bob@example.com")[3], true);
        assert_eq!(server.count("SELECT COUNT(*) FROM users WHERE password_hash LIKE 'handstamp-firebase$%'").await, 2);
        assert!(!signs_in(&server, "ada@example.com").await, "the signer key of the project is not set");
        let config = fs::read_to_string(config).unwrap();
        let key = config.lines().find_map(|line| line.trim().strip_prefix("base64_signer_key: ")).unwrap();
        server.restart_with("HANDSTAMP_IMPORT__FIREBASE_SIGNER_KEY", key.trim_end_matches(','));
        assert!(signs_in(&server, "ada@example.com").await && !signs_in(&server, "bob@example.com").await);
    }

    async fn hostile_tables_stop_nothing(server: TestServer) {
        let sql = "CREATE TABLE people (id INTEGER PRIMARY KEY, email, password, active, created_at, name);
            INSERT INTO people VALUES (1, 'ada@example.com', CAST('$2y$04$Eux8g1Pf6tRgxZom0fuaG.CSzqk5ZXlxYmkBi1m9kxIIK75.hmDUa' AS BLOB), 1, 1614834367890, 42);
            INSERT INTO people VALUES (2, NULL, '', 1, NULL, NULL);
            INSERT INTO people VALUES (3, x'ff00', NULL, 1, NULL, NULL);
            INSERT INTO people VALUES (4, 'dave@example.com', NULL, 1, NULL, hex(zeroblob(40000)));
            INSERT INTO people VALUES (5, 'erin@example.com', NULL, 'perhaps', NULL, NULL);
            INSERT INTO people VALUES (6, 'frank@example.com', NULL, 1, 1.5e300, NULL);
            INSERT INTO people VALUES (7, 'grace@example.com', 12.5, 1, NULL, NULL);
            INSERT INTO people VALUES (8, 'heidi@example.com', NULL, NULL, 1614834367.75, NULL);
            INSERT INTO people VALUES (9, 'ADA@example.com', NULL, 1, NULL, NULL);
            CREATE VIEW broken AS SELECT * FROM gone;
            CREATE VIEW persons AS SELECT id, email, password FROM people;
            CREATE TABLE empty (id INTEGER PRIMARY KEY, email TEXT, password TEXT);";
        let url = sqlite(&server, "hostile.db", sql.to_owned()).await;
        let (status, _, error) = import(&server, "flask", &url, &["--yes"]);
        assert!(status == 2 && error.contains("empty, people, persons; name one with --table"), "{error}");
        let (status, output, error) = import(&server, "flask", &url, &["--yes", "--table", "people"]);
        assert_eq!((status, output.as_str()), (1, "imported 2 users (1 without a password); already there: 0; refused: 7\n"), "{error}");
        for reason in ["row with id 2: ", "row with id 3: email is not UTF-8", "row with id 4: has a value of more than 65536 bytes", "row with id 5: disabled is neither true nor false: \"perhaps\"", "row with id 6: created_at", "row with id 7: ", "row with id 9: the address is that of another account"] {
            assert!(error.contains(reason), "{reason}: {error}");
        }
        assert_eq!(shown(&server, "ada@example.com"), values("42", false, "2021-03-04T05:06:07Z", false, &[], "1"));
        assert_eq!(shown(&server, "heidi@example.com"), values("heidi", false, "2021-03-04T05:06:07Z", true, &[], "8"));
        let (status, output, error) = import(&server, "flask", &url, &["--yes", "--table", "persons", "--dry-run"]);
        assert!(status == 1 && output.contains("already there: 2"), "a view has no key but an id: {output} {error}");
        let (status, output, error) = import(&server, "flask", &url, &["--yes", "--table", "empty"]);
        assert_eq!((status, output.as_str()), (0, "imported 0 users; already there: 0; refused: 0\n"), "{error}");
    }

    async fn a_table_of_many_rows_is_imported_in_batches(server: TestServer) {
        let sql = "CREATE TABLE user (id INTEGER PRIMARY KEY, email TEXT, password TEXT);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
            INSERT INTO user SELECT i, 'u' || i || '@example.com', NULL FROM n;";
        let url = sqlite(&server, "many.db", sql.to_owned()).await;
        let (status, output, error) = import(&server, "flask", &url, &["--yes", "--json"]);
        let summary: Value = serde_json::from_str(&output).unwrap();
        assert_eq!((status, &summary["imported"]), (0, &2500.into()), "{error}");
        assert_eq!(server.cli_json(&["events", "list", "--name", "users_imported"]).as_array().unwrap().len(), 3);
        assert_eq!(server.cli_json(&["user", "show", "u2500@example.com"])["legacy_id"], "2500");
    }

    async fn databases_that_cannot_be_read_are_told_without_their_passwords(server: TestServer) {
        let nowhere = handstamp_testing::free_address();
        let url = format!("postgresql://ada:walnut-trumpet@{nowhere}/app");
        let (status, _, error) = import(&server, "django", &url, &["--yes"]);
        assert!(status == 1 && error.contains(&nowhere) && !error.contains("walnut"), "{error}");
        let refused = Postgres::shared().new_database().replace("postgres@", "eve:walnut-trumpet@");
        let (status, _, error) = import(&server, "django", &refused, &["--yes"]);
        assert!(status == 1 && error.contains("eve") && !error.contains("walnut"), "{error}");
        let missing = server.folder().join("missing.db");
        let (status, _, error) = import(&server, "django", &format!("sqlite:///{}", missing.display()), &["--yes"]);
        assert!(status == 1 && error.contains("missing.db") && !missing.exists(), "{error}");
        let text = server.folder().join("text.db");
        fs::write(&text, "this is no database, but a text that is long enough for a header".repeat(20)).unwrap();
        let (status, _, error) = import(&server, "django", &format!("sqlite:///{}", text.display()), &["--yes"]);
        assert!(status == 1 && error.contains("not a database"), "{error}");
    }

    async fn a_database_is_only_read_and_may_be_locked(server: TestServer) {
        let url = former(&server, "flask.sql").await;
        let path = PathBuf::from(url.strip_prefix("sqlite:///").unwrap());
        let before = fs::read(&path).unwrap();
        assert_eq!(import(&server, "flask", &url, &["--yes"]).0, 1);
        assert_eq!(fs::read(&path).unwrap(), before);
        let mut other = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        other.execute("BEGIN EXCLUSIVE").await.unwrap();
        let (status, _, error) = tokio::task::block_in_place(|| import(&server, "flask", &url, &["--yes"]));
        assert!(status == 1 && error.contains("locked"), "{error}");
    }

    async fn commands_that_do_not_fit_a_system_are_refused(server: TestServer) {
        let file = path_of("auth0_users.ndjson");
        for (arguments, says) in [
            (vec!["sqlite:///app.db"], "--from must say whose database this is"),
            (vec!["--from", "flask", &file], "name its URL"),
            (vec!["--from", "devise", "mysql://root:walnut@localhost/app"], "MySQL"),
            (vec!["--from", "auth0", "sqlite:///app.db"], "reads a file"),
            (vec!["--from", "auth0", &file, "--hash-config", &file], "--hash-config needs --from firebase"),
            (vec!["--from", "keycloak", &file, "--passwords", &file], "--passwords needs --from auth0"),
            (vec!["--from", "keycloak", &file, "--table", "users"], "--table needs the URL"),
            (vec!["--from", "keycloak", &file], "no list \"users\""),
            (vec!["--from", "auth0", &file, "--map", "mail=email"], "no key of the first 4 users"),
            (vec!["--from", "auth0", &file, "--map", "a=name", "--map", "b=name"], "two columns for name"),
            (vec!["--from", "auth0", &file, "--without", "mail"], "there is no field"),
            (vec![&file, "--yes"], "--from"),
        ] {
            let (status, _, error) = server.run_cli(&[vec!["import"], arguments.clone()].concat(), "");
            assert!(status == 2 && error.contains(says) && !error.contains("walnut"), "{arguments:?}: {error}");
        }
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
    }
}
