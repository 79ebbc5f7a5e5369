//! Health checks: `handstamp health`, and each reason of `/readyz` that can be brought about from outside.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use handstamp_testing::{Postgres, Program, TestServer, free_address};

use crate::in_front_of_an_app::before_an_echo;
use crate::tls::with_tls;

/// The exit status of `handstamp health`, and the text that it prints.
fn health(server: &TestServer, flags: &[&str]) -> (i32, String) {
    let listen = server.address();
    let (status, out, error) = server.run_cli(&[&["health", "--listen", &listen], flags].concat(), "");
    (status, format!("{out}{error}"))
}

handstamp_testing::stories! {
    async fn the_command_says_whether_the_server_is_ready(mut server: TestServer) {
        assert_eq!(health(&server, &[]), (0, "ready\n".to_owned()));
        assert_eq!(health(&server, &["--live"]), (0, "ok\n".to_owned()));
        server.stop();
        for flags in [&[][..], &["--live"]] {
            let (status, says) = health(&server, flags);
            assert_eq!((status, says.lines().count()), (1, 1), "{says}");
            assert!(says.contains("no answer at 127.0.0.1:"), "{says}");
        }
    }

    async fn a_node_that_stops_is_not_ready_and_still_alive(mut server: TestServer) {
        let metrics = free_address();
        server.set("HANDSTAMP_METRICS__LISTEN", &metrics);
        let (server, _app) = before_an_echo(server).await;
        assert_eq!(health(&server, &[]), (0, "ready\n".to_owned()));
        // A request that is not complete yet keeps the server from stopping for some seconds.
        let mut under_way = TcpStream::connect(server.address()).unwrap();
        let host = server.url.strip_prefix("http://").unwrap();
        let head = "Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100";
        write!(under_way, "POST /account/login HTTP/1.1\r\nHost: {host}\r\n{head}\r\n\r\nemail").unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.signal("TERM");
        server.wait_for_event("sys_shutdown").await;
        let (status, says) = health(&server, &[]);
        assert_eq!((status, says.as_str()), (1, "handstamp: not ready (stopping): this node is stopping\n"));
        assert_eq!(health(&server, &["--live"]), (0, "ok\n".to_owned()));
        let event = server.wait_for_event("not_ready").await;
        assert_eq!(event["reason"], "stopping");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_renew_its_lease_is_not_ready() {
    let mut server = TestServer::on_sqlite();
    server.restart_with("HANDSTAMP_SESSION__LEASE", "1s");
    let held = server.lock_database().await;
    becomes(&server, "handstamp: not ready (lease_ended): this node's lease has ended\n").await;
    drop(held);
    becomes(&server, "ready\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_join_the_others_is_not_ready() {
    let server = TestServer::on_sqlite();
    server
        .execute("CREATE TRIGGER no_node BEFORE INSERT ON nodes BEGIN SELECT RAISE(ABORT, 'no node joins'); END")
        .await;
    server.execute("DELETE FROM nodes").await;
    becomes(&server, "handstamp: not ready (not_joined): this node has not joined the others yet\n").await;
    server.execute("DROP TRIGGER no_node").await;
    becomes(&server, "ready\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_database_is_not_ready() {
    let mut postgres = Postgres::start();
    let server = TestServer::on_database(postgres.new_database());
    postgres.stop();
    becomes(&server, "handstamp: not ready (database_unreachable): the database does not answer\n").await;
    assert_eq!(health(&server, &["--live"]).0, 0, "a restart would help nothing");
    postgres.start_again();
    becomes(&server, "ready\n").await;
}

/// Waits until the command prints this.
async fn becomes(server: &TestServer, wanted: &str) {
    let begun = Instant::now();
    loop {
        let (_, says) = health(server, &[]);
        if says == wanted {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{says} {}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_command_needs_no_trust_in_the_certificate() {
    let server = with_tls(TestServer::on_sqlite());
    let listen = server.address().replace("https://localhost", "127.0.0.1");
    let (status, out, error) = server.run_cli(&["health", "--listen", &listen], "");
    assert_eq!((status, out.as_str()), (0, "ready\n"), "{error}");
    let plain = server
        .cli_command(&["health", "--listen", &listen])
        .env_remove("HANDSTAMP_TLS__CERT_FILE")
        .env_remove("HANDSTAMP_TLS__KEY_FILE")
        .output()
        .unwrap();
    let error = String::from_utf8(plain.stderr).unwrap();
    assert!(plain.status.code() == Some(1) && error.contains("does the server speak TLS?"), "{error}");
}

#[tokio::test]
async fn the_command_finds_no_server_in_another_program_and_fails_with_one_status() {
    let server = TestServer::on_sqlite();
    let folder = server.folder().join("pages");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("readyz"), "ready\n and more").unwrap();
    let mut command = std::process::Command::new("python3");
    command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(&folder).arg("0");
    let other = Program::start(&mut command, "port ");
    let port: String = other.announced("port ").chars().take_while(char::is_ascii_digit).collect();
    for flags in [&[][..], &["--live"]] {
        let listen = format!("127.0.0.1:{port}");
        let (status, _, error) = server.run_cli(&[&["health", "--listen", &listen], flags].concat(), "");
        assert!(status == 1 && error.contains("another program answers"), "{error}");
    }
    let mut wrong = server.cli_command(&["health"]);
    let output = wrong.env("HANDSTAMP_LISTEN", "nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "Docker keeps 2 for itself");
    let mut hidden = server.cli_command(&["health"]);
    let output = hidden.env("HANDSTAMP_APP__URL", "http://127.0.0.1:1").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("metrics.listen"), "{error}");
}
