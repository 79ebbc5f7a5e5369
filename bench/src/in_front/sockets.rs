//! Ten thousand idle WebSockets through one of three nodes, and sign-outs that cut one of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use handstamp_bench::client::{Client, HOST, PASSWORD, PATIENCE, post_with};
use handstamp_bench::figures::Latencies;
use handstamp_bench::folder::Folder;
use handstamp_bench::program::Program;
use handstamp_testing::Postgres;

use crate::Options;
use crate::systems::{register, text};

const NODES: usize = 3;
/// The number of sign-outs that are measured.
pub const SIGN_OUTS: usize = 300;
/// The number of threads that register the users.
const REGISTRARS: usize = 4;
/// Files that a node has open, or keeps for others, besides two for each WebSocket.
const OTHER_FILES: usize = 400;
/// How long a node has after the WebSockets were opened, until its memory is read.
const SETTLES: Duration = Duration::from_secs(2);
/// How long the nodes have between the opening of a socket and a sign-out.
const PAUSE: Duration = Duration::from_millis(20);

/// Sign-outs, each of which cut one WebSocket.
pub struct SignOuts {
    /// From the request until its answer.
    pub answered: Latencies,
    /// From the request until the client has the close frame.
    pub cut: Latencies,
    /// How many close frames came no later than the answer.
    pub cut_first: usize,
}

pub struct Sockets {
    pub count: usize,
    /// Of Handstamp, in KiB.
    pub memory_each: f64,
    /// Of the node in MiB, before and with the sockets.
    pub before: f64,
    pub with_sockets: f64,
    pub without: SignOuts,
    pub among_many: SignOuts,
}

/// The nodes of a site, and the site's database.
struct Site<'a> {
    options: &'a Options,
    cores: &'a str,
    database: String,
    folder: Folder,
    app: String,
}

impl Site<'_> {
    fn node(&self, number: usize) -> Program {
        let data = text(&self.folder.join(&format!("node-{number}")));
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &data, "--app", &self.app];
        let variables = [
            ("HANDSTAMP_DATABASE_URL", self.database.as_str()),
            ("HANDSTAMP_SECRET_KEY", "3q2+7wTd0C4hQm0Zy1o5xq9cVb8nLr6sKf2jGhTuWpE="),
            ("HANDSTAMP_LIMITS__CONNECTIONS", "20000"),
            ("HANDSTAMP_LIMITS__CONNECTIONS_PER_NETWORK", "0"),
            ("HANDSTAMP_LIMITS__REGISTER_PER_NETWORK", "0"),
            // Thousands of users register beforehand. No sign-out computes a hash.
            ("HANDSTAMP_HASHING__MEMORY_KIB", "8"),
            ("HANDSTAMP_HASHING__ITERATIONS", "1"),
        ];
        Program::start(self.cores, &self.options.binary, &arguments, &variables)
    }

    /// The cookies of so many newly registered users.
    fn users(&self, count: usize) -> Vec<String> {
        let node = self.node(0);
        let address = node.address;
        let registered = thread::scope(|scope| {
            let each = |first| {
                let numbers = (first..count).step_by(REGISTRARS);
                numbers.map(|number| register(address, &format!("user-{number}"))).collect::<Vec<_>>()
            };
            let registrars: Vec<_> = (0..REGISTRARS).map(|first| scope.spawn(move || each(first))).collect();
            registrars.into_iter().flat_map(|registrar| registrar.join().expect("it registers")).collect()
        });
        // No row of a session is in the memory of the nodes that are measured.
        node.end();
        registered
    }
}

/// The number of WebSockets that this system's limit on open files allows, at most as many as are wanted.
fn allowed(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").expect("Linux tells the limits");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("files have a limit");
    let hard = line.split_whitespace().nth(4).expect("the limit follows the name");
    hard.parse::<usize>().map_or(wanted, |files| wanted.min(files.saturating_sub(OTHER_FILES) / 2))
}

impl Sockets {
    /// # Panics
    /// When something is not as it should be: a socket is refused, or one that should stay open is closed.
    pub fn measure(options: &Options, cores: &str) -> Self {
        let count = allowed(options.sockets);
        let postgres = Postgres::start();
        let app = Program::start(cores, &options.app, &[], &[]);
        let site = Site {
            options,
            cores,
            database: postgres.new_database(),
            folder: Folder::new("sockets"),
            app: format!("http://{}", app.address),
        };
        eprintln!("sockets: {count} users register");
        let users = site.users(count + 1);
        let (ada, others) = users.split_first().expect("there is one more");
        let nodes: Vec<_> = (0..NODES).map(|number| site.node(number)).collect();
        let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
        eprintln!("sockets: sign-outs without other sockets");
        let without = SignOuts::measure(&addresses, ada);

        let resident = || nodes[0].kib("VmRSS");
        let before = resident();
        eprintln!("sockets: {count} are opened");
        let sockets: Vec<_> = others.iter().map(|cookies| open(addresses[0], cookies)).collect();
        sleep(SETTLES);
        let with_sockets = resident();
        eprintln!("sockets: sign-outs");
        let among_many = SignOuts::measure(&addresses, ada);
        for socket in &sockets {
            assert!(is_open(socket), "no other socket was cut");
        }
        Self {
            count,
            memory_each: (with_sockets - before) / count as f64,
            before: before / 1024.0,
            with_sockets: with_sockets / 1024.0,
            without,
            among_many,
        }
    }
}

impl SignOuts {
    /// Signs in and out on the nodes in turn. A socket of each session is open through the first node.
    fn measure(nodes: &[SocketAddr], cookies: &str) -> Self {
        let device: Vec<_> = cookies.split("; ").filter(|cookie| cookie.starts_with("handstamp_device")).collect();
        let form = format!("email=user-0%40example.com&password={PASSWORD}");
        let sign_in = post_with("/account/login", "", &device.join("; "), &form);
        let mut clients: Vec<_> = nodes.iter().map(|node| Client::new(*node)).collect();
        let (mut answered, mut cut, mut cut_first) = (Vec::new(), Vec::new(), 0);
        for number in 0..SIGN_OUTS {
            let node = number % nodes.len();
            let client = &mut clients[node];
            let answer = client.ask(&sign_in).expect("it answers");
            assert_eq!(answer.status, 303, "sign-in");
            let cookies = answer.cookies();
            let mut socket = open(nodes[0], &cookies);
            sleep(PAUSE);
            let sign_out = post_with("/account/logout", "", &cookies, "");
            // Every other sign-out looks whether the socket is closed once the answer is there: of two threads that wait, the
            // system may wake either first.
            let waits = number.is_multiple_of(2).then(|| {
                let mut socket = socket.try_clone().expect("there are few open files");
                thread::spawn(move || {
                    assert!(is_closed(&mut socket), "it is closed by a frame");
                    Instant::now()
                })
            });
            let begun = Instant::now();
            let answer = client.ask(&sign_out).expect("it answers");
            answered.push(begun.elapsed());
            assert_eq!(answer.status, 303, "sign-out");
            match waits {
                Some(waits) => cut.push(waits.join().expect("the socket is cut") - begun),
                None => {
                    socket.set_nonblocking(true).expect("it is a connection");
                    cut_first += usize::from(is_closed(&mut socket));
                }
            }
        }
        Self { answered: answered.into_iter().collect(), cut: cut.into_iter().collect(), cut_first }
    }
}

/// Opens a WebSocket, over which one message has come and gone.
fn open(node: SocketAddr, cookies: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node).expect("it accepts connections");
    stream.set_nodelay(true).expect("it is a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a minute is a timeout");
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: {HOST}\r\nOrigin: http://{HOST}\r\nCookie: {cookies}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it takes requests");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("it answers");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
    // A masked frame (RFC 6455 §5.3), whose key of zeros leaves the text as it is.
    stream.write_all(b"\x81\x85\0\0\0\0hello").expect("it takes messages");
    let mut echoed = [0; 7];
    stream.read_exact(&mut echoed).expect("it echoes");
    assert_eq!(&echoed, b"\x81\x05hello");
    stream
}

/// Whether a socket is closed with 1008. Waits for its next frame, unless the socket is one that does not wait.
fn is_closed(socket: &mut TcpStream) -> bool {
    let mut frame = [0; 4];
    let is_frame = socket.read_exact(&mut frame).is_ok();
    is_frame && (frame[0], u16::from_be_bytes([frame[2], frame[3]])) == (0x88, 1008)
}

/// Whether nothing has come over an idle socket, not even its end.
fn is_open(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).expect("it is a connection");
    let mut socket = socket;
    socket.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// The version of PostgreSQL.
pub fn postgres_version() -> String {
    let newest = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let binary = newest.map(|entry| entry.path().join("bin/postgres")).filter(|binary| binary.exists()).max();
    let output = Command::new(binary.as_deref().unwrap_or(Path::new("postgres"))).arg("--version").output();
    let text = String::from_utf8(output.map(|output| output.stdout).unwrap_or_default()).unwrap_or_default();
    text.trim().to_owned()
}
