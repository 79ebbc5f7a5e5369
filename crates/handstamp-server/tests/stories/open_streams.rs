//! Connections through the proxy that outlive their request: WebSockets, event streams and downloads end with their session,
//! before its end is confirmed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use handstamp_testing::{ADAS_PASSWORD, FaultyTcpProxy, Postgres, TestServer, Visitor};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, accept_async, connect_async};

use super::in_front_of_an_app::in_front_of;
use super::raw_app::{Connection, RawApp, latin_1, signed_in};

const PATIENCE: Duration = Duration::from_secs(20);

/// The connections and messages that an app has seen.
#[derive(Clone, Default)]
struct Seen {
    /// Messages of WebSockets that have arrived.
    messages: Arc<AtomicUsize>,
    /// Connections that are open.
    open: Arc<AtomicUsize>,
    /// Events that were sent, each with its number.
    events: Arc<AtomicUsize>,
}

/// An app that echoes the messages of WebSockets, and sends one by itself every few milliseconds where the path says so. Other
/// paths are event streams.
async fn live_app() -> (RawApp, Seen) {
    let seen = Seen::default();
    let shared = seen.clone();
    let app = RawApp::serving(move |connection| {
        let seen = shared.clone();
        async move {
            let mut head = [0; 4096];
            let read = connection.stream.peek(&mut head).await.unwrap_or_default();
            let head = latin_1(&head[..read]);
            if head.starts_with("GET /account ") || read == 0 {
                return;
            }
            seen.open.fetch_add(1, Ordering::SeqCst);
            if head.to_lowercase().contains("upgrade: websocket") {
                echoes(connection.stream, head.starts_with("GET /busy "), &seen).await;
            } else {
                sends_events(connection, head.starts_with("GET /silent "), &seen).await;
            }
            seen.open.fetch_sub(1, Ordering::SeqCst);
        }
    });
    (app.await, seen)
}

async fn echoes(stream: TcpStream, is_busy: bool, seen: &Seen) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    loop {
        let pause = Duration::from_millis(if is_busy { 2 } else { 100_000 });
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(message)) if message.is_text() || message.is_binary() => {
                    seen.messages.fetch_add(1, Ordering::SeqCst);
                    if socket.send(message).await.is_err() { return }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            () = sleep(pause) => if socket.send("tick".into()).await.is_err() { return },
        }
    }
}

async fn sends_events(mut connection: Connection, is_silent: bool, seen: &Seen) {
    connection.until("\r\n\r\n").await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    if connection.write(head).await.is_err() {
        return;
    }
    loop {
        let event = format!("data: {}\n\n", seen.events.fetch_add(1, Ordering::SeqCst));
        if connection.write(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.is_err() {
            return;
        }
        if is_silent {
            connection.rest().await;
            return;
        }
        sleep(Duration::from_millis(2)).await;
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn opens(server: &TestServer, visitor: &Visitor, path: &str) -> Result<Socket, Error> {
    let mut request = format!("ws://{}{path}", server.address()).into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("host", "localhost".parse().unwrap());
    headers.insert("origin", "http://localhost".parse().unwrap());
    headers.insert("cookie", format!("handstamp_session={}", visitor.token()).parse().unwrap());
    connect_async(request).await.map(|(socket, _)| socket)
}

async fn echoed(socket: &mut Socket, text: &str) {
    socket.send(text.into()).await.unwrap();
    loop {
        let message = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        if message.to_text().unwrap() == text {
            return;
        }
    }
}

/// The close code, once the socket is closed. Messages that were on their way before are skipped.
async fn closed_with(socket: &mut Socket) -> Option<CloseCode> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("it is closed in time") {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

/// Whether a socket is closed already, without a wait.
async fn is_closed(socket: &mut Socket) -> bool {
    loop {
        match timeout(Duration::from_millis(20), socket.next()).await {
            Err(_) => return false,
            Ok(Some(Ok(Message::Close(_)) | Err(_)) | None) => return true,
            Ok(Some(Ok(_))) => {}
        }
    }
}

async fn signs_in(server: &TestServer) -> Visitor {
    let visitor = server.visitor();
    let page = visitor.signs_in("ada@example.com", ADAS_PASSWORD).await;
    assert_eq!(page.status, 303);
    visitor
}

handstamp_testing::stories! {
    async fn websockets_pass_and_end_with_their_session_on_every_node(server: TestServer) {
        let (app, seen) = live_app().await;
        let server = in_front_of(server, &app.address);
        let (second, third) = (server.start_node(), server.start_node());
        server.ada().await;
        for round in 0..10 {
            let ada = signs_in(&server).await;
            let other = signs_in(&server).await;
            let mut sockets = Vec::new();
            for node in [&server, &second, &third] {
                for path in ["/quiet", "/busy"] {
                    sockets.push(opens(node, &ada, path).await.unwrap());
                }
            }
            let mut others = opens(&second, &other, "/quiet").await.unwrap();
            for socket in sockets.iter_mut().chain([&mut others]) {
                echoed(socket, "hello").await;
            }
            let before = seen.messages.load(Ordering::SeqCst);
            for socket in &mut sockets {
                socket.feed("late".into()).await.unwrap();
            }
            let ends = ada.at(&[&server, &second, &third][round % 3].url);
            ends.signs_out_at_last().await;
            // Whatever is sent from here on reaches no app, and nothing comes back.
            let reached = seen.messages.load(Ordering::SeqCst);
            for socket in &mut sockets {
                let _ = socket.flush().await;
            }
            for socket in &mut sockets {
                assert_eq!(closed_with(socket).await, Some(CloseCode::Policy), "round {round}");
            }
            assert_eq!((reached, seen.messages.load(Ordering::SeqCst)), (before, before), "round {round}");
            echoed(&mut others, "still here").await;
        }
        assert!(server.events("session_hold_overdue").is_empty() && second.events("session_hold_overdue").is_empty());
    }

    async fn every_kind_of_end_cuts_an_open_websocket(server: TestServer) {
        let (app, _) = live_app().await;
        let server = in_front_of(server, &app.address);
        let second = server.start_node();
        server.ada().await;
        let mut password = ADAS_PASSWORD;
        for end in ["revoke-others", "password", "disable", "revoke --all", "delete"] {
            let ada = server.visitor();
            assert_eq!(ada.signs_in("ada@example.com", password).await.status, 303);
            let phone = Visitor::new(&second.url);
            phone.signs_in("ada@example.com", password).await;
            let mut socket = opens(&second, &phone, "/busy").await.unwrap();
            echoed(&mut socket, "hello").await;
            match end {
                "revoke-others" => assert_eq!(ada.submits("/account/sessions/revoke-others", &[]).await.status, 303),
                "password" => {
                    assert_eq!(ada.changes_password(password, "walnut-trumpet-glacier").await.status, 303);
                    password = "walnut-trumpet-glacier";
                }
                "disable" => {
                    assert_eq!(server.run_cli(&["user", "disable", "ada@example.com"], "").0, 0);
                    server.run_cli(&["user", "enable", "ada@example.com"], "");
                }
                "revoke --all" => assert_eq!(server.run_cli(&["session", "revoke", "--all"], "").0, 0),
                _ => assert_eq!(server.run_cli(&["user", "delete", "ada@example.com"], "").0, 0),
            }
            assert!(is_closed(&mut socket).await, "{end}");
        }
    }

    async fn a_lost_group_cuts_the_connections_to_the_apps_of_its_members(mut server: TestServer) {
        let (app, _) = live_app().await;
        server.set("HANDSTAMP_APPS__STAFF__URL", &format!("http://{}", app.address));
        server.set("HANDSTAMP_APPS__STAFF__PATH", "/staff");
        server.set("HANDSTAMP_APPS__STAFF__GROUPS", "staff");
        server = in_front_of(server, &app.address);
        let second = server.start_node();
        let ada = server.ada().await;
        server.run_cli(&["user", "groups", "ada@example.com", "--add", "staff"], "");
        let mut staff = opens(&second, &ada, "/staff/quiet").await.unwrap();
        let mut everyone = opens(&second, &ada, "/quiet").await.unwrap();
        assert_eq!(server.run_cli(&["user", "groups", "ada@example.com", "--add", "board"], "").0, 0);
        echoed(&mut staff, "still here").await;
        assert_eq!(server.run_cli(&["user", "groups", "ada@example.com", "--remove", "staff"], "").0, 0);
        assert!(is_closed(&mut staff).await);
        echoed(&mut everyone, "still here").await;
    }

    async fn event_streams_and_downloads_are_cut_before_a_sign_out_is_confirmed(server: TestServer) {
        let (app, seen) = live_app().await;
        let server = in_front_of(server, &app.address);
        let second = server.start_node();
        let ada = server.ada().await;
        let get = format!("GET /events HTTP/1.1\r\n{}\r\n", signed_in(&ada));
        let mut reading = Connection::to(&second).await;
        reading.write(get.as_bytes()).await.unwrap();
        reading.until("data: ").await.unwrap();
        // A stream on which nothing comes that could be held back.
        let mut silent = Connection::to(&second).await;
        silent.write(get.replace("/events", "/silent").as_bytes()).await.unwrap();
        silent.until("data: ").await.unwrap();
        // A client that does not read, so that the server cannot write.
        let mut stalled = Connection::to(&second).await;
        stalled.write(get.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(300)).await;
        assert_eq!(seen.open.load(Ordering::SeqCst), 3);
        let begun = Instant::now();
        ada.signs_out_at_last().await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        let sent = seen.events.load(Ordering::SeqCst);
        let rest = reading.rest().await;
        assert!(!rest.ends_with("0\r\n\r\n"), "the stream is cut, and has not ended");
        let silent = timeout(Duration::from_secs(3), silent.rest()).await.expect("the silent stream is cut at once, too");
        assert!(!silent.ends_with("0\r\n\r\n"));
        let numbers = rest.split("data: ").skip(1).filter_map(|event| event.split_once('\n')?.0.parse::<usize>().ok());
        let last = numbers.last().unwrap_or_default();
        assert!(last < sent, "event {last} came through, and {sent} were sent before the sign-out was confirmed");
        assert!(second.events("session_hold_overdue").is_empty(), "no client delays a sign-out");
        let patience = Instant::now();
        while seen.open.load(Ordering::SeqCst) > 1 {
            assert!(patience.elapsed() < PATIENCE, "the app is told");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn a_request_that_an_app_has_not_answered_yet_ends_with_its_session(server: TestServer) {
        let app = RawApp::serving(async |mut connection: Connection| {
            let head = connection.until("\r\n\r\n").await.unwrap_or_default();
            if head.starts_with("GET /poll ") {
                connection.rest().await;
            }
        }).await;
        let server = in_front_of(server, &app.address);
        let ada = server.ada().await;
        let mut poll = Connection::to(&server).await;
        poll.write(format!("GET /poll HTTP/1.1\r\nConnection: close\r\n{}\r\n", signed_in(&ada)).as_bytes()).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        ada.signs_out_at_last().await;
        let begun = Instant::now();
        let answer = poll.rest().await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && begun.elapsed() < Duration::from_secs(1), "{answer}");
        assert!(server.events("session_hold_overdue").is_empty(), "the sign-out did not wait for the app");
    }

    async fn a_request_that_waited_for_its_turn_reaches_no_app_after_its_session_has_ended(mut server: TestServer) {
        let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let app = RawApp::serving(move |mut connection: Connection| {
            let kept = Arc::clone(&kept);
            async move {
                while let Some(head) = connection.until("\r\n\r\n").await {
                    if head.starts_with("GET /slow ") {
                        sleep(Duration::from_secs(1)).await;
                    }
                    kept.lock().unwrap().push(head);
                    let _ = connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        }).await;
        server.set("HANDSTAMP_APP__CONNECTIONS", "1");
        let server = in_front_of(server, &app.address);
        let ada = server.ada().await;
        let other = signs_in(&server).await;
        let mut slow = Connection::to(&server).await;
        slow.write(format!("GET /slow HTTP/1.1\r\n{}\r\n", signed_in(&other)).as_bytes()).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        let mut waiting = Connection::to(&server).await;
        let write = format!("POST /late HTTP/1.1\r\nOrigin: http://localhost\r\nContent-Length: 0\r\n{}\r\n", signed_in(&ada));
        waiting.write(write.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        ada.signs_out_at_last().await;
        assert!(slow.request().await.unwrap().starts_with("HTTP/1.1 200 "));
        assert!(waiting.until("\r\n\r\n").await.unwrap().starts_with("HTTP/1.1 401 "));
        let heads = heads.lock().unwrap();
        assert!(!heads.iter().any(|head| head.starts_with("POST /late ")), "{heads:?}");
    }

    async fn an_upload_reaches_no_app_after_its_session_has_ended(server: TestServer) {
        let received = Arc::new(AtomicUsize::new(0));
        let kept = Arc::clone(&received);
        let app = RawApp::serving(move |mut connection: Connection| {
            let kept = Arc::clone(&kept);
            async move {
                let head = connection.until("\r\n\r\n").await.unwrap_or_default();
                if head.starts_with("POST /early ") {
                    connection.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await.unwrap();
                }
                while let Some(line) = connection.until("\n").await {
                    if let Ok(number) = line.trim().parse() {
                        kept.store(number, Ordering::SeqCst);
                    }
                }
            }
        }).await;
        let server = in_front_of(server, &app.address);
        server.ada().await;
        for path in ["/early", "/late"] {
            let ada = signs_in(&server).await;
            received.store(0, Ordering::SeqCst);
            let mut upload = Connection::to(&server).await;
            let head = format!("POST {path} HTTP/1.1\r\nOrigin: http://localhost\r\nContent-Length: 1000000\r\n{}\r\n", signed_in(&ada));
            upload.write(head.as_bytes()).await.unwrap();
            let sent = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&sent);
            let sends = tokio::spawn(async move {
                for number in 1_usize.. {
                    counted.store(number, Ordering::SeqCst);
                    if upload.write(format!("{number}\n").as_bytes()).await.is_err() {
                        return;
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            });
            while received.load(Ordering::SeqCst) < 20 {
                sleep(Duration::from_millis(5)).await;
            }
            ada.signs_out_at_last().await;
            let before = sent.load(Ordering::SeqCst);
            timeout(PATIENCE, sends).await.expect("the upload is ended").unwrap();
            let reached = received.load(Ordering::SeqCst);
            assert!(reached <= before, "{path}: line {reached} of the upload, of which {before} were sent before the confirmation");
        }
    }

    async fn a_message_that_is_under_way_is_not_torn_by_a_close_frame(server: TestServer) {
        // A frame of 1,000 bytes, half of which is sent.
        let app = RawApp::serving(async |mut connection: Connection| {
            let head = connection.until("\r\n\r\n").await.unwrap_or_default();
            if !head.starts_with("GET /half ") {
                return;
            }
            connection.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await.unwrap();
            connection.write(&[[0x82, 126, 3, 232].as_slice(), &[b'a'; 500]].concat()).await.unwrap();
            connection.rest().await;
        }).await;
        let server = in_front_of(server, &app.address);
        let ada = server.ada().await;
        let mut socket = Connection::to(&server).await;
        let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nOrigin: http://localhost\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        socket.write(format!("GET /half HTTP/1.1\r\n{upgrade}{}\r\n", signed_in(&ada)).as_bytes()).await.unwrap();
        assert!(socket.until("\r\n\r\n").await.unwrap().starts_with("HTTP/1.1 101 "));
        socket.exactly(504).await.unwrap();
        ada.signs_out_at_last().await;
        assert_eq!(socket.rest().await, "", "the connection ends without a close frame");
    }

    async fn a_node_that_stops_closes_its_websockets(server: TestServer) {
        let (app, _) = live_app().await;
        let server = in_front_of(server, &app.address);
        let mut second = server.start_node();
        let ada = server.ada().await;
        let mut socket = opens(&second, &ada, "/quiet").await.unwrap();
        echoed(&mut socket, "hello").await;
        assert!(second.stop_with_signal("TERM").success());
        assert_eq!(closed_with(&mut socket).await, Some(CloseCode::Again));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_websockets_stay_open_until_the_idle_timeout() {
    let (app, _) = live_app().await;
    let mut server = in_front_of(TestServer::on_sqlite(), &app.address);
    let mut ada = server.ada().await;
    let mut socket = opens(&server, &ada, "/quiet").await.unwrap();
    sleep(Duration::from_secs(12)).await;
    echoed(&mut socket, "longer than a client may take for the head of a request").await;
    server.restart_with("HANDSTAMP_APP__IDLE_TIMEOUT", "1s");
    ada.follows(&server.url);
    let mut socket = opens(&server, &ada, "/quiet").await.unwrap();
    echoed(&mut socket, "hello").await;
    assert_eq!(closed_with(&mut socket).await, Some(CloseCode::Away));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_lease_cuts_its_streams_before_a_sign_out_is_confirmed_without_it() {
    let (app, seen) = live_app().await;
    let postgres = Postgres::shared().new_database();
    let server = in_front_of(TestServer::on_database(postgres.clone()), &app.address);
    let proxy = FaultyTcpProxy::new(&postgres);
    let mut second = server.new_node();
    second.set("HANDSTAMP_DATABASE_URL", &proxy.url);
    second.start();
    let ada = server.ada().await;
    let mut socket = opens(&second, &ada, "/busy").await.unwrap();
    echoed(&mut socket, "hello").await;
    proxy.hold_messages();
    let begun = Instant::now();
    let waits = {
        let ada = ada.copy();
        tokio::spawn(async move {
            ada.signs_out_at_last().await;
            begun.elapsed()
        })
    };
    assert_eq!(closed_with(&mut socket).await, Some(CloseCode::Again));
    let cut = begun.elapsed();
    let confirmed = waits.await.unwrap();
    assert!(cut < confirmed, "cut after {cut:?}, and confirmed after {confirmed:?}");
    assert!(confirmed < Duration::from_secs(8), "{confirmed:?}");
    assert!(
        timeout(PATIENCE, async {
            while seen.open.load(Ordering::SeqCst) > 0 {
                sleep(Duration::from_millis(5)).await
            }
        })
        .await
        .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_that_was_not_offered_is_not_switched_to() {
    let app = RawApp::serving(async |mut connection: Connection| {
        while let Some(head) = connection.until("\r\n\r\n").await {
            let protocol = if head.contains("GET /same ") { "echo/1" } else { "h2c" };
            let answer =
                format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
            connection.write(answer.as_bytes()).await.unwrap();
            while let Some(line) = connection.until("\n").await {
                connection.write(line.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let server = in_front_of(TestServer::on_sqlite(), &app.address);
    let ada = server.ada().await;
    for (path, offered, status) in
        [("/same", "echo/1", "101"), ("/other", "echo/1", "502"), ("/none", "h2c", "502"), ("/none", "", "502")]
    {
        let mut connection = Connection::to(&server).await;
        let request =
            format!("GET {path} HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: {offered}\r\n{}\r\n", signed_in(&ada));
        connection.write(request.as_bytes()).await.unwrap();
        let answer = connection.until("\r\n\r\n").await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {offered} {answer}");
        if status == "101" {
            connection.write(b"any bytes\n").await.unwrap();
            assert_eq!(connection.until("\n").await.as_deref(), Some("any bytes\n"));
            connection.stream.shutdown().await.unwrap();
            assert_eq!(connection.rest().await, "", "the end of one side passes as well");
        }
    }
}
