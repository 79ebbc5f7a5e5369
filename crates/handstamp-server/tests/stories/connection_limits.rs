//! Limits on the number of connections, and time-outs of slow ones.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use handstamp_testing::TestServer;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// A connection that a client keeps open.
struct Held(std::net::TcpStream);

impl Held {
    fn to(server: &TestServer) -> Self {
        let stream = std::net::TcpStream::connect(host(server)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    /// From another address of this machine.
    fn from(address: &str, server: &TestServer) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(address.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&server.address().parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(socket.into())
    }

    /// Whether the server answers a request instead of closing the connection.
    fn is_answered(&mut self) -> bool {
        // A write to a closed connection may be lost, or fail.
        let _ = write!(self.0, "GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", self.0.peer_addr().unwrap());
        let mut answer = [0; 4096];
        match self.0.read(&mut answer) {
            Ok(length) => answer[..length].starts_with(b"HTTP/1.1 200"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("neither answered nor closed: {error}"),
        }
    }
}

fn host(server: &TestServer) -> &str {
    server.url.trim_start_matches("http://")
}

/// A new connection, as soon as the server accepts one: it may not have noticed yet that others were closed.
async fn comes_in(server: &TestServer) -> Held {
    for _ in 0..400 {
        let mut held = Held::to(server);
        if held.is_answered() {
            return held;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("no connection is accepted any more");
}

fn allow_open_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limit }).unwrap();
    }
}

/// The command that sets the limit of open files of another process.
fn prlimit(arguments: &[&str]) -> Command {
    let mut command = Command::new("prlimit");
    command.args(arguments);
    command
}

/// Sends `start`, and then a byte every ten seconds until the server cuts the connection.
async fn trickles(mut stream: TcpStream, start: String) {
    let _ = stream.write_all(start.as_bytes()).await;
    let mut answer = [0; 4096];
    loop {
        match timeout(Duration::from_secs(10), stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(_)) => {}
            Err(_) => _ = stream.write_all(b"1").await,
        }
    }
}

/// Repeats this request and reads no response, until the server cuts the connection.
async fn never_reads(mut stream: TcpStream, request: String) {
    while stream.write_all(request.as_bytes()).await.is_ok() {}
}

/// A connection whose client has a small receive buffer.
async fn connects(host: String) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(host.parse().unwrap()).await.unwrap()
}

handstamp_testing::stories! {
    async fn connections_over_the_limit_are_refused(mut server: TestServer) {
        server.set("HANDSTAMP_LIMITS__CONNECTIONS", "10");
        server.enable_metrics();
        let mut held: Vec<Held> = (0..10).map(|_| Held::to(&server)).collect();
        assert!(held.iter_mut().all(Held::is_answered));
        assert!((0..5).all(|_| !Held::to(&server).is_answered()), "connections over the limit are refused");
        assert!(held.iter_mut().all(Held::is_answered), "existing connections are unaffected");
        assert_eq!(server.metric("handstamp_connections_refused_total").await, 5.0);
        assert_eq!(server.metric("handstamp_connections").await, 10.0);

        held.truncate(2);
        // The first may come before the server has noticed that more than half of the connections are closed.
        for _ in 0..400 {
            drop(comes_in(&server).await);
            if !server.events("connection_limit_cleared").is_empty() {
                break;
            }
        }
        assert!(held.iter_mut().all(Held::is_answered));
        assert_eq!(server.events("too_many_connections").len(), 1, "a flood is logged once");
        assert_eq!(server.events("connection_limit_cleared").len(), 1);
    }

    async fn one_network_cannot_use_up_all_connections(mut server: TestServer) {
        server.set("HANDSTAMP_LIMITS__CONNECTIONS_PER_NETWORK", "20");
        server.set("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.3");
        server.enable_metrics();
        let mut held: Vec<Held> = (0..20).map(|_| Held::from("127.0.0.2", &server)).collect();
        assert!(held.iter_mut().all(Held::is_answered));
        assert!((0..280).all(|_| !Held::from("127.0.0.2", &server).is_answered()), "the network has used up its share");
        assert!((0..5).all(|_| Held::to(&server).is_answered()), "others are served");
        let mut proxied: Vec<Held> = (0..25).map(|_| Held::from("127.0.0.3", &server)).collect();
        assert!(proxied.iter_mut().all(Held::is_answered), "a trusted proxy has no share, since it carries many clients");
        assert!(held.iter_mut().all(Held::is_answered), "existing connections of the network are unaffected");
        assert_eq!(server.metric("handstamp_connections_refused_per_network_total").await, 280.0);
        assert_eq!(server.wait_for_event("too_many_connections_of_network").await["address"], "127.0.0.2");

        held.clear();
        assert_eq!(server.wait_for_event("connections_of_network_fit_again").await["refused"], 280);
        assert_eq!(server.events("too_many_connections_of_network").len(), 1, "a flood is logged once");
        assert!(Held::from("127.0.0.2", &server).is_answered());
    }

    async fn the_server_survives_a_shortage_of_file_descriptors(mut server: TestServer) {
        let mut held = Held::to(&server);
        assert!(held.is_answered());
        let pid = server.pid();
        assert!(prlimit(&["--pid", &pid, "--nofile=10:"]).status().unwrap().success());
        let waiting: Vec<Held> = (0..5).map(|_| Held::to(&server)).collect();
        server.wait_for_event("accept_failed").await;
        assert!(held.is_answered());

        assert!(prlimit(&["--pid", &pid, "--nofile=1000:"]).status().unwrap().success());
        assert!(waiting.into_iter().all(|mut held| held.is_answered()), "waiting connections are accepted");
        assert!(server.is_running() && server.events("accept_failed").len() == 1);
    }
}

#[tokio::test]
async fn the_connection_limit_is_capped_by_open_files() {
    let server = TestServer::on_sqlite();
    let serve = server.serve_command();
    let mut command = prlimit(&["--nofile=100:200"]);
    command.arg(serve.get_program()).args(serve.get_args()).current_dir(server.folder()).env_clear();
    command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = [0; 65_536];
    let length = process.stderr.take().unwrap().read(&mut log).unwrap();
    let (killed, _) = (process.kill(), process.wait());
    killed.unwrap();
    let line = String::from_utf8(log[..length].to_vec()).unwrap();
    assert!(line.contains("the system allows 200 open files, enough for 100"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_connections_are_cut_while_others_are_served() {
    allow_open_files(4000);
    let server = TestServer::on_sqlite();
    let host = server.address();
    let form = "Content-Type: application/x-www-form-urlencoded";
    let starts = [
        String::new(),
        "GET /account HTTP/1.1\r\nHost: ".to_owned(),
        format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("POST /account/login HTTP/1.1\r\nHost: {host}\r\n{form}\r\nContent-Length: 60000\r\n\r\nemail="),
        format!(
            "POST /account/login HTTP/1.1\r\nHost: {host}\r\n{form}\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\nemail="
        ),
        format!(
            "POST /account/logout HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: cross-site\r\nContent-Length: 60000\r\n\r\n"
        ),
        format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nContent-Length: 60000\r\n\r\n"),
    ];
    let limit = Duration::from_secs(30);
    let mut slow = tokio::task::JoinSet::new();
    for i in 0..2000 {
        let (host, start) = (host.clone(), starts[i % starts.len()].clone());
        slow.spawn(async move { timeout(limit, trickles(connects(host).await, start)).await });
    }
    let page = server.visitor().opens("/").await.body.replace("&#x2f;", "/");
    let stylesheet = page.split('"').find(|text| text.ends_with(".css")).unwrap();
    assert_eq!(server.visitor().opens(stylesheet).await.status, 200);
    for _ in 0..4 {
        let (host, request) = (host.clone(), format!("GET {stylesheet} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        slow.spawn(async move { timeout(limit, never_reads(connects(host).await, request)).await });
    }
    let (mut cut, mut served) = (0, 0);
    while cut < 2004 {
        assert_eq!(server.visitor().opens("/healthz").await.status, 200);
        served += 1;
        while let Some(one) = slow.try_join_next() {
            one.unwrap().expect("slow connections are cut within half a minute");
            cut += 1;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(served > 100, "{served}");
}
