use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something that stands between Handstamp and PostgreSQL, as a pooler does, and may keep notifications to itself.
pub struct Between {
    pub url: String,
    switches: Arc<Switches>,
}

#[derive(Default)]
struct Switches {
    is_deaf: AtomicBool,
    refuses_to_listen: AtomicBool,
}

impl Between {
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
                let (back, there) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let switches = Arc::clone(&ours);
                std::thread::spawn(move || pass_statements(client, there, &switches));
                let switches = Arc::clone(&ours);
                std::thread::spawn(move || pass_answers(server, back, &switches));
            }
        });
        Self { url: format!("postgres://postgres@127.0.0.1:{port}{}?sslmode=disable", url.path()), switches }
    }

    /// Notifications no longer come through, and nobody says so.
    pub fn is_deaf(&self) {
        self.switches.is_deaf.store(true, Ordering::SeqCst);
    }

    /// LISTEN is an error.
    pub fn refuses_to_listen(&self) {
        self.switches.refuses_to_listen.store(true, Ordering::SeqCst);
    }
}

fn pass_statements(mut client: TcpStream, mut server: TcpStream, switches: &Switches) {
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
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

/// Messages are a letter and a length; notifications have the letter A.
fn pass_answers(mut server: TcpStream, mut client: TcpStream, switches: &Switches) {
    let mut pass = || -> std::io::Result<()> {
        let mut head = [0; 5];
        server.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize;
        let mut message = head.to_vec();
        message.resize(1 + length, 0);
        server.read_exact(&mut message[5..])?;
        if head[0] == b'A' && switches.is_deaf.load(Ordering::SeqCst) {
            return Ok(());
        }
        client.write_all(&message)
    };
    while pass().is_ok() {}
    let _ = client.shutdown(Shutdown::Both);
}
