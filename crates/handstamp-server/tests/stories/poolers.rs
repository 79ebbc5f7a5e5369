//! PostgreSQL behind a pooler in transaction mode, and by TLS.

use std::process::Output;

use handstamp_testing::{PgBouncer, Postgres, TestServer, make_certificate, make_certificate_of};

const UNPREPARED: (&str, &str) = ("HANDSTAMP_DATABASE__PREPARED_STATEMENTS", "false");

/// The output of `handstamp user list` on a database.
fn lists_users(server: &TestServer, url: &str) -> Output {
    let mut command = server.cli_command(&["user", "list"]);
    command.env("HANDSTAMP_DATABASE_URL", url).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_register_sign_in_and_sign_out_at_once_through_a_pooler() {
    let database = Postgres::shared().new_database();
    let pooler = PgBouncer::start(&database, "");
    let first = TestServer::on_database_with(pooler.url_of(&database), &[UNPREPARED]);
    let second = first.start_node();
    let users = (0..24).map(|number| {
        let (here, there) = if number % 2 == 0 { (&first, &second) } else { (&second, &first) };
        let (user, url) = (here.visitor(), there.url.clone());
        tokio::spawn(async move {
            let (email, password) = (format!("user{number}@example.com"), "walnut-trumpet-glacier");
            let page = user.registers("Ada", &email, password).await;
            assert_eq!(page.status, 303, "{}", page.body);
            for _ in 0..4 {
                let elsewhere = user.at(&url);
                assert!(elsewhere.is_signed_in().await);
                assert_eq!(elsewhere.signs_out().await.status, 303);
                assert!(!user.is_signed_in().await, "it is dead on every node");
                let page = user.signs_in(&email, password).await;
                assert_eq!(page.status, 303, "{}", page.body);
            }
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.unwrap();
    }
    for node in [&first, &second] {
        for event in ["internal_error", "job_failed", "lease_lost", "database_pooled"] {
            assert_eq!(node.events(event).len(), 0, "{event}: {}", node.log());
        }
    }
    let (status, listed, error) = first.run_cli(&["user", "list"], "");
    assert!(status == 0 && listed.contains("user23@example.com"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_migrate_through_a_pooler_at_once() {
    let database = Postgres::shared().new_database();
    let pooler = PgBouncer::start(&database, "");
    let first = TestServer::on_database_with(pooler.url_of(&database), &[UNPREPARED]);
    let another = Postgres::shared().new_database();
    let url = pooler.url_of(&another);
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let mut command = first.cli_command(&["user", "list"]);
            command.env("HANDSTAMP_DATABASE_URL", &url).spawn().unwrap()
        })
        .collect();
    for mut node in nodes {
        assert!(node.wait().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_without_its_setting_is_told_of() {
    let database = Postgres::shared().new_database();
    let server = TestServer::on_database(database.clone());
    let strict = PgBouncer::start(&database, "");
    let refused = lists_users(&server, &strict.url_of(&database));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && error.contains("database.prepared_statements = false"), "{error}");

    let lenient = PgBouncer::start(&database, "ignore_startup_parameters = extra_float_digits,options");
    let warned = lists_users(&server, &lenient.url_of(&database));
    let error = String::from_utf8(warned.stderr).unwrap();
    assert!(error.contains("database_pooled") && error.contains("database.prepared_statements = false"), "{error}");
    let direct = lists_users(&server, &database);
    assert!(direct.status.success() && direct.stderr.is_empty(), "{}", direct.stderr.escape_ascii());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_to_the_database_is_encrypted_and_its_certificate_checked() {
    let postgres = Postgres::start();
    let server = TestServer::on_database(postgres.new_database());
    for authority in ["authority", "another"] {
        make_certificate(server.folder(), authority, authority, -1);
    }
    make_certificate_of(server.folder(), "authority", "database", "localhost");
    let file = |name: &str| server.folder().join(name).to_str().unwrap().to_owned();
    let url = postgres.new_database().replace("127.0.0.1", "localhost");
    let with = |mode: &str, authority: &str| format!("{url}?sslmode={mode}&sslrootcert={}", file(authority));
    assert!(!lists_users(&server, &with("require", "authority.pem")).status.success(), "the server speaks no TLS yet");
    postgres.speak_tls(&server.folder().join("database.pem"), &server.folder().join("database.key"));
    let begun = std::time::Instant::now();
    while !lists_users(&server, &with("verify-full", "authority.pem")).status.success() {
        let error = String::from_utf8(lists_users(&server, &with("verify-full", "authority.pem")).stderr).unwrap();
        assert!(begun.elapsed().as_secs() < 10, "{error}");
    }
    let refused = lists_users(&server, &with("verify-full", "another.pem"));
    assert!(!refused.status.success(), "the certificate is of another authority");
    let other_name = with("verify-full", "authority.pem").replace("@localhost", "@127.0.0.1");
    assert!(!lists_users(&server, &other_name).status.success(), "the certificate is of another host");

    for mode in ["", "?sslmode=prefer", "?sslmode=allow"] {
        let refused = lists_users(&server, &format!("postgres://postgres@192.0.2.7:5432/accounts{mode}"));
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(2) && error.contains("sslmode=verify-full"), "{mode}: {error}");
    }
}
