//! The checks of `handstamp doctor` of the server itself: its files, disk, addresses, certificate, mail server and database.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use handstamp_testing::{MailServer, PgBouncer, Postgres, TestServer, make_certificate};
use serde_json::Value;

use crate::disk::SmallDisk;
use crate::in_front_of_an_app::before_an_echo;

const SETTINGS: &str = "the settings have no warnings";
const RIGHTS: &str = "only the user of the server reaches its data";
const SPACE: &str = "the disk of the data has space";
const DISK: &str = "the disk of the data suits a database";
const PUBLIC_URL: &str = "public_url is reached from where the server listens";
const PROXIES: &str = "only proxies are trusted proxies";
const CERTIFICATE: &str = "the certificate is valid for the hosts of the site";
const MAIL: &str = "mails can be sent";
const HASHING: &str = "password hashes cost an attacker enough";
const OPENED: &str = "the database can be opened";
const DURABLE: &str = "a crash of the database loses no sign-out";
const VERSION: &str = "the version of the database is a tested one";
const POOLED: &str = "statements suit what is before the database";
const DATABASE_CLOCK: &str = "the clocks of the database and of this machine agree";
const SITE_CLOCK: &str = "the clocks of the site and of this machine agree";
const SECRETS: &str = "the nodes share their secret keys";

/// The result and the reason of each check, and the exit status.
pub(crate) struct Findings(BTreeMap<String, (String, String)>, Option<i32>);

impl Findings {
    fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        let findings: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {error}"));
        let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let findings = findings.as_array().unwrap().iter();
        let all = findings.map(|each| (text(each, "check"), (text(each, "result"), text(each, "why"))));
        let findings = Self(all.collect(), output.status.code());
        let has_failed = findings.0.values().any(|(result, _)| result == "FAIL");
        assert_eq!(findings.1, Some(i32::from(has_failed)), "{:?} {error}", findings.0);
        findings
    }

    /// The names of the checks with this result.
    fn with(&self, wanted: &str) -> Vec<&str> {
        self.0.iter().filter(|(_, (result, _))| result == wanted).map(|(check, _)| check.as_str()).collect()
    }

    #[track_caller]
    pub(crate) fn has(&self, check: &str, wanted: &str, words: &str) {
        let (result, why) = self.0.get(check).unwrap_or_else(|| panic!("{check} is not there: {:?}", self.0));
        assert!(result == wanted && why.contains(words), "{check}: {result} {why}");
    }
}

fn doctor(server: &TestServer) -> Findings {
    Findings::of(server.cli_command(&["doctor", "--json"]))
}

/// The findings with other settings.
pub(crate) fn with(server: &TestServer, settings: &[(&str, &str)]) -> Findings {
    let mut command = server.cli_command(&["doctor", "--json"]);
    command.envs(settings.iter().copied());
    Findings::of(command)
}

#[tokio::test]
async fn a_new_site_passes_all_checks() {
    let server = TestServer::on_sqlite();
    let findings = doctor(&server);
    assert_eq!(findings.1, Some(0));
    // The hashes of the tests are cheap, and their folders may be in memory.
    let warned: Vec<_> = findings.with("warn").into_iter().filter(|check| ![HASHING, DISK].contains(check)).collect();
    assert!(warned.is_empty() && findings.with("?").is_empty(), "{:?}", findings.0);
    findings.has(HASHING, "warn", "weaker than OWASP");
    for check in [SETTINGS, RIGHTS, SPACE, PUBLIC_URL, PROXIES, MAIL, OPENED, DURABLE, SECRETS] {
        findings.has(check, "ok", "");
    }
    let (status, text, _) = server.run_cli(&["doctor"], "");
    assert!(
        status == 0
            && text.contains(&format!("ok    {RIGHTS}\n"))
            && text.contains(&format!("warn  {HASHING}\n      The hashing")),
        "{text}"
    );
    assert!(
        server.run_cli(&["user", "list"], "").1.contains("no accounts"),
        "without a URL there is no user of the doctor"
    );
}

#[tokio::test]
async fn files_that_others_can_read_are_reported() {
    let server = TestServer::on_sqlite();
    let data = server.folder().join("data");
    for (path, open, closed) in [("", 0o755, 0o700), ("secret.key", 0o640, 0o600), ("handstamp.db", 0o604, 0o600)] {
        let path = data.join(path);
        fs::set_permissions(&path, Permissions::from_mode(open)).unwrap();
        let findings = doctor(&server);
        findings.has(RIGHTS, "FAIL", "chmod");
        findings.has(OPENED, "FAIL", "chmod");
        fs::set_permissions(&path, Permissions::from_mode(closed)).unwrap();
    }
    fs::write(server.folder().join("handstamp.toml"), "site_name = \"Notes\"\n").unwrap();
    fs::set_permissions(server.folder().join("handstamp.toml"), Permissions::from_mode(0o664)).unwrap();
    doctor(&server).has(SETTINGS, "warn", "handstamp.toml");
}

#[tokio::test]
async fn a_disk_that_is_nearly_full_is_reported() {
    let Some(disk) = SmallDisk::mount() else { return };
    let server = disk.server();
    doctor(&server).has(SPACE, "FAIL", "MB are free");
    disk.grow();
    doctor(&server).has(SPACE, "warn", "MB are free");
    doctor(&server).has(DISK, "warn", "in memory");
    let limited = Command::new("mount").args(["-o", "remount,nr_inodes=40"]).arg(disk.data()).status();
    assert!(limited.unwrap().success());
    doctor(&server).has(SPACE, "FAIL", "more file");
}

#[tokio::test]
async fn a_missing_site_is_reported() {
    let server = TestServer::on_sqlite();
    let mut command = server.cli_command_without_settings(&["doctor", "--json", "--data-dir", "nowhere"]);
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("there are no accounts in nowhere"), "{error}");
    Findings::of(command).has(OPENED, "FAIL", "there are no accounts in nowhere");
    assert!(!server.folder().join("nowhere").exists());
    let usage = server.run_cli(&["doctor", "--app", "http://127.0.0.1:1/"], "");
    assert_eq!(usage.0, 2, "--app is of use with a URL only");
}

#[tokio::test]
async fn addresses_that_do_not_fit_are_reported() {
    let server = TestServer::on_sqlite();
    with(&server, &[("HANDSTAMP_LISTEN", "0.0.0.0:8080")]).has(PUBLIC_URL, "warn", "0.0.0.0:8080");
    with(&server, &[("HANDSTAMP_TRUSTED_PROXIES", "0.0.0.0/0")]).has(PROXIES, "FAIL", "whole internet");
    let https = ("HANDSTAMP_PUBLIC_URL", "https://id.example.com");
    with(&server, &[https]).has(PROXIES, "warn", "trusted_proxies does not list it");
    let findings = with(&server, &[https, ("HANDSTAMP_TRUSTED_PROXIES", "10.0.0.0/8")]);
    findings.has(PROXIES, "ok", "");
    findings.has(MAIL, "warn", "mail.url is not set");
    with(&server, &[("HANDSTAMP_METRICS__LISTEN", "0.0.0.0:9100")]).has(SETTINGS, "warn", "metrics.listen");
}

#[tokio::test]
async fn a_certificate_that_browsers_refuse_is_reported() {
    let server = TestServer::on_sqlite();
    let folder = server.folder();
    for (name, host, first_day) in [
        ("good", "id.example.com", -1),
        ("other", "example.com", -1),
        ("old", "id.example.com", -30),
        ("ending", "id.example.com", -6),
    ] {
        make_certificate(folder, name, host, first_day);
    }
    let findings = |certificate: &str, key: &str| {
        with(
            &server,
            &[
                ("HANDSTAMP_PUBLIC_URL", "https://id.example.com"),
                ("HANDSTAMP_TLS__CERT_FILE", &format!("{certificate}.pem")),
                ("HANDSTAMP_TLS__KEY_FILE", &format!("{key}.key")),
            ],
        )
    };
    findings("good", "good").has(CERTIFICATE, "ok", "");
    findings("other", "other").has(CERTIFICATE, "FAIL", "does not name id.example.com");
    findings("old", "old").has(CERTIFICATE, "FAIL", "has expired");
    findings("good", "old").has(CERTIFICATE, "FAIL", "does not belong");
    findings("gone", "good").has(CERTIFICATE, "FAIL", "cannot read");
    findings("ending", "ending").has(CERTIFICATE, "warn", "expires in");
}

#[tokio::test]
async fn a_mail_server_that_takes_no_mails_is_reported_and_gets_none() {
    let server = TestServer::on_sqlite();
    let from = ("HANDSTAMP_MAIL__FROM", "Example <accounts@example.com>");
    let mut mail_server = MailServer::start("accept");
    let url = mail_server.url();
    with(&server, &[from, ("HANDSTAMP_MAIL__URL", &url)]).has(MAIL, "ok", "");
    assert_eq!((mail_server.mails().len(), mail_server.connections()), (0, 1));
    mail_server.stop();
    with(&server, &[from, ("HANDSTAMP_MAIL__URL", &url)]).has(MAIL, "FAIL", "no connection to the server");
    let encrypted = MailServer::start_with("accept", &["--tls", "starttls"]);
    // This address leads to this machine, but is not taken for it, so TLS is required.
    let url = format!("smtp://0.0.0.0:{}", encrypted.port());
    let ca = encrypted.ca_file();
    let trusted = with(&server, &[from, ("HANDSTAMP_MAIL__URL", &url), ("SSL_CERT_FILE", ca.to_str().unwrap())]);
    trusted.has(MAIL, "ok", "");
    with(&server, &[from, ("HANDSTAMP_MAIL__URL", &url)]).has(MAIL, "FAIL", "no trusted TLS connection");
    assert!(encrypted.mails().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_wrong_is_reported() {
    let (server, _app) = before_an_echo(TestServer::on_postgres()).await;
    let page = format!("{}/notes", server.url);
    let at = |offset: &str| {
        let mut command = server.cli_command(&["doctor", "--json", &page]);
        command.env("LD_PRELOAD", TestServer::library_for_clocks()).env("FAKETIME", offset);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        Findings::of(command)
    };
    let right = at("+0s");
    right.has(DATABASE_CLOCK, "ok", "");
    right.has(SITE_CLOCK, "ok", "");
    let slow = at("-10s");
    slow.has(DATABASE_CLOCK, "warn", "ahead of");
    slow.has(SITE_CLOCK, "warn", "ahead of");
    let fast = at("+60s");
    fast.has(DATABASE_CLOCK, "FAIL", "behind");
    fast.has(SITE_CLOCK, "FAIL", "behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_can_lose_commits_is_reported() {
    let server = TestServer::on_postgres();
    let findings = doctor(&server);
    // The server of the tests is without fsync.
    findings.has(DURABLE, "FAIL", "fsync of the database: off");
    findings.has(VERSION, "ok", "");
    findings.has(POOLED, "ok", "");
    let name = server.database_url().rsplit('/').next().unwrap().to_owned();
    alter(&server, &format!("ALTER DATABASE \"{name}\" SET synchronous_commit = off")).await;
    doctor(&server).has(DURABLE, "FAIL", "fsync, synchronous_commit of the database: off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_read_only_or_of_a_newer_version_is_reported() {
    let server = TestServer::on_postgres();
    let name = server.database_url().rsplit('/').next().unwrap().to_owned();
    alter(&server, &format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on")).await;
    doctor(&server).has(OPENED, "FAIL", "read-only");
    let server = TestServer::on_sqlite();
    server
        .execute(
            "INSERT INTO handstamp_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, x'00', 0)",
        )
        .await;
    doctor(&server).has(OPENED, "FAIL", "newer version");
}

/// Runs a statement with the name of a database in it.
async fn alter(server: &TestServer, sql: &str) {
    use sqlx::{Connection, Executor};
    let mut connection = sqlx::PgConnection::connect(server.database_url()).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_without_its_setting_is_reported() {
    let database = Postgres::shared().new_database();
    let server = TestServer::on_database(database.clone());
    let pooler = PgBouncer::start(&database, "ignore_startup_parameters = extra_float_digits,options");
    let url = pooler.url_of(&database);
    with(&server, &[("HANDSTAMP_DATABASE_URL", &url)]).has(POOLED, "FAIL", "database.prepared_statements");
    let fitting = [("HANDSTAMP_DATABASE_URL", url.as_str()), ("HANDSTAMP_DATABASE__PREPARED_STATEMENTS", "false")];
    with(&server, &fitting).has(POOLED, "ok", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_other_secret_keys_are_reported() {
    let server = TestServer::on_sqlite();
    let other = ("HANDSTAMP_SECRET_KEY", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg");
    with(&server, &[other]).has(SECRETS, "FAIL", "does not know");
    assert_eq!(server.run_cli(&["secret", "rotate"], "").0, 0);
    doctor(&server).has(SECRETS, "warn", "A rotation is under way");
}
