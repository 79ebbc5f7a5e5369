//! An app and a client that exchange plain bytes, so that a test sees exactly what passes through a proxy.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use handstamp_testing::{TestServer, Visitor, free_address};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest that bytes are awaited.
const PATIENCE: Duration = Duration::from_secs(20);

/// An app that answers each connection by a function of the test. It is stopped when it is dropped.
#[derive(Debug)]
pub struct RawApp {
    pub address: String,
    task: JoinHandle<()>,
}

impl RawApp {
    /// An app that calls this function with each connection.
    pub async fn serving<F: Future<Output = ()> + Send + 'static>(
        handle: impl Fn(Connection) -> F + Send + 'static,
    ) -> Self {
        let address = free_address();
        let listener = TcpListener::bind(&address).await.unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(handle(Connection::new(stream)));
            }
        });
        Self { address, task }
    }

    /// An app that gives this answer to every request, and keeps the heads and bodies of all but the question for our own pages.
    pub async fn answering(answer: &'static [u8]) -> (Self, Requests) {
        let requests = Requests::default();
        let kept = requests.clone();
        let app = Self::serving(move |mut connection| {
            let kept = kept.clone();
            async move {
                while let Some(request) = connection.request().await {
                    if !request.starts_with("GET /account ") {
                        kept.0.lock().unwrap().push(request);
                    }
                    if connection.write(answer).await.is_err() {
                        return;
                    }
                }
            }
        });
        (app.await, requests)
    }
}

impl Drop for RawApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The requests that an app has received, in Latin-1.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    /// Takes all of them.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Takes the only one.
    pub fn only(&self) -> String {
        let mut all = self.take();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

/// One connection, of the app or of the client.
#[derive(Debug)]
pub struct Connection {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// A connection to a server.
    pub async fn to(server: &TestServer) -> Self {
        Self::new(TcpStream::connect(server.address()).await.unwrap())
    }

    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads until the text was received, and returns everything up to its end; none if the connection ends before.
    pub async fn until(&mut self, text: &str) -> Option<String> {
        loop {
            if let Some(at) = find(&self.read, text.as_bytes()) {
                let rest = self.read.split_off(at + text.len());
                return Some(latin_1(&std::mem::replace(&mut self.read, rest)));
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Reads this many bytes.
    pub async fn exactly(&mut self, length: usize) -> Option<String> {
        while self.read.len() < length {
            if !self.read_more().await {
                return None;
            }
        }
        let rest = self.read.split_off(length);
        Some(latin_1(&std::mem::replace(&mut self.read, rest)))
    }

    /// Reads until the connection ends, also by a reset.
    pub async fn rest(&mut self) -> String {
        while self.read_more().await {}
        latin_1(&std::mem::take(&mut self.read))
    }

    async fn read_more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await.expect("bytes or an end come in time");
        read.is_ok_and(|read| read > 0)
    }

    /// The next request or response with its body, as it was sent. None if the connection ends before.
    pub async fn request(&mut self) -> Option<String> {
        let head = self.until("\r\n\r\n").await?;
        let lower = head.to_lowercase();
        let has_no_body =
            lower.starts_with("http/1.1 1") || lower.starts_with("http/1.1 204") || lower.starts_with("http/1.1 304");
        let body = if has_no_body {
            String::new()
        } else if let Some((_, rest)) = lower.split_once("\r\ncontent-length:") {
            self.exactly(rest.lines().next().unwrap().trim().parse().unwrap()).await?
        } else if lower.contains("\r\ntransfer-encoding: chunked") {
            self.chunked().await?
        } else if lower.starts_with("http/") {
            self.rest().await
        } else {
            String::new()
        };
        Some(head + &body)
    }

    /// A chunked body with its trailers.
    async fn chunked(&mut self) -> Option<String> {
        let mut body = String::new();
        loop {
            let size = self.until("\r\n").await?;
            body += &size;
            match usize::from_str_radix(size.trim(), 16).unwrap() {
                0 => break,
                length => body += &self.exactly(length + 2).await?,
            }
        }
        loop {
            let line = self.until("\r\n").await?;
            body += &line;
            if line == "\r\n" {
                return Some(body);
            }
        }
    }
}

/// Sends plain bytes to a server, and returns all that comes until the server closes.
pub async fn exchange(server: &TestServer, bytes: &[u8]) -> String {
    let mut connection = Connection::to(server).await;
    // The server may close before it has read everything.
    let _ = connection.write(bytes).await;
    connection.rest().await
}

/// The headers of a signed-in browser for a plain request, each in a line.
pub fn signed_in(visitor: &Visitor) -> String {
    format!("Host: localhost\r\nCookie: handstamp_session={}; theme=dark\r\n", visitor.token())
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// Each byte as one character.
pub fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of such a text.
pub fn bytes_of(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}
