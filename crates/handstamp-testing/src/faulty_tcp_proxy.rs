//! A TCP proxy between Handstamp and PostgreSQL that drops notifications and breaks connections on demand.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use socket2::SockRef;

/// A TCP proxy between Handstamp and PostgreSQL, in the position of a connection pooler.
///
/// It can drop notifications and break connections.
#[derive(Debug)]
pub struct FaultyTcpProxy {
    /// The URL of the database through this proxy.
    pub url: String,
    switches: Arc<Switches>,
}

#[derive(Debug, Default)]
struct Switches {
    drops_notifications: AtomicBool,
    refuses_to_listen: AtomicBool,
    holds_messages: AtomicBool,
    /// Counts down to the message that is cut in half; zero afterwards.
    messages_left: AtomicI64,
    connections: Mutex<Vec<Connection>>,
}

impl Switches {
    /// Waits for as long as messages are held.
    fn wait_while_held(&self) {
        while self.holds_messages.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Counts a message, and says whether this one is cut in half.
    fn is_the_last(&self) -> bool {
        let count = |left: i64| (left > 0).then_some(left - 1);
        self.messages_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1)
    }
}

/// Both ends of a connection, which live as long as its threads.
#[derive(Debug)]
struct Connection {
    client: Weak<TcpStream>,
    server: Weak<TcpStream>,
}

impl FaultyTcpProxy {
    /// Starts a proxy to the server of this database.
    pub fn new(database_url: &str) -> Self {
        let url = url::Url::parse(database_url).unwrap();
        let server = format!("127.0.0.1:{}", url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let switches = Arc::<Switches>::default();
        let ours = Arc::clone(&switches);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                let (client, server) = (Arc::new(client), Arc::new(server));
                let connection = Connection { client: Arc::downgrade(&client), server: Arc::downgrade(&server) };
                ours.connections.lock().unwrap().push(connection);
                let (back, there, switches) = (Arc::clone(&client), Arc::clone(&server), Arc::clone(&ours));
                std::thread::spawn(move || pass_statements(&client, &there, &switches));
                let switches = Arc::clone(&ours);
                std::thread::spawn(move || pass_answers(&server, &back, &switches));
            }
        });
        Self { url: format!("postgres://postgres@127.0.0.1:{port}{}?sslmode=disable", url.path()), switches }
    }

    /// Drops notifications from now on, without an error.
    pub fn drop_notifications(&self) {
        self.switches.drops_notifications.store(true, Ordering::SeqCst);
    }

    /// Makes every `LISTEN` fail.
    pub fn refuse_listen(&self) {
        self.switches.refuses_to_listen.store(true, Ordering::SeqCst);
    }

    /// Passes no message any more, and breaks no connection: the two sides are cut off from each other.
    pub fn hold_messages(&self) {
        self.switches.holds_messages.store(true, Ordering::SeqCst);
    }

    /// Resets all connections.
    pub fn reset_connections(&self) {
        for Connection { client, server } in self.switches.connections.lock().unwrap().drain(..) {
            if let Some(client) = client.upgrade() {
                reset(&client);
            }
            if let Some(server) = server.upgrade() {
                let _ = server.shutdown(Shutdown::Both);
            }
        }
    }

    /// Passes this many more messages of the database, then half of one, and resets that connection.
    pub fn cut_after(&self, messages: i64) {
        self.switches.messages_left.store(messages + 1, Ordering::SeqCst);
    }

    /// Passes all messages from now on. Returns whether one was cut in half before.
    pub fn resume(&self) -> bool {
        self.switches.messages_left.swap(-1, Ordering::SeqCst) == 0
    }
}

/// The kernel resets the connection as soon as both threads have dropped it, because a close with zero linger time is a
/// reset.
fn reset(client: &TcpStream) {
    let _ = SockRef::from(client).set_linger(Some(Duration::ZERO));
    let _ = client.shutdown(Shutdown::Read);
}

fn pass_statements(mut client: &TcpStream, mut server: &TcpStream, switches: &Switches) {
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        switches.wait_while_held();
        let bytes = &mut buffer[..length];
        if switches.refuses_to_listen.load(Ordering::SeqCst)
            && let Some(at) = bytes.windows(8).position(|window| window == b"LISTEN \"")
        {
            bytes[at..at + 6].copy_from_slice(b"LISTEM");
        }
        if server.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

/// Passes the messages of the database on. Each begins with a letter and a length; notifications have the letter A.
fn pass_answers(mut server: &TcpStream, mut client: &TcpStream, switches: &Switches) {
    let mut pass = || -> std::io::Result<()> {
        let mut head = [0; 5];
        server.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut message = head.to_vec();
        message.resize(1 + length, 0);
        server.read_exact(&mut message[5..])?;
        switches.wait_while_held();
        if head[0] == b'A' && switches.drops_notifications.load(Ordering::SeqCst) {
            return Ok(());
        }
        if switches.is_the_last() {
            client.write_all(&message[..message.len() / 2])?;
            reset(client);
            return Err(ErrorKind::ConnectionReset.into());
        }
        client.write_all(&message)
    };
    while pass().is_ok() {}
    let _ = client.shutdown(Shutdown::Read);
    let _ = server.shutdown(Shutdown::Both);
}
