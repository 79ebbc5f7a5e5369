//! Random requests of concurrent clients: the server has no fault, and its memory does not grow.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use handstamp_testing::ADAS_PASSWORD;

use crate::request_generator::{Message, RequestGenerator};

/// How many clients send at once, each with its own seed, which is derived from the first.
const CLIENTS: u64 = 4;
/// By how much the memory of the process may grow after the first fifth of the requests.
const GROWTH_KIB: u64 = 8 * 1024;

/// A number from the environment. `HANDSTAMP_REQUESTS=100000` takes some minutes, `HANDSTAMP_SEED=7` sends other requests.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// The number of responses with each status.
type Tally = BTreeMap<u16, u64>;

/// A client that keeps its connection open as long as the server does.
struct FuzzClient {
    /// The seed of the whole run.
    seed: u64,
    generator: RequestGenerator,
    host: String,
    kept: Option<BufReader<TcpStream>>,
    tally: Tally,
}

impl FuzzClient {
    fn new(seed: u64, number: u64, url: &str, token: String) -> Self {
        let host = url.trim_start_matches("http://").to_owned();
        let generator = RequestGenerator::new(seed.wrapping_add(number), &host, token);
        Self { seed, generator, host, kept: None, tally: Tally::new() }
    }

    fn send_messages(&mut self, times: u64) {
        for _ in 0..times {
            let message = self.generator.message();
            if message.is_whole { self.asks(&message) } else { self.throws(&message) }
        }
    }

    fn connects(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(&self.host).expect("the server takes connections");
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        BufReader::new(stream)
    }

    /// Sends a message that must be answered.
    fn asks(&mut self, message: &Message) {
        let kept = self.kept.take();
        // The server may have closed the kept connection meanwhile.
        let mut connections = kept.into_iter().map(Some).chain([None, None]);
        let answer = connections.find_map(|kept| {
            let mut connection = kept.unwrap_or_else(|| self.connects());
            let _ = connection.get_mut().write_all(&message.bytes);
            Some((read_answer(&mut connection)?, connection))
        });
        let Some((answer, connection)) = answer else { panic!("no answer to {}", self.shown(message)) };
        if !answer.closes {
            self.kept = Some(connection);
        }
        // Later requests use the newest session.
        if let Some(token) = answer.token {
            self.generator.token = token;
        }
        self.notes(answer.status, message);
    }

    /// Sends a message that need not be a request, nor be answered.
    fn throws(&mut self, message: &Message) {
        let mut connection = self.connects();
        let _ = connection.get_mut().write_all(&message.bytes);
        // Wherever the server sees the end of the message, this is the last request, so it closes after the response. If it
        // takes this request for a part of the message, it waits for the rest until this side is shut down.
        let last = format!("\r\n\r\nGET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.host);
        let _ = connection.get_mut().write_all(last.as_bytes());
        connection.get_mut().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while let Some(answer) = read_answer(&mut connection) {
            self.notes(answer.status, message);
        }
        let _ = connection.get_mut().shutdown(Shutdown::Write);
        connection.get_mut().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let end = connection.read_to_end(&mut Vec::new());
        let is_closed = !end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(is_closed, "the connection stays open after {}", self.shown(message));
    }

    fn notes(&mut self, status: u16, message: &Message) {
        assert!((100..500).contains(&status), "{status} to {}", self.shown(message));
        *self.tally.entry(status).or_default() += 1;
    }

    fn shown(&self, message: &Message) -> String {
        let start = &message.bytes[..message.bytes.len().min(2000)];
        format!("{} bytes with HANDSTAMP_SEED={}: {}", message.bytes.len(), self.seed, start.escape_ascii())
    }
}

struct Answer {
    status: u16,
    closes: bool,
    token: Option<String>,
}

/// The next response, if its head arrives completely.
fn read_answer(connection: &mut BufReader<TcpStream>) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if connection.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let value = |name| head.lines().find_map(|line| line.strip_prefix(name));
    let length = value("content-length: ").map_or(0, |length| length.parse().unwrap());
    // A response to HEAD names a length and has no body.
    let is_whole = connection.read_exact(&mut vec![0; length]).is_ok();
    let token = value("set-cookie: handstamp_session=").and_then(|cookie| cookie.split(';').next());
    let token = token.filter(|token| !token.is_empty()).map(str::to_owned);
    Some(Answer { status, closes: !is_whole || value("connection: close").is_some(), token })
}

/// Runs all clients at once, and returns them with the statuses that they got.
async fn call(clients: Vec<FuzzClient>, times: u64) -> Vec<FuzzClient> {
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::task::spawn_blocking(move || {
                client.send_messages(times);
                client
            })
        })
        .collect();
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.unwrap());
    }
    clients
}

handstamp_testing::stories! {
    async fn random_requests_cause_no_fault_and_no_memory_growth(mut server: TestServer) {
        let (seed, requests) = (number("HANDSTAMP_SEED", 1), number("HANDSTAMP_REQUESTS", 5000));
        server.restart_with("HANDSTAMP_LOG__LEVEL", "warn");
        let ada = server.ada().await;
        let clients = (0..CLIENTS).map(|i| FuzzClient::new(seed, i, &server.url, ada.token())).collect();
        let clients = call(clients, requests / CLIENTS / 5).await;
        let warm = server.resident_kib();
        let clients = call(clients, requests / CLIENTS * 4 / 5).await;
        let grown = server.resident_kib().saturating_sub(warm);

        assert!(server.is_running());
        assert!(grown < GROWTH_KIB, "HANDSTAMP_SEED={seed}: {grown} KiB more than {warm} KiB");
        let log = server.log();
        let faults: Vec<_> = log.lines().filter(|line| line.contains("\"ERROR\"") || line.contains("panicked")).collect();
        assert!(faults.is_empty(), "HANDSTAMP_SEED={seed}: {faults:?}");
        let mut tally = Tally::new();
        for (status, count) in clients.into_iter().flat_map(|client| client.tally) {
            *tally.entry(status).or_default() += count;
        }
        for status in [200, 303, 400, 401, 403, 404, 405, 413, 421, 422, 431] {
            assert!(tally.get(&status).is_some_and(|count| *count > 2), "no response was {status}: {tally:?}");
        }
        eprintln!("HANDSTAMP_SEED={seed}: {tally:?}, {warm} KiB and {grown} more");

        let bob = server.visitor();
        assert_eq!(bob.registers("Bob", "bob@example.com", ADAS_PASSWORD).await.status, 303);
        assert_eq!(server.visitor().signs_in("bob@example.com", ADAS_PASSWORD).await.status, 303);
        assert!(bob.is_signed_in().await);
    }
}
