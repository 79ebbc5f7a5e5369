//! The commands of the documents, each block run by one test.

use std::path::{Path, PathBuf};

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::SET_COOKIE;
use axum::{Json, Router};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};

use super::site::Site;
use super::{ROOT, blocks_of_commands, commands, documents, read};

const PASSWORD: &str = "plum-octave-harbour";

/// How a block of commands is shown to work.
enum Shown {
    /// By a test of this file.
    Here(&'static str),
    /// By a test in another file.
    By(&'static str),
    /// Not at all, for this reason.
    Not(&'static str),
}

use Shown::{By, Here, Not};

const QUICK_START: &str = "docs/src/quick-start-binary.md";
const IN_FRONT: &str = "docs/src/guide/in-front-of-an-app.md";
const PYTHON: &str = "docs/src/guide/python.md";
const NODE: &str = "docs/src/guide/node.md";
const REVERSE_PROXY: &str = "docs/src/guide/reverse-proxy.md";
const BREACHED: &str = "docs/src/guide/breached-passwords.md";
const ASSERTIONS: &str = "crates/handstamp-server/tests/stories/assertion_verification.rs";
const APPS: &str = "sdk/tests/test_documents.py";
const DOCTOR: &str = "docs/src/guide/doctor.md";
const INSTALL: &str = "docs/src/guide/install.md";
const PACKAGES: &str = "script/package";
const ADMINISTRATION: &str = "crates/handstamp-server/tests/stories/administration.rs";
const ACCOUNT_LIFE: &str = "crates/handstamp-server/tests/stories/account_life.rs";
const IMPORT: &str = "docs/src/guide/import.md";
const MOVING_SESSIONS: &str = "docs/src/guide/moving-sessions.md";
const IMPORT_TABLES: &str = "docs/src/guide/import-tables.md";
const FROM_FLASK: &str = "docs/src/guide/from-flask.md";
const FROM_DJANGO: &str = "docs/src/guide/from-django.md";
const FROM_RAILS: &str = "docs/src/guide/from-rails.md";
const FROM_LARAVEL: &str = "docs/src/guide/from-laravel.md";
const FROM_BETTER_AUTH: &str = "docs/src/guide/from-better-auth.md";
const FROM_AUTH0: &str = "docs/src/guide/from-auth0.md";
const FROM_FIREBASE: &str = "docs/src/guide/from-firebase.md";
const FROM_KEYCLOAK: &str = "docs/src/guide/from-keycloak.md";
const AUDIT_LOG: &str = "docs/src/guide/audit-log.md";
const BACKUP: &str = "crates/handstamp-server/tests/stories/backup_and_restore.rs";
const FACTORS: &str = "crates/handstamp-server/tests/stories/second_factors.rs";
const NODES: &str = "crates/handstamp-server/tests/stories/multiple_nodes.rs";
/// The pages of this folder are followed as a whole, by `script/recipes`.
const RECIPES: &str = "docs/src/guide/recipes/";

/// Every block: its document and how its first line begins.
const BLOCKS: [(&str, &str, Shown); 63] = [
    ("CONTRIBUTING.md", "cargo build", Not("the build is the one that runs this test")),
    ("CONTRIBUTING.md", "cargo test", Not("the whole of the tests runs this one")),
    ("README.md", "cargo run", Here("the_quick_start_starts_a_server_without_settings")),
    ("README.md", "handstamp serve --app", Here("the_quick_start_stands_in_front_of_an_app")),
    ("README.md", "handstamp serve --public-url", Here("the_quick_start_puts_a_proxy_in_front_of_an_app")),
    (QUICK_START, "cargo run", Here("the_quick_start_starts_a_server_without_settings")),
    (QUICK_START, "cargo install", Not("it builds the release binary once more")),
    (QUICK_START, "handstamp serve --app", Here("the_quick_start_stands_in_front_of_an_app")),
    (QUICK_START, "handstamp serve --public-url", Here("the_quick_start_puts_a_proxy_in_front_of_an_app")),
    (QUICK_START, "handstamp user add", Here("the_quick_start_creates_a_user")),
    ("docs/src/guide/administration.md", "handstamp user groups", By(ADMINISTRATION)),
    ("docs/src/guide/lost-password.md", "handstamp user reset-link", By(ACCOUNT_LIFE)),
    ("docs/src/guide/invitations.md", "handstamp user invite", By(ACCOUNT_LIFE)),
    (AUDIT_LOG, "handstamp events list\n", Here("the_audit_log_is_listed_and_verified_in_the_shell")),
    (AUDIT_LOG, "handstamp events list --after", Here("the_audit_log_is_listed_and_verified_in_the_shell")),
    (AUDIT_LOG, "handstamp events head", Here("the_audit_log_is_listed_and_verified_in_the_shell")),
    (AUDIT_LOG, "HEAD=", Here("the_audit_log_is_listed_and_verified_in_the_shell")),
    ("docs/src/guide/backup.md", "handstamp backup", By(BACKUP)),
    ("docs/src/guide/backup.md", "handstamp restore", By(BACKUP)),
    (BREACHED, "handstamp passwords build", Here("a_blocklist_is_made_and_used")),
    ("docs/src/guide/configuration.md", "HANDSTAMP_SECRET_KEY_FILE", Here("a_secret_is_read_from_a_file")),
    ("docs/src/guide/custom-pages.md", "mkdir templates", Here("a_copied_template_is_served")),
    (DOCTOR, "handstamp doctor", Here("a_new_site_is_checked_in_the_shell")),
    (INSTALL, "systemctl restart", By(PACKAGES)),
    (INSTALL, "sudo -u handstamp", Not("it needs the package of Debian")),
    (INSTALL, "podman load", Not("it needs podman; script/package runs the image with runc")),
    (
        INSTALL,
        "podman run --health-cmd",
        Not("it needs podman; script/package runs the command in the image with runc"),
    ),
    (INSTALL, "cargo install", Not("it builds the release binary once more")),
    (IMPORT, "handstamp import users.csv --map id=legacy_id\n", Here("users_are_imported_and_exported_in_the_shell")),
    (
        IMPORT,
        "handstamp import users.csv --map id=legacy_id --dry-run",
        Here("users_are_imported_and_exported_in_the_shell"),
    ),
    (IMPORT, "psql", Not("it needs the database of another app")),
    (IMPORT, "handstamp export --users", Here("users_are_imported_and_exported_in_the_shell")),
    (
        FROM_FLASK,
        "handstamp import --from flask sqlite:///instance/app.db\n",
        Here("users_of_other_systems_are_imported_in_the_shell"),
    ),
    (
        FROM_FLASK,
        "handstamp import --from flask sqlite:///instance/app.db --group",
        Here("users_of_other_systems_are_imported_in_the_shell"),
    ),
    (FROM_DJANGO, "handstamp import --from django", Here("users_of_other_systems_are_imported_in_the_shell")),
    (FROM_RAILS, "handstamp import --from devise", Here("users_of_other_systems_are_imported_in_the_shell")),
    (FROM_LARAVEL, "handstamp import --from laravel", Here("users_of_other_systems_are_imported_in_the_shell")),
    (FROM_BETTER_AUTH, "handstamp import --from better-auth", Here("users_of_other_systems_are_imported_in_the_shell")),
    (IMPORT_TABLES, "mysql --batch", Not("it needs a server of MySQL")),
    (FROM_AUTH0, "handstamp import --from auth0", Here("users_of_other_systems_are_imported_in_the_shell")),
    (FROM_FIREBASE, "firebase auth:export", Here("users_of_other_systems_are_imported_in_the_shell")),
    (FROM_KEYCLOAK, "bin/kc.sh export", Here("users_of_other_systems_are_imported_in_the_shell")),
    (FROM_KEYCLOAK, "handstamp import --from keycloak", Here("users_of_other_systems_are_imported_in_the_shell")),
    (IN_FRONT, "handstamp serve --app", Here("the_quick_start_stands_in_front_of_an_app")),
    ("docs/src/guide/mail.md", "handstamp mail test", By("crates/handstamp-server/tests/stories/mail.rs")),
    (
        MOVING_SESSIONS,
        "handstamp import users.csv --map id=legacy_id --map",
        Here("a_site_that_moves_keeps_its_users_signed_in"),
    ),
    (NODE, "HANDSTAMP_APP__ACCESS", Here("visitors_reach_the_apps_of_the_packages")),
    (NODE, "(cd sdk/node", By(APPS)),
    ("docs/src/guide/production.md", "cd /etc", By("docs/tests/systemd.py")),
    (PYTHON, "HANDSTAMP_APP__ACCESS", Here("visitors_reach_the_apps_of_the_packages")),
    (PYTHON, "cd examples/flask-app", By(APPS)),
    (REVERSE_PROXY, "handstamp serve --public-url", Here("the_quick_start_puts_a_proxy_in_front_of_an_app")),
    (REVERSE_PROXY, "handstamp doctor https", Not("it needs a host on the internet")),
    ("docs/src/guide/rotate-secrets.md", "handstamp secret rotate", Here("a_rotation_begins_in_the_shell")),
    ("docs/src/guide/rotate-secrets.md", "handstamp secret generate", Here("a_generated_secret_is_accepted")),
    ("docs/src/guide/second-factors.md", "handstamp user show", By(FACTORS)),
    ("docs/src/guide/several-nodes.md", "export", By(NODES)),
    ("docs/src/guide/users.md", "handstamp user add", Here("users_are_managed_in_the_shell")),
    ("docs/src/guide/verify-identity.md", "cd examples/flask", By(ASSERTIONS)),
    ("docs/src/guide/verify-identity.md", "cd examples/node", By(ASSERTIONS)),
    ("docs/src/guide/without-a-proxy.md", "curl", Here("an_app_asks_the_api_for_the_user")),
    ("docs/src/reference/api.md", "SITE=", Here("a_user_signs_in_and_out_by_the_api")),
    ("docs/src/reference/command-line.md", "printf", Here("a_password_is_read_from_standard_input")),
];

#[test]
fn every_block_of_commands_is_run_or_has_a_reason() {
    let mut blocks: Vec<_> = BLOCKS.iter().collect();
    for document in documents().into_iter().filter(|document| !document.starts_with(RECIPES)) {
        for block in blocks_of_commands(&document) {
            let found = blocks.iter().position(|(of, beginning, _)| *of == document && block.starts_with(beginning));
            blocks.remove(found.unwrap_or_else(|| panic!("{document} has commands that no test runs:\n{block}")));
        }
    }
    let gone: Vec<_> = blocks.iter().map(|(document, beginning, _)| (document, beginning)).collect();
    assert!(gone.is_empty(), "the documents no longer have {gone:?}");
    for (document, _, shown) in &BLOCKS {
        match shown {
            Here(test) => assert!(include_str!("commands.rs").contains(&format!("fn {test}()")), "{test}"),
            By(file) => assert!(Path::new(ROOT).join(file).exists(), "{file}"),
            Not(reason) => assert!(!reason.is_empty(), "{document}"),
        }
    }
}

/// A running site.
fn served() -> Site {
    let mut site = Site::new();
    site.start("handstamp serve", 8080);
    site
}

#[test]
fn a_new_site_is_checked_in_the_shell() {
    let site = served();
    let printed = site.run(&commands(DOCTOR, "handstamp doctor"), "");
    assert!(printed.contains("ok    the database can be opened\n") && !printed.contains("FAIL"), "{printed}");
    let text = read(DOCTOR);
    for check in printed.lines().filter(|line| !line.starts_with("  ")).map(|line| &line[6..]) {
        assert!(text.contains(&format!("| {check} |")), "{DOCTOR} has no row for: {check}");
    }
}

#[test]
fn the_quick_start_starts_a_server_without_settings() {
    let block = commands(QUICK_START, "cargo run");
    assert_eq!(commands("README.md", "cargo run"), block);
    let arguments = block.trim_end().strip_prefix("cargo run --release -- ").expect("cargo runs the program");
    let mut site = Site::new();
    // Nothing but the port is set.
    site.start(&format!("handstamp {arguments}"), 8080);
    let (url, address) = (format!("http://localhost:{}", site.port(8080)), format!("127.0.0.1:{}", site.port(8080)));
    assert!(site.log().contains(&format!("Handstamp is at {url} (listening on {address})")), "{}", site.log());
    assert_eq!((site.mode("handstamp-data"), site.mode("handstamp-data/handstamp.db")), (0o700, 0o600));
    assert_eq!(site.mode("handstamp-data/secret.key"), 0o600);
    assert!(site.run("curl -sf http://localhost:8080/account/register", "").contains("<form"));
}

/// Answers with the headers of the request, so that `doctor` can see what an app gets.
async fn echo(request: Request) -> Json<Vec<String>> {
    let (request, body) = request.into_parts();
    // A long body that is not read makes the connection break.
    to_bytes(body, usize::MAX).await.unwrap();
    Json(
        request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default())).collect(),
    )
}

/// Starts an app that answers every request with its headers.
async fn starts_an_app(port: u16) {
    let app = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async { axum::serve(app, Router::new().fallback(echo)).await.unwrap() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_stands_in_front_of_an_app() {
    let block = commands(QUICK_START, "handstamp serve --app");
    assert_eq!(commands(IN_FRONT, "handstamp serve --app"), block);
    assert_eq!(commands("README.md", "handstamp serve --app"), block);
    let mut site = Site::new();
    starts_an_app(site.port(5000)).await;
    let printed = tokio::task::spawn_blocking(move || {
        let lines: Vec<&str> = block.lines().collect();
        let [serve, doctor] = lines.as_slice() else { panic!("{block}") };
        site.start(serve, 8080);
        site.run(doctor, "")
    });
    let printed = printed.await.unwrap();
    assert!(printed.contains("ok") && !printed.contains("FAIL"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visitors_reach_the_apps_of_the_packages() {
    let block = commands(PYTHON, "HANDSTAMP_APP__ACCESS");
    assert_eq!(commands(NODE, "HANDSTAMP_APP__ACCESS"), block);
    let mut site = Site::new();
    starts_an_app(site.port(3000)).await;
    let printed = tokio::task::spawn_blocking(move || {
        site.start(&block, 8080);
        site.run("curl -sf http://localhost:8080/", "")
    });
    let printed = printed.await.unwrap();
    assert!(printed.contains("remote-user") && !printed.contains("Sign in"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_puts_a_proxy_in_front_of_an_app() {
    let block = commands(QUICK_START, "handstamp serve --public-url");
    assert_eq!(commands("README.md", "handstamp serve --public-url"), block);
    assert_eq!(commands(REVERSE_PROXY, "handstamp serve --public-url"), block);
    let mut site = Site::new();
    starts_an_app(site.port(3000)).await;
    let printed = tokio::task::spawn_blocking(move || {
        let lines: Vec<&str> = block.lines().collect();
        let [serve, print, nginx, doctor] = lines.as_slice() else { panic!("{block}") };
        site.start(serve, 8080);
        site.run(print, "");
        site.start(nginx, 8000);
        site.run(doctor, "")
    });
    let printed = printed.await.unwrap();
    assert!(printed.contains("ok") && !printed.contains("FAIL"), "{printed}");
}

#[test]
fn the_quick_start_creates_a_user() {
    let printed = served().run(&commands(QUICK_START, "handstamp user add"), &format!("{PASSWORD}\n"));
    assert!(printed.contains("ada@example.com") && printed.contains("staff"), "{printed}");
}

#[test]
fn a_blocklist_is_made_and_used() {
    let block = commands(BREACHED, "handstamp passwords build");
    let (prepare, serve) = block.trim_end().rsplit_once('\n').unwrap();
    let mut site = Site::new();
    // printf plum-octave-harbour | sha1sum
    site.run("printf '6629022441050e947cf1cf8a7bbbe02d81169f48:3\\r\\n' > pwnedpasswords.txt", "");
    site.variables.push(("PASSWORD", "walnut-trumpet-glacier".to_owned()));
    let printed = site.run(prepare, "");
    assert!(printed.contains("1 passwords") && printed.contains("neither a common one"), "{printed}");
    site.start(serve, 8080);
    let register = format!(
        "curl -s http://localhost:8080/account/register -H 'Origin: http://localhost:8080' \
         -d name=Ada -d email=ada@example.com -d password={PASSWORD}"
    );
    assert!(site.run(&register, "").contains("data breaches"));
}

#[test]
fn a_secret_is_read_from_a_file() {
    let block = commands("docs/src/guide/configuration.md", "HANDSTAMP_SECRET_KEY_FILE");
    let mut site = Site::new();
    site.run("umask 077; head -c 32 /dev/urandom | base64 > key", "");
    assert!(block.contains("=/run/secrets/handstamp-key "), "{block}");
    site.start(&block.replace("/run/secrets/handstamp-key", "\"$PWD/key\""), 8080);
    assert!(!site.folder.join("handstamp-data/secret.key").exists(), "no key is generated beside it");
}

#[test]
fn a_copied_template_is_served() {
    let block = commands("docs/src/guide/custom-pages.md", "mkdir templates");
    let mut site = Site::new();
    std::os::unix::fs::symlink(Path::new(ROOT).join("crates").canonicalize().unwrap(), site.folder.join("crates"))
        .unwrap();
    let (copy, serve) = block.trim_end().rsplit_once('\n').unwrap();
    site.run(copy, "");
    site.run("sed -i 's/<body/<body class=\"own\"/' templates/layout.html", "");
    site.start(serve, 8080);
    let page = site.run("curl -sf http://localhost:8080/account/register", "");
    assert!(page.contains("class=\"own\""), "{page}");
}

#[test]
fn a_generated_secret_is_accepted() {
    let mut site = Site::new();
    let secret = site.run(&commands("docs/src/guide/rotate-secrets.md", "handstamp secret generate"), "");
    site.variables.push(("HANDSTAMP_SECRET_KEY", secret.trim_end().to_owned()));
    site.start("handstamp serve", 8080);
}

#[test]
fn a_rotation_begins_in_the_shell() {
    let printed = served().run(&commands("docs/src/guide/rotate-secrets.md", "handstamp secret rotate"), "");
    assert!(printed.contains("restart every node") && printed.contains("next step:"), "{printed}");
}

#[test]
fn users_are_managed_in_the_shell() {
    let block = commands("docs/src/guide/users.md", "handstamp user add");
    let printed = served().run(&block, &format!("{PASSWORD}\n"));
    assert!(printed.contains("\"email\": \"ada@example.com\""), "{printed}");
    assert!(printed.contains("staff"), "{printed}");
}

#[test]
fn users_are_imported_and_exported_in_the_shell() {
    let site = Site::new();
    site.run("printf 'id,email,groups\\n42,ada@example.com,staff\\n' > users.csv", "");
    let printed = site.run(&commands(IMPORT, "handstamp import users.csv --map id=legacy_id --dry-run"), "");
    assert!(printed.contains("would import 1 user"), "{printed}");
    let printed = site.run(&commands(IMPORT, "handstamp import users.csv --map id=legacy_id\n"), "");
    assert!(printed.contains("imported 1 user (1 without a password)"), "{printed}");
    site.run(&commands(IMPORT, "handstamp export --users"), "");
    assert_eq!(site.mode("users.jsonl"), 0o600);
    assert!(site.run("cat users.jsonl", "").contains("\"legacy_id\":\"42\""));
}

/// Makes a SQLite database by a file of tests/former_systems.
async fn makes_a_database(statements: &Path, file: &Path) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    // The tables come in another order than the references to them.
    connection.execute("PRAGMA foreign_keys = OFF").await.unwrap();
    let statements = std::fs::read_to_string(statements).unwrap();
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statements))).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_other_systems_are_imported_in_the_shell() {
    let stored = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/former_systems").to_owned();
    let systems = PathBuf::from(std::env::var("HANDSTAMP_FORMER_SYSTEMS").unwrap_or(stored));
    for (document, beginning, statements, file) in [
        (FROM_FLASK, "handstamp import --from flask sqlite:///instance/app.db\n", "flask.sql", "instance/app.db"),
        (
            FROM_FLASK,
            "handstamp import --from flask sqlite:///instance/app.db --group",
            "flask_security.sql",
            "instance/app.db",
        ),
        (FROM_DJANGO, "handstamp import --from django", "django.sql", "db.sqlite3"),
        (FROM_RAILS, "handstamp import --from devise", "devise.sql", "storage/production.sqlite3"),
        (FROM_LARAVEL, "handstamp import --from laravel", "laravel.sql", "database/database.sqlite"),
        (FROM_BETTER_AUTH, "handstamp import --from better-auth", "better_auth.sql", "auth.db"),
    ] {
        let block = commands(document, beginning);
        let site = Site::new();
        makes_a_database(&systems.join(statements), &site.folder.join(file)).await;
        // There is no terminal to ask at, and some fixtures have a row that is refused.
        let printed = site.run(&format!("{} --yes || true", block.trim_end()), "");
        assert!(printed.contains("imported ") && !printed.contains("imported 0"), "{block} {printed}");
        assert!(site.run("handstamp user list", "").contains("bob@example.com"), "{block}");
    }
    for (document, beginning, files) in [
        (
            FROM_AUTH0,
            "handstamp import --from auth0",
            vec![("auth0_users.ndjson", "users.ndjson"), ("auth0_passwords.ndjson", "passwords.ndjson")],
        ),
        (
            FROM_FIREBASE,
            "firebase auth:export",
            vec![("firebase_users.json", "users.json"), ("firebase_hash_config.txt", "hash_config.txt")],
        ),
        (FROM_KEYCLOAK, "bin/kc.sh export", vec![("keycloak_realm.json", "realm.json")]),
        (FROM_KEYCLOAK, "handstamp import --from keycloak", vec![("keycloak_realm.json", "realm.json")]),
    ] {
        let block = commands(document, beginning);
        let site = Site::new();
        for (stored, name) in files {
            std::fs::copy(systems.join(stored), site.folder.join(name)).unwrap();
        }
        // The line before it makes the export, by the other system.
        let line = block.lines().last().unwrap();
        let printed = site.run(&format!("{line} || true"), "");
        assert!(printed.contains("imported ") && !printed.contains("imported 0"), "{line} {printed}");
        assert!(site.run("handstamp user list", "").contains("bob@example.com"), "{block}");
    }
}

#[test]
fn a_site_that_moves_keeps_its_users_signed_in() {
    let mut site = Site::new();
    site.run("printf 'id,fs_uniquifier,email\\n42,5f1e8a90,ada@example.com\\n' > users.csv", "");
    let printed = site.run(&commands(MOVING_SESSIONS, "handstamp import users.csv --map id=legacy_id --map"), "");
    assert!(printed.contains("imported 1 user (1 without a password)"), "{printed}");
    let document = std::fs::read_to_string(Path::new(ROOT).join(MOVING_SESSIONS)).unwrap();
    let settings = document.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(settings.contains("\"/etc/handstamp/flask-secret\"") && settings.contains("2027-03-31"), "{settings}");
    let until = site.run("date -u -d '14 days' +%F", "");
    let secret = site.folder.join("flask-secret").display().to_string();
    let settings = settings.replace("/etc/handstamp/flask-secret", &secret).replace("2027-03-31", until.trim());
    std::fs::write(site.folder.join("handstamp.toml"), settings).unwrap();
    site.run("umask 077; head -c 32 /dev/urandom | base64 > flask-secret", "");
    site.start("handstamp serve", 8080);
    site.wait_for_log("cookies of the former framework are accepted until");
}

#[test]
fn the_audit_log_is_listed_and_verified_in_the_shell() {
    let site = served();
    site.run(&commands("docs/src/guide/users.md", "handstamp user add"), &format!("{PASSWORD}\n"));
    let listed = site.run(&commands(AUDIT_LOG, "handstamp events list\n"), "");
    assert!(listed.contains("user_created") && listed.contains("ada@example.com"), "{listed}");
    assert_eq!(site.run(&commands(AUDIT_LOG, "handstamp events list --after"), "").trim(), "[]");
    let verified = site.run(&commands(AUDIT_LOG, "handstamp events head"), "");
    assert!(verified.contains("The audit log is intact"), "{verified}");
    let verified = site.run(&commands(AUDIT_LOG, "HEAD="), "");
    assert!(verified.contains("The audit log is intact"), "{verified}");
}

#[test]
fn a_password_is_read_from_standard_input() {
    let mut site = served();
    site.variables.push(("PASSWORD", PASSWORD.to_owned()));
    site.run(&commands("docs/src/reference/command-line.md", "printf"), "");
    assert!(site.run("handstamp user list", "").contains("Ada Lovelace"));
}

/// A running site with the user of the examples.
fn with_ada() -> Site {
    let site = served();
    site.run("handstamp user add ada@example.com --name 'Ada Lovelace'", &format!("{PASSWORD}\n"));
    site
}

#[test]
fn a_user_signs_in_and_out_by_the_api() {
    let site = with_ada();
    let block = commands("docs/src/reference/api.md", "SITE=");
    assert!(block.contains(PASSWORD), "{block}");
    let printed = site.run(&block, "");
    assert_eq!(
        printed.matches("\"name\":\"Ada Lovelace\"").count(),
        2,
        "at the sign-in, and in the session: {printed}"
    );
    let after = site.run("curl -s --cookie jar http://localhost:8080/account/api/v1/session", "");
    assert!(after.contains("401"), "{after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_asks_the_api_for_the_user() {
    let mut site = tokio::task::spawn_blocking(with_ada).await.unwrap();
    let url = format!("http://localhost:{}/account/api/v1/session", site.port(8080));
    let body = format!("{{\"email\":\"ada@example.com\",\"password\":\"{PASSWORD}\"}}");
    let request = reqwest::Client::new().post(url).header("Content-Type", "application/json").body(body);
    let answer = request.send().await.unwrap();
    let cookies = answer.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap());
    let cookies: Vec<&str> = cookies.map(|line| line.split(';').next().unwrap()).collect();
    site.variables.push(("COOKIE_OF_THE_REQUEST", cookies.join("; ")));
    let block = commands("docs/src/guide/without-a-proxy.md", "curl");
    let printed = tokio::task::spawn_blocking(move || site.run(&block, "")).await.unwrap();
    let answer: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(answer["user"]["name"], "Ada Lovelace", "{printed}");
    assert!(answer["session"]["expires_at"].is_string(), "{printed}");
}
