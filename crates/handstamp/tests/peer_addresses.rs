//! An application that is served without peer addresses is warned, even if no log subscriber is installed.
#![cfg(feature = "sqlite")]
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use handstamp::{Config, Handstamp};
use handstamp_testing::TempFolder;

const CHILD: &str = "HANDSTAMP_TEST_SERVES";

/// Serves without peer addresses, sends itself two requests, and ends. Run as a child process by the test below.
#[tokio::test(flavor = "multi_thread")]
async fn the_child_process_serves_without_peer_addresses() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let handstamp = Handstamp::open(Config::in_folder(folder, "http://localhost").unwrap()).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = handstamp.router();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let asks = tokio::task::spawn_blocking(move || {
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /account/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    });
    asks.await.unwrap();
    handstamp.close().await;
}

#[test]
fn serving_without_peer_addresses_prints_one_warning_with_the_remedy() {
    let folder = TempFolder::new();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "the_child_process_serves_without_peer_addresses", "--nocapture"])
        .env(CHILD, folder.path().join("data"));
    let output = child.output().unwrap();
    let says = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{says}");
    assert!(
        says.contains("handstamp: ") && says.contains("into_make_service_with_connect_info::<SocketAddr>()"),
        "{says}"
    );
    assert_eq!(says.matches("address of the peer").count(), 1, "once: {says}");
}
