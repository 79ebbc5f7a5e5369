//! Sessions of other frameworks, whose users stay signed in when Handstamp takes over: of a real Flask app, and in tables of Django,
//! express-session and better-auth. They are exchanged once at several nodes, and behind every proxy.

use std::fs;
use std::process::Command;

use handstamp_testing::{
    Page, Program, Proxy, ProxyChain, TempFolder, TestServer, Visitor, exchange_settings, free_address,
    store_express_session,
};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use super::import_from::{former, path_of, postgres, sqlite};
use super::in_front_of_an_app::in_front_of;

const FORMER_SECRET: &str = "Zr8vB2nQ5tW9yC3fH6kM1pS4uX7aD0gJ";
/// The secret of the Django project in tests/former_systems.
const DJANGO_SECRET: &str = "m$4+kq1z^8r#v2w!7x@p0u&n6(b9e-3t=5y_jhgc%slad";
const SIGN_IN: &str = "/account/login";

fn flask() -> Command {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut command = Command::new(format!("{root}/target/tools/bin/python"));
    command.arg(format!("{root}/crates/handstamp-server/tests/stories/former_flask_app.py"));
    command.env("FORMER_SECRET", FORMER_SECRET);
    command
}

/// The cookie that the app gives a user whom it signs in.
async fn signed_in_before(app: &str, id: &str) -> String {
    let visitor = Visitor::new(&format!("http://{app}"));
    for _ in 0..100 {
        if let Ok(page) = visitor.tries(visitor.form("/login", &[("id", id)])).await {
            let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
            return cookie.strip_prefix("session=").unwrap().to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the app does not answer");
}

/// Has the server exchange sessions of this framework, once it is started again.
fn exchanges(server: &mut TestServer, kind: &str, secret: &str, more: &[(&str, &str)]) {
    for (name, value) in exchange_settings(kind, secret) {
        server.set(name, &value);
    }
    for (name, value) in more {
        server.set(&format!("HANDSTAMP_LEGACY__{name}"), value);
    }
}

/// Has the server exchange sessions of express-session, in a folder. The id of Ada there is 42.
fn exchanges_files(server: &mut TestServer) -> TempFolder {
    let (status, _, errors) = server.run_cli(&["import", "-"], "email,legacy_id\nada@example.com,42\n");
    assert_eq!(status, 0, "{errors}");
    let folder = TempFolder::new();
    exchanges(server, "express-session", FORMER_SECRET, &[("FOLDER", folder.path().to_str().unwrap())]);
    server.restart();
    folder
}

/// Opens the page that exchanges, in a browser that has nothing but a cookie.
async fn resumes(server: &TestServer, cookie: (&str, &str)) -> (Visitor, Page) {
    let visitor = server.visitor();
    visitor.presents_as(cookie.0, cookie.1);
    let page = visitor.opens("/account/resume?next=%2Faccount%2Fsessions").await;
    (visitor, page)
}

/// A session in a table of a former system.
struct StoredSession<'a> {
    kind: &'a str,
    secret: &'a str,
    table: &'a str,
    cookie: (&'a str, &'a str),
}

/// Exchanges a session that the table of one database has, and not one that has expired, which is in the table of another.
async fn is_opened_from_a_table(server: &mut TestServer, session: &StoredSession<'_>, [live, expired]: [&str; 2]) {
    let StoredSession { kind, secret, table, cookie } = *session;
    for (database, signs_in) in [(expired, false), (live, true)] {
        exchanges(server, kind, secret, &[("TABLE", table), ("DATABASE", database)]);
        server.restart();
        let (visitor, page) = resumes(server, cookie).await;
        let is_led_on = page.location() == "/account/sessions";
        assert_eq!((page.status, is_led_on), (303, signs_in), "{database} {}: {}", page.location(), server.log());
        assert_eq!(visitor.is_signed_in().await, signs_in, "{database}");
    }
    let (_, again) = resumes(server, cookie).await;
    assert!(again.location().starts_with(SIGN_IN), "once");
    server.execute("DELETE FROM legacy_exchanges").await;
}

/// A case that the real framework has made, of tests/legacy_cookies of handstamp-core: its cookie, its key and its stored content.
fn case_of_node(name: &str) -> [String; 3] {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../handstamp-core/tests/legacy_cookies/node_cookies.json");
    let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let case = cases.iter().find(|case| case["name"] == name).unwrap();
    [&case["cookie"], &case["stored"]["key"], &case["stored"]["content"]]
        .map(|value| value.as_str().unwrap().to_owned())
}

const LIVE: &str = "2100-01-01T00:00:00Z";
const EXPIRED: &str = "2020-01-01T00:00:00Z";

handstamp_testing::stories! {
    async fn users_of_a_flask_app_stay_signed_in_when_the_site_moves(mut server: TestServer) {
        let hash = flask().arg("hash").output().unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        let users = format!("id,email,password_hash\n42,ada@example.com,{}\n", hash.trim());
        let (status, _, errors) = server.run_cli(&["import", "-", "--map", "id=legacy_id"], &users);
        assert_eq!(status, 0, "{errors}");
        let app = free_address();
        let _app = Program::start(flask().env("LISTEN", &app).stderr(std::process::Stdio::null()), "listening on ");
        let cookie = signed_in_before(&app, "42").await;

        exchanges(&mut server, "flask", FORMER_SECRET, &[]);
        let server = in_front_of(server, &app);
        server.wait_for_event("legacy_window_open").await;
        let ada = server.visitor();
        ada.presents_as("session", &cookie);
        let led = ada.opens("/notes").await;
        assert!(led.location().contains("/account/resume?next=%2Fnotes"), "{}", led.location());
        let exchanged = ada.opens("/account/resume?next=%2Fnotes").await;
        assert_eq!((exchanged.status, exchanged.location()), (303, "/notes"));
        let id = server.cli_json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
        let notes = ada.opens("/notes").await;
        assert!(notes.shows(&format!("user {id}")), "{}", notes.body);
        let thief = server.visitor();
        thief.presents_as("session", &cookie);
        assert_eq!(thief.opens("/account/resume").await.location(), SIGN_IN);
        assert_eq!(ada.signs_out().await.status, 303);
        assert!(!ada.is_signed_in().await);
        let again = server.visitor();
        again.presents_as("session", &cookie);
        assert_eq!(again.opens("/account/resume").await.location(), SIGN_IN);
    }

    async fn a_session_in_the_table_of_a_django_project_is_exchanged(mut server: TestServer) {
        let file = former(&server, "django.sql").await;
        let (status, _, errors) = server.run_cli(&["import", "--from", "django", &file, "--yes", "--group", "Content editors="], "");
        assert_eq!(status, 1, "one user has no address: {errors}");
        let mut connection = SqliteConnection::connect(&file).await.unwrap();
        let (key, data): (String, String) = sqlx::query_as("SELECT session_key, session_data FROM django_session").fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let made = fs::read_to_string(path_of("django.sql")).unwrap();
        assert!(made.contains("'2100-01-01 00:00:00')"));
        let ended = sqlite(&server, "ended.db", made.replace("'2100-01-01 00:00:00')", "'2020-01-01 00:00:00')")).await;
        let session = StoredSession { kind: "django", secret: DJANGO_SECRET, table: "django_session", cookie: ("sessionid", &key) };
        is_opened_from_a_table(&mut server, &session, [&file, &ended]).await;
        // The table as Django makes it in PostgreSQL.
        let table = |expiry: &str| format!(
            "CREATE TABLE django_session (session_key varchar(40) NOT NULL PRIMARY KEY, session_data text NOT NULL,
                 expire_date timestamp with time zone NOT NULL);
             INSERT INTO django_session VALUES ('{key}', '{data}', '{expiry}')"
        );
        let (live, ended) = (postgres(table(LIVE)).await, postgres(table(EXPIRED)).await);
        is_opened_from_a_table(&mut server, &session, [&live, &ended]).await;
    }

    async fn a_session_in_a_table_of_express_session_is_exchanged(mut server: TestServer) {
        server.run_cli(&["import", "-"], "email,legacy_id\nada@example.com,42\n");
        let [cookie, key, content] = case_of_node("express-session: Passport");
        let mut session = StoredSession { kind: "express-session", secret: FORMER_SECRET, table: "sessions", cookie: ("connect.sid", &cookie) };
        // As connect-sqlite3 makes it, with milliseconds.
        let table = |expiry: &str| format!(
            "CREATE TABLE sessions (sid PRIMARY KEY, expired, sess);
             INSERT INTO sessions VALUES ('{key}', unixepoch('{expiry}') * 1000, '{content}')"
        );
        let (live, ended) = (sqlite(&server, "live.db", table(LIVE)).await, sqlite(&server, "ended.db", table(EXPIRED)).await);
        is_opened_from_a_table(&mut server, &session, [&live, &ended]).await;
        // As connect-pg-simple makes it, in a schema of its own.
        let table = |expiry: &str| format!(
            r#"CREATE SCHEMA web;
             CREATE TABLE web."session" ("sid" varchar NOT NULL COLLATE "default", "sess" json NOT NULL, "expire" timestamp(6) NOT NULL);
             ALTER TABLE web."session" ADD CONSTRAINT "session_pkey" PRIMARY KEY ("sid");
             INSERT INTO web."session" VALUES ('{key}', '{content}', '{expiry}')"#
        );
        let (live, ended) = (postgres(table(LIVE)).await, postgres(table(EXPIRED)).await);
        session.table = "web.session";
        is_opened_from_a_table(&mut server, &session, [&live, &ended]).await;
    }

    async fn a_session_in_the_table_of_better_auth_is_exchanged(mut server: TestServer) {
        let [cookie, token, user] = case_of_node("better-auth");
        server.run_cli(&["import", "-"], &format!("email,legacy_id\nada@example.com,{user}\n"));
        let session = StoredSession { kind: "better-auth", secret: FORMER_SECRET, table: "session", cookie: ("better-auth.session_token", &cookie) };
        let row = |expiry: &str| format!(
            r#"INSERT INTO "session" ("id", "expiresAt", "token", "createdAt", "updatedAt", "userId")
               VALUES ('s', '{expiry}', '{token}', '{EXPIRED}', '{EXPIRED}', '{user}');"#
        );
        let made = fs::read_to_string(path_of("better_auth.sql")).unwrap();
        let live = sqlite(&server, "live.db", format!("{made}{}", row(LIVE))).await;
        let ended = sqlite(&server, "ended.db", format!("{made}{}", row(EXPIRED))).await;
        is_opened_from_a_table(&mut server, &session, [&live, &ended]).await;
        let table = |expiry: &str| format!(
            r#"CREATE TABLE "session" ("id" text NOT NULL PRIMARY KEY, "expiresAt" timestamptz NOT NULL, "token" text NOT NULL UNIQUE,
                 "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL, "ipAddress" text, "userAgent" text, "userId" text NOT NULL);
             {}"#,
            row(expiry)
        );
        let (live, ended) = (postgres(table(LIVE)).await, postgres(table(EXPIRED)).await);
        is_opened_from_a_table(&mut server, &session, [&live, &ended]).await;
    }

    async fn of_fifty_requests_with_one_former_cookie_at_two_nodes_one_is_signed_in(mut server: TestServer) {
        let folder = exchanges_files(&mut server);
        let second = server.start_node();
        let cookie = store_express_session(folder.path(), FORMER_SECRET, "first", "42");
        let requests: Vec<_> = (0..50)
            .map(|number| {
                let visitor = if number % 2 == 0 { server.visitor() } else { second.visitor() };
                visitor.presents_as("connect.sid", &cookie);
                tokio::spawn(async move {
                    let page = visitor.opens("/account/resume").await;
                    (page.status, page.location().to_owned(), visitor)
                })
            })
            .collect();
        let mut signed_in = Vec::new();
        for request in requests {
            match request.await.unwrap() {
                (303, location, visitor) if location == "/account" => signed_in.push(visitor),
                (status, location, _) => assert_eq!((status, location.as_str()), (303, SIGN_IN)),
            }
        }
        assert_eq!((signed_in.len(), server.count("SELECT COUNT(*) FROM sessions").await), (1, 1));
        assert!(signed_in[0].at(&server.url).is_signed_in().await && signed_in[0].at(&second.url).is_signed_in().await);
        let events = server.events("authn_legacy_session").len() + second.events("authn_legacy_session").len();
        assert_eq!(events, 1);
    }

    async fn a_sign_out_and_an_exchange_of_one_former_cookie_at_once_leave_no_session(mut server: TestServer) {
        let folder = exchanges_files(&mut server);
        let second = server.start_node();
        for round in 0..40 {
            let cookie = store_express_session(folder.path(), FORMER_SECRET, &format!("s-{round}"), "42");
            let (browser, copy) = (server.visitor(), second.visitor());
            browser.presents_as("connect.sid", &cookie);
            let cookies = format!("connect.sid={cookie}");
            let resume = browser.opens("/account/resume");
            let end = copy.ends_with(round % 2 == 0, &cookies);
            let (page, ended) = match round % 10 {
                0 => (resume.await, end.await),
                1 => {
                    let ended = end.await;
                    (resume.await, ended)
                }
                _ => tokio::join!(resume, end),
            };
            assert!([204, 303].contains(&ended.status), "{}", ended.status);
            match round % 10 {
                0 => assert_eq!(page.location(), "/account", "before the sign-out"),
                1 => assert_eq!(page.location(), SIGN_IN, "after the sign-out"),
                _ => {}
            }
            assert!(!browser.is_signed_in().await, "round {round}: {}", page.location());
            assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 0, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_session_is_exchanged_behind_every_proxy() {
    for proxy in [Proxy::Nginx, Proxy::Caddy, Proxy::NewCaddy, Proxy::Traefik] {
        let mut server = TestServer::on_sqlite();
        server.set("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1");
        let folder = exchanges_files(&mut server);
        let chain = ProxyChain::new(&server, proxy, &[]).await;
        let ada = Visitor::new(&chain.url);
        ada.presents_as("connect.sid", &store_express_session(folder.path(), FORMER_SECRET, "first", "42"));
        let fetch =
            ada.send(ada.bare_request(reqwest::Method::GET, "/notes?a=b").header("sec-fetch-mode", "cors")).await;
        assert_eq!((fetch.status, fetch.location().contains("resume")), (401, false), "{proxy:?}");
        let form = ada.submits("/notes?a=b", &[("text", "x")]).await;
        assert!(form.location().contains("/account/login"), "{proxy:?}: {} {}", form.status, form.location());
        assert_eq!(server.count("SELECT COUNT(*) FROM sessions").await, 0, "{proxy:?}");

        let led = ada.opens("/notes?a=b").await;
        assert_eq!(led.location(), format!("{}/account/resume?next=%2Fnotes%3Fa%3Db", chain.url), "{proxy:?}");
        let exchanged = ada.opens("/account/resume?next=%2Fnotes%3Fa%3Db").await;
        assert_eq!((exchanged.status, exchanged.location()), (303, "/notes?a=b"), "{proxy:?}");
        let notes = ada.opens("/notes?a=b").await;
        let id = server.cli_json(&["user", "show", "ada@example.com"])["id"].as_str().unwrap().to_owned();
        assert!(notes.status == 200 && notes.shows(&id), "{proxy:?}: {}", notes.body);
    }
}
