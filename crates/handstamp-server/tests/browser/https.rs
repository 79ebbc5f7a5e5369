//! Handstamp alone in front of an app, over https in Chromium: HTTP/2 for pages and event streams, and HTTP/1.1 for WebSockets.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use handstamp_testing::{TempFolder, free_address, make_certificate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::browser_user::{ADA, BrowserUser};
use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(10);

/// An app with a page, an event stream at `/events` and a WebSocket at `/echo`. Returns its address.
async fn starts_app() -> String {
    let address = free_address();
    let listener = TcpListener::bind(&address).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serves(stream));
        }
    });
    address
}

async fn serves(mut stream: TcpStream) {
    let mut head = [0; 4096];
    let read = stream.peek(&mut head).await.unwrap_or_default();
    let head = head[..read].to_ascii_lowercase();
    if head.starts_with(b"get /echo ") {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() && socket.send(message).await.is_err() {
                return;
            }
        }
        return;
    }
    let _ = stream.read(&mut [0; 4096]).await;
    if head.starts_with(b"get /events ") {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
        let mut is_open = stream.write_all(head.as_bytes()).await.is_ok();
        while is_open {
            is_open = stream.write_all(b"data: tick\n\n").await.is_ok();
            sleep(Duration::from_millis(20)).await;
        }
        return;
    }
    let page = "<!doctype html><title>Notes</title><main>Notes</main>";
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        page.len()
    );
    let _ = stream.write_all(format!("{head}{page}").as_bytes()).await;
}

const OPENS_STREAMS: &str = "
    window.log = [];
    const socket = new WebSocket(`wss://${location.host}/echo`);
    socket.onopen = () => socket.send('hello');
    socket.onmessage = event => log.push(`echo ${event.data}`);
    socket.onclose = event => log.push(`closed ${event.code} ${event.reason}`);
    const events = new EventSource('/events');
    events.onmessage = () => { log.push('event'); events.onmessage = null; };
    events.onerror = () => { log.push('cut'); events.close(); };
";
const SIGNS_OUT: &str = "
    fetch('/account/logout', { method: 'POST', body: new URLSearchParams(), redirect: 'manual' }).then(() => log.push('signed out'));
";

/// Waits until the page has logged all of these.
async fn has_logged(user: &BrowserUser, expected: &[&str]) {
    let begun = Instant::now();
    loop {
        let log = user.browser.execute("return window.log", vec![]).await.unwrap();
        let log: Vec<_> = log.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect();
        if expected.iter().all(|line| log.iter().any(|logged| logged == line)) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{log:?} lacks one of {expected:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn protocol_of_the_page(user: &BrowserUser) -> String {
    let script = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    user.browser.execute(script, vec![]).await.unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_uses_an_app_over_https_until_it_signs_out() {
    let folder = TempFolder::new();
    make_certificate(folder.path(), "site", "app.handstamp.test", 0);
    let app = format!("http://{}", starts_app().await);
    let port: u16 = free_address().rsplit(':').next().unwrap().parse().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let url = format!("https://app.handstamp.test:{port}");
    let settings = [
        ("HANDSTAMP_PUBLIC_URL", url.as_str()),
        ("HANDSTAMP_APP__URL", &app),
        ("HANDSTAMP_TLS__CERT_FILE", &file("site.pem")),
        ("HANDSTAMP_TLS__KEY_FILE", &file("site.key")),
    ];
    let site = Site::opens_at(port, &settings);
    let ada = site.visitor().await;
    ada.registers_as(&ADA).await;
    ada.is_signed_in_as(&ADA).await;
    assert_eq!(protocol_of_the_page(&ada).await, "h2");
    ada.goes_to("/notes").await;
    ada.sees("Notes").await;
    assert_eq!(protocol_of_the_page(&ada).await, "h2");
    ada.browser.execute(OPENS_STREAMS, vec![]).await.unwrap();
    has_logged(&ada, &["echo hello", "event"]).await;
    ada.browser.execute(SIGNS_OUT, vec![]).await.unwrap();
    has_logged(&ada, &["signed out", "closed 1008 session ended", "cut"]).await;
    ada.goes_to("/notes").await;
    ada.is_at("/account/login?next=%2Fnotes").await;
}
