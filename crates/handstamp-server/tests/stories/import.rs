//! `handstamp import` and `handstamp export --users`: whole files, hostile ones, and runs that are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use handstamp_testing::{ADAS_PASSWORD, SeededRng, TempFolder, TestServer, handstamp_binary};
use serde_json::Value;

const PASSWORD: &str = "plum-octave-harbour";
/// The hash of [`PASSWORD`] with settings that take little work.
const HASH: &str = "$argon2id$v=19$m=64,t=1,p=1$AwMDAwMDAwMDAwMDAwMDAw$RbmHvRFYw3Kv0qz0c6Ut2tVm8bL9SgT1v7JtKq5m3hE";

/// Vectors of other systems' hashes of [`PASSWORD`], one of each scheme that is cheap to check.
fn vectors() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../handstamp-core/tests/imported_hashes/vectors.jsonl");
    let mut hashes = BTreeMap::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        if vector["kind"] == "prefixed" && vector["password"] == PASSWORD {
            let hash = vector["hash"].as_str().unwrap();
            let cheap = [
                "scrypt:1024",
                "pbkdf2:sha256:1000",
                "pbkdf2_sha256$1000",
                "bcrypt$$2b$04",
                "$5$rounds=1000",
                "$2y$04",
                "$argon2i$v=19$m=64",
            ];
            if let Some(prefix) = cheap.iter().find(|prefix| hash.starts_with(**prefix)) {
                hashes.insert((*prefix).to_owned(), hash.to_owned());
            }
        }
    }
    assert_eq!(hashes.len(), 7, "{hashes:?}");
    hashes
}

fn write(server: &TestServer, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = server.folder().join(name);
    fs::write(&path, content).unwrap();
    path
}

/// Runs `import` with a file of this content.
fn import(server: &TestServer, name: &str, content: impl AsRef<[u8]>, flags: &[&str]) -> (i32, String, String) {
    let path = write(server, name, content);
    server.run_cli(&[&["import", path.to_str().unwrap()], flags].concat(), "")
}

/// All users as `export` has them, without the ids, which an import does not take over.
fn exported(server: &TestServer) -> Vec<Value> {
    let (status, output, error) = server.run_cli(&["export", "--users"], "");
    assert!(status == 0 && error.contains("hashes of their passwords"), "{error}");
    let row = |line: &str| {
        let mut user: Value = serde_json::from_str(line).unwrap();
        user.as_object_mut().unwrap().remove("id").unwrap();
        user
    };
    output.lines().map(row).collect()
}

/// Kills an import several times, and then lets it end. It imports so many users, each with an id and a group.
pub(super) async fn goes_on_after_kills(server: &TestServer, arguments: &[&str], users: usize) {
    let rng = SeededRng::new(u64::from(std::process::id()));
    let (mut kills, mut stored) = (0, BTreeSet::new());
    for _ in 0..40 {
        let mut run = server
            .cli_command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Some are killed while they start, and some once they have stored more.
        if kills % 3 > 0 {
            let before = server.count("SELECT COUNT(*) FROM users").await;
            while run.try_wait().unwrap().is_none() && server.count("SELECT COUNT(*) FROM users").await == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        tokio::time::sleep(rng.up_to(Duration::from_millis(200))).await;
        if run.try_wait().unwrap().is_some() {
            break;
        }
        run.kill().unwrap();
        run.wait().unwrap();
        kills += 1;
        stored.insert(server.count("SELECT COUNT(*) FROM users").await);
        if kills >= 6 && stored.len() > 2 {
            break;
        }
    }
    let (status, output, error) = server.run_cli(arguments, "");
    assert_eq!(status, 0, "{error}");
    assert!(kills >= 2 && stored.len() > 1, "{kills} kills, at {stored:?}: {output}");
    assert!(output.ends_with("refused: 0\n"), "{output}");
    let all = i64::try_from(users).unwrap();
    assert_eq!(server.count("SELECT COUNT(*) FROM users").await, all);
    assert_eq!(server.count("SELECT COUNT(DISTINCT legacy_id) FROM users").await, all);
    assert_eq!(server.count("SELECT COUNT(*) FROM user_groups").await, all);
    let (_, output, _) = server.run_cli(arguments, "");
    assert_eq!(output, format!("imported 0 users; already there: {users}; refused: 0\n"));
    let imported: i64 = {
        let events = server.cli_json(&["events", "list", "--name", "users_imported", "--limit", "1000"]);
        events.as_array().unwrap().iter().map(|event| event["fields"]["users"].as_i64().unwrap()).sum()
    };
    assert_eq!(imported, all, "the audit log has each user once");
    assert!(server.passes_integrity_check().await);
}

handstamp_testing::stories! {
    async fn imported_users_of_every_scheme_sign_in_and_get_our_hash(server: TestServer) {
        let mut rows = String::from("uid,mail,password_hash,groups,created_at,note\n");
        for (number, hash) in vectors().values().enumerate() {
            writeln!(rows, "{number},U{number}@Example.com,\"{hash}\",\"staff,board\",2020-02-03 04:05:06,x").unwrap();
        }
        let flags = ["--map", "uid=legacy_id", "--map", "mail=email"];
        let (status, output, error) = import(&server, "users.csv", &rows, &flags);
        assert_eq!((status, output.as_str()), (0, "imported 7 users; already there: 0; refused: 0\n"), "{error}");
        assert!(error.contains("not imported: note"), "{error}");
        let shown = server.cli_json(&["user", "show", "u3@example.com"]);
        for (field, value) in [("legacy_id", "3"), ("created_at", "2020-02-03T04:05:06Z"), ("email", "U3@example.com"), ("name", "U3")] {
            assert_eq!(shown[field], value, "{field}");
        }
        assert_eq!((&shown["groups"][0], &shown["email_verified"]), (&"board".into(), &false.into()));
        for number in 0..7 {
            let (visitor, email) = (server.visitor(), format!("u{number}@example.com"));
            assert_eq!(visitor.signs_in(&email, "wrong-password-here").await.status, 422, "{email}");
            assert_eq!(visitor.signs_in(&email, PASSWORD).await.status, 303, "{email}");
            let seen: Value = serde_json::from_str(&visitor.opens("/account/api/v1/session").await.body).unwrap();
            assert_eq!(seen["user"]["legacy_id"], number.to_string());
        }
        assert_eq!(server.count("SELECT COUNT(*) FROM users WHERE password_hash LIKE '$argon2id$%' AND password_cost IS NULL").await, 7);
        for number in 0..7 {
            assert_eq!(server.visitor().signs_in(&format!("u{number}@example.com"), PASSWORD).await.status, 303);
        }
        let (status, output, _) = import(&server, "users.csv", &rows, &flags);
        assert_eq!((status, output.as_str()), (0, "imported 0 users; already there: 7; refused: 0\n"), "they have other hashes now");
        let events = server.cli_json(&["events", "list", "--name", "users_imported"]);
        assert_eq!((events.as_array().unwrap().len(), &events[0]["fields"]["users"]), (1, &7.into()));
    }

    async fn a_live_session_tells_the_former_id_without_a_statement(mut server: TestServer) {
        server.enable_metrics();
        let row = format!("{{\"email\":\"ada@example.com\",\"legacy_id\":\"old-42\",\"email_verified\":true,\"password_hash\":\"{}\"}}\n", vectors()["$2y$04"]);
        assert_eq!(import(&server, "users.jsonl", row, &[]).0, 0);
        let ada = server.visitor();
        assert_eq!(ada.signs_in("ada@example.com", PASSWORD).await.status, 303);
        let claims = async || {
            let answer = ada.opens("/auth/request").await;
            let assertion = answer.header("handstamp-assertion").to_owned();
            let claims = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(assertion.split('.').nth(1).unwrap()).unwrap();
            serde_json::from_slice::<Value>(&claims).unwrap()
        };
        assert_eq!(claims().await["legacy_id"], "old-42");
        let before = server.db_statements("request").await;
        assert_eq!(claims().await["legacy_id"], "old-42");
        assert!(ada.opens("/account/api/v1/session").await.body.contains("old-42"));
        assert!((server.db_statements("request").await - before).abs() < 0.5, "the claim costs no statement");
        assert!(ada.opens("/account/export").await.status != 500);
    }

    async fn a_hostile_file_stops_nothing_and_its_rows_are_refused_by_line_and_reason(server: TestServer) {
        server.ada().await;
        let mut file = b"\xEF\xBB\xBFemail,name,legacy_id,password_hash,bio\r\n".to_vec();
        file.extend_from_slice(b"one@example.com,One,1,,\r\n");
        file.extend_from_slice(b"ONE@EXAMPLE.COM,Other,2,,\r\n");
        file.extend_from_slice(b"two@m\xC3\xBCnchen.example,Two,1,,\"a\nb\"\r\n");
        file.extend_from_slice(b"ada@example.com,Ada,3,,\r\n");
        file.extend_from_slice(b"three@example.com,\xFF,4,,\r\n");
        file.extend_from_slice(b"four@example.com,F\0ur,5,,\r\n");
        file.extend_from_slice(b"five@example.com,Five,6,5f4dcc3b5aa765d61d8327deb882cf99,\r\n");
        file.extend_from_slice(b"six@example.com,Six,7,$2y$31$UwJB1g/5vKZjNPCyxJ0bEOI0dUQWXvI2b1sGhv6E7rXmkyC3VQ3FK,\r\n");
        file.extend_from_slice(format!("seven@example.com,{},8,,\r\n", "x".repeat(100_000)).as_bytes());
        file.extend_from_slice(b"eight@example.com,Eight\r\n");
        file.extend_from_slice(b"nine@example.com,Nine,9,,");
        let refused = server.folder().join("refused.csv");
        let (status, output, error) = import(&server, "users.csv", file, &["--refused", refused.to_str().unwrap()]);
        assert_eq!((status, output.as_str()), (1, "imported 2 users (2 without a password); already there: 0; refused: 9\n"), "{error}");
        for line in [
            "line 3: the address is that of another account",
            "line 4: the id 1 is that of another account (one@example.com)",
            "line 6: the address is that of another account",
            "line 7: name is not UTF-8",
            "line 8: the name contains a control character",
            "line 9: the password hash is weak",
            "line 10: the ",
            "line 11: is longer than 65536 bytes",
            "line 12: has 2 fields, and the header line has 5",
            "9 rows were refused",
        ] {
            assert!(error.contains(line), "{line}: {error}");
        }
        assert_eq!(fs::metadata(&refused).unwrap().permissions().mode() & 0o777, 0o600);
        let written = fs::read(&refused).unwrap();
        let corrected = written.iter().map(|byte| if *byte == 0xFF { b'?' } else { *byte }).collect();
        let corrected = String::from_utf8(corrected).unwrap().replace("example,Two,1,", "example,Two,10,");
        let (_, output, error) = import(&server, "corrected.csv", corrected, &[]);
        assert!(output.starts_with("imported 2 users (2 without a password)"), "{output} {error}");
        assert!(!error.contains("not imported: refused"), "{error}");
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 5);
    }

    async fn a_dry_run_finds_what_a_run_finds_and_stores_nothing(server: TestServer) {
        // More than one batch, so that a double is in another one.
        let mut rows = String::from("email,legacy_id,legacy_session_key\n");
        for number in 0..2500 {
            writeln!(rows, "u{number}@example.com,{number},k{number}").unwrap();
        }
        rows += "U0@example.com,9000,\nu1@example.com,1,k1\nlast@example.com,2,\nother@example.com,9001,k3\n";
        let says = "2500 users (2500 without a password); already there: 1; refused: 3\n";
        let (status, output, tried) = import(&server, "users.csv", &rows, &["--dry-run"]);
        assert_eq!((status, output), (1, format!("would import {says}")), "{tried}");
        assert_eq!(server.count("SELECT COUNT(*) FROM users").await, 0);
        let (status, output, error) = import(&server, "users.csv", &rows, &["--json"]);
        let summary: Value = serde_json::from_str(&output).unwrap();
        assert_eq!((status, &summary["imported"], &summary["refused"]), (1, &2500.into(), &3.into()), "{error}");
        for part in [
            "line 2502: the address is that of another account",
            "line 2504: the id 2 is that of",
            "line 2505: the legacy_session_key is that of another account",
        ] {
            assert!(tried.contains(part) && error.contains(part), "{part}: {tried} {error}");
        }
    }

    async fn a_run_that_is_killed_goes_on_without_doubles_or_gaps(server: TestServer) {
        const USERS: usize = 12_000;
        let mut rows = String::new();
        for number in 0..USERS {
            writeln!(rows, "{{\"email\":\"u{number}@example.com\",\"legacy_id\":{number},\"groups\":[\"staff\"],\"password_hash\":\"{HASH}\"}}").unwrap();
        }
        let path = write(&server, "users.jsonl", rows);
        goes_on_after_kills(&server, &["import", path.to_str().unwrap()], USERS).await;
    }

    async fn an_export_is_imported_into_an_empty_site_and_its_users_sign_in(server: TestServer) {
        server.ada().await;
        let mut rows = String::from("email,name,password_hash,email_verified,disabled,groups,legacy_id\n");
        for (number, hash) in vectors().values().enumerate() {
            writeln!(rows, "u{number}@example.com,\"Name, {number}\",\"{hash}\",1600000000,{},staff,id-{number}", number == 6).unwrap();
        }
        rows += "without@example.com,Without,,,,,\n";
        assert_eq!(import(&server, "users.csv", rows, &[]).0, 0);
        let before = exported(&server);
        assert_eq!(before.len(), 9);
        let file = server.folder().join("export.jsonl");
        let name = file.to_str().unwrap();
        assert_eq!(server.run_cli(&["export", "--users", name], "").0, 0);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let (status, _, error) = server.run_cli(&["export", "--users", name], "");
        assert!(status == 2 && error.contains("--force"), "{error}");
        assert_eq!(server.run_cli(&["export", "--users", name, "--force"], "").0, 0);
        assert_eq!(server.run_cli(&["export"], "").0, 2);

        for other in [TestServer::on_sqlite(), TestServer::on_postgres()] {
            let (status, output, error) = other.run_cli(&["import", name], "");
            assert_eq!((status, output.as_str()), (0, "imported 9 users (1 without a password); already there: 0; refused: 0\n"), "{error}");
            assert_eq!(exported(&other), before);
            assert_eq!(other.visitor().signs_in("ada@example.com", ADAS_PASSWORD).await.status, 303);
            for number in 0..7 {
                let status = other.visitor().signs_in(&format!("u{number}@example.com"), PASSWORD).await.status;
                assert_eq!(status, if number == 6 { 422 } else { 303 }, "{number}");
            }
        }
    }

    async fn a_wrong_command_is_told_from_rows_that_are_refused(server: TestServer) {
        for (name, content, flags, status, says) in [
            ("a.csv", "", &[][..], 2, "the input is empty"),
            ("b.csv", "ada@example.com,Ada\n", &[], 2, "no column email"),
            ("c.csv", "email\n", &["--map", "id=legacy_id"], 2, "the columns are email"),
            ("d.csv", "email\n", &["--map", "email=mail"], 2, "the fields are email, name"),
            ("e.csv", "email\n", &["--refused", "e.csv"], 2, "exists and has no refused rows"),
            ("f.json", "[{}]", &[], 2, "one JSON list"),
            ("g.csv", "email\n", &[], 0, ""),
            ("h.jsonl", "{\"email\":\"ada@example.com\"}\n", &["--map", "uid=legacy_id"], 2, "no key of the first"),
        ] {
            let (given, _, error) = import(&server, name, content, flags);
            assert!(given == status && error.contains(says), "{name}: {given} {error}");
        }
        let (status, _, error) = server.run_cli(&["import", "missing.csv"], "");
        assert!(status == 1 && error.contains("missing.csv"), "{error}");
        let (status, output, error) = server.run_cli(&["import", "-", "--format", "csv"], "email,name\nada@example.com,Ada\n");
        assert_eq!((status, output.as_str()), (0, "imported 1 user (1 without a password); already there: 0; refused: 0\n"), "{error}");
    }
}

#[tokio::test]
async fn an_import_makes_the_data_folder_and_a_server_starts_on_it() {
    let folder = TempFolder::new();
    let input = folder.path().join("users.csv");
    fs::write(&input, "email,name\nada@example.com,Ada\n").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(handstamp_binary());
        command.args(arguments).env_clear().current_dir(folder.path()).output().unwrap()
    };
    let missing = run(&["import", "other.csv"]);
    assert!(missing.status.code() == Some(1) && !folder.path().join("handstamp-data").exists());
    let output = run(&["import", "users.csv"]);
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    let data = folder.path().join("handstamp-data");
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(data.join("secret.key").exists());
    let listed = run(&["user", "list", "--json"]);
    assert!(String::from_utf8(listed.stdout).unwrap().contains("ada@example.com"));
}
