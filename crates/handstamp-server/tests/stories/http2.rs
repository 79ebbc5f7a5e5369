//! HTTP/2 of browsers, by a client that shares no code with the server: http2_client.py.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handstamp_testing::{EchoApp, TestServer};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::raw_app::{Connection, RawApp};
use super::tls::{port, with_tls};

fn client(server: &TestServer, scenario: &str) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/bin/python"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stories/http2_client.py"));
    command.args([scenario, &port(server), "ca.pem"]).current_dir(server.folder()).stdin(Stdio::null());
    command
}

/// The values that a scenario prints.
async fn plays(server: &TestServer, scenario: &str) -> Vec<Value> {
    let output = tokio::task::block_in_place(|| client(server, scenario).output().unwrap());
    assert!(output.status.success(), "{scenario}: {}", String::from_utf8(output.stderr).unwrap());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn in_front_of(mut server: TestServer, app: &str) -> TestServer {
    server.set("HANDSTAMP_APP__URL", app);
    with_tls(server)
}

/// An app with event streams, and with a page that takes two seconds.
async fn app() -> RawApp {
    let app = RawApp::serving(async |mut connection: Connection| {
        let head = connection.until("\r\n\r\n").await.unwrap_or_default();
        if head.starts_with("GET /slow ") {
            sleep(Duration::from_secs(2)).await;
            let _ = connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole").await;
        } else if head.starts_with("GET /events ") {
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut is_open = connection.write(head).await.is_ok();
            while is_open {
                is_open = connection.write(b"9\r\ndata: 1\n\n\r\n").await.is_ok();
                sleep(Duration::from_millis(5)).await;
            }
        }
    });
    app.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_gets_one_request_of_http_1_from_one_of_http_2() {
    let app = EchoApp::start().await;
    let server = in_front_of(TestServer::on_sqlite(), &app.url);
    let shown = plays(&server, "cookies").await;
    let [of_app, of_ours, form] = shown.as_slice() else { panic!("{shown:?}") };
    let request: Value = serde_json::from_str(of_app["body"].as_str().unwrap()).unwrap();
    let received = |name: &str| {
        let headers = request["headers"].as_array().unwrap().iter();
        headers
            .filter(|header| header[0] == name)
            .map(|header| header[1].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(request["target"], "/notes?a=%2F");
    assert_eq!(received("cookie"), ["theme=dark; a=b; c=d"], "the fields are joined, and ours is not among them");
    assert_eq!(
        (received("host"), received("x-forwarded-proto")),
        (vec!["localhost".to_owned()], vec!["https".to_owned()])
    );
    assert_eq!((received("remote-name"), received("te")), (vec!["Ada".to_owned()], vec!["trailers".to_owned()]));
    assert!(of_ours["body"].as_str().unwrap().contains("Welcome, Ada"), "{of_ours}");
    let location = form["headers"].as_array().unwrap().iter().find(|header| header[0] == "location").unwrap();
    assert!(
        location[1].as_str().unwrap().contains("next=%2Faccount%2Fprofile"),
        "the form leads back to its page: {form}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_one_connection_do_not_reach_a_browser_of_http_2() {
    // The client ends with an error where they do.
    let answer = b"HTTP/1.1 200 OK\r\nConnection: keep-alive, x-hop\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nX-Hop: 1\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}";
    let (app, _requests) = RawApp::answering(answer).await;
    let server = in_front_of(TestServer::on_sqlite(), &format!("http://{}", app.address));
    let shown = plays(&server, "cookies").await;
    let names: Vec<_> = shown[0]["headers"].as_array().unwrap().iter().map(|header| header[0].clone()).collect();
    assert_eq!((&shown[0]["status"], names), (&json!(200), vec![json!("content-length"), json!("date")]), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_resets_the_streams_of_its_session_and_no_other_on_the_same_connection() {
    let app = app().await;
    let server = in_front_of(TestServer::on_sqlite(), &format!("http://{}", app.address));
    let shown = plays(&server, "streams").await;
    let expected = json!({ "sign_out": 303, "cut": 2, "ended": false, "order": true, "other": [200, null, false], "closed": false });
    assert_eq!(shown, [expected], "2 is INTERNAL_ERROR");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_lets_a_response_of_http_2_end_and_says_goaway() {
    let app = app().await;
    let mut server = in_front_of(TestServer::on_sqlite(), &format!("http://{}", app.address));
    let log = server.folder().join("client.json");
    let mut command = client(&server, "stops");
    let output = std::fs::File::create(&log).unwrap();
    let mut process = command.stdout(output).spawn().unwrap();
    let printed = || std::fs::read_to_string(&log).unwrap();
    let begun = Instant::now();
    while !printed().contains("sent") {
        assert!(begun.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_millis(500)).await;
    assert!(tokio::task::block_in_place(|| server.stop()).success());
    assert!(begun.elapsed() < Duration::from_secs(8), "it does not wait for the deadline: {:?}", begun.elapsed());
    assert!(process.wait().unwrap().success());
    let shown: Value = serde_json::from_str(printed().lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        (&shown["response"], &shown["goaway"]["code"], &shown["closed"]),
        (&json!([200, "whole"]), &json!(0), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_http_2_has_a_hundred_requests_at_once() {
    let app = app().await;
    let server = in_front_of(TestServer::on_sqlite(), &format!("http://{}", app.address));
    let shown = plays(&server, "many").await;
    assert_eq!(shown, [json!({ "allowed": 100, "one_more": 7, "others": true })], "7 is REFUSED_STREAM");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_stop_before_a_request_are_closed_after_ten_seconds() {
    let server = with_tls(TestServer::on_sqlite());
    let begun = Instant::now();
    assert_eq!(plays(&server, "silent").await, [json!("closed")]);
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(9) && took < Duration::from_secs(14), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_its_client_does_not_take_frees_the_app_and_leaves_the_connection_open() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    let app = RawApp::serving(move |mut connection: Connection| {
        let open = Arc::clone(&counted);
        async move {
            let head = connection.until("\r\n\r\n").await.unwrap_or_default();
            if head.starts_with("GET /endless ") {
                open.fetch_add(1, Ordering::SeqCst);
                let _ = connection.write(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while connection.write(&[b'x'; 10_000]).await.is_ok() {}
                open.fetch_sub(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let server = in_front_of(TestServer::on_sqlite(), &format!("http://{}", app.address));
    let mut command = client(&server, "stalled");
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let has_so_many = async |count: usize| {
        let begun = Instant::now();
        while open.load(Ordering::SeqCst) != count {
            assert!(begun.elapsed() < Duration::from_secs(80), "{count}");
            sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    };
    has_so_many(1).await;
    let held = has_so_many(0).await;
    assert!(held > Duration::from_secs(25) && held < Duration::from_secs(70), "{held:?}");
    // The client goes on.
    process.stdin.take().unwrap().write_all(b"\n").unwrap();
    let output = process.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown: Value = serde_json::from_str(printed.lines().nth(1).unwrap()).unwrap();
    assert_eq!(shown, json!({ "other": 200, "cut": 2, "ended": false }));
}

/// The faults of one request (RFC 9113 §8.1.1), which leave the connection as it is.
const OF_ONE_REQUEST: [&str; 10] = [
    "no :path",
    "no :method",
    "two :path",
    ":protocol",
    "a pseudo-header after a header",
    "connection",
    "transfer-encoding",
    "upgrade",
    "te",
    "a body longer than content-length",
];
const FLOODS: [&str; 4] =
    ["fields of 80 KB", "a flood of CONTINUATION", "a flood of resets", "a flood of invalid requests"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forbidden_frames_and_floods_end_their_connection_or_their_request() {
    let mut server = with_tls(TestServer::on_sqlite());
    let shown = plays(&server, "faults").await;
    assert_eq!(shown.len(), 43);
    let mut unexpected = Vec::new();
    for case in &shown {
        let (name, outcome) = (case[0].as_str().unwrap(), case[1].as_str().unwrap());
        let is_expected = match name {
            "a request" => outcome == "200",
            "a frame of an unknown type" => outcome == "alive",
            "a frame beyond the maximum" => outcome == "GOAWAY FRAME_SIZE_ERROR closed",
            "WINDOW_UPDATE beyond the maximum" => outcome == "GOAWAY FLOW_CONTROL_ERROR closed",
            _ if FLOODS.contains(&name) => outcome == "GOAWAY ENHANCE_YOUR_CALM closed",
            _ if OF_ONE_REQUEST.contains(&name) => outcome == "RST PROTOCOL_ERROR",
            _ => outcome == "GOAWAY PROTOCOL_ERROR closed",
        };
        if !is_expected {
            unexpected.push(case);
        }
    }
    assert!(unexpected.is_empty(), "{unexpected:?}");
    assert!(server.is_running());
}
