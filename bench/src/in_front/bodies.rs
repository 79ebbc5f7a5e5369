//! Bodies of a gibibyte, in both directions.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use handstamp_bench::client::{HOST, PATIENCE};

use crate::Options;
use crate::systems::{Kind, Parts, System};

const LENGTH: usize = 1 << 30;
const ROUNDS: usize = 5;
const CHUNK: usize = 256 * 1024;
/// How long a client that stalls reads or sends nothing.
pub const STALL: Duration = Duration::from_secs(3);

/// The measurements of one system in one direction, round by round.
#[derive(Default)]
pub struct Transfers {
    /// MiB per second.
    pub a_second: Vec<f64>,
    /// Processor time of the gibibyte, in seconds.
    pub spent: Vec<Parts>,
}

pub struct Bodies {
    pub downloads: Vec<(Kind, Transfers)>,
    pub uploads: Vec<(Kind, Transfers)>,
    /// The memory of Handstamp in front before the bodies, and the most of it, in MiB.
    pub at_rest: f64,
    pub most: f64,
}

impl Bodies {
    /// # Panics
    /// When a system does not answer as it should.
    pub fn measure(options: &Options, cores: &str) -> Self {
        let systems = Kind::PROXIES.map(|kind| System::start(kind, options, cores));
        let in_front = systems.iter().find(|system| system.kind == Kind::InFront).expect("it is among them");
        let at_rest = in_front.most_memory().expect("it has memory");
        let all = || systems.iter().map(|system| (system.kind, Transfers::default())).collect::<Vec<_>>();
        let (mut downloads, mut uploads) = (all(), all());
        for round in 0..ROUNDS {
            eprintln!("bodies: round {} of {ROUNDS}", round + 1);
            for (place, system) in systems.iter().enumerate() {
                downloads[place].1.of(system, download);
                uploads[place].1.of(system, upload);
            }
        }
        download(in_front, STALL);
        upload(in_front, STALL);
        let most = in_front.most_memory().expect("it has memory");
        Self { downloads, uploads, at_rest, most }
    }
}

impl Transfers {
    fn of(&mut self, system: &System, transfer: impl FnOnce(&System, Duration)) {
        let (before, begun) = (system.processor_time(), Instant::now());
        transfer(system, Duration::ZERO);
        self.a_second.push(LENGTH as f64 / (1 << 20) as f64 / begun.elapsed().as_secs_f64());
        self.spent.push(system.processor_time().minus(before));
    }
}

/// Downloads a gibibyte, and reads nothing for a while in the middle.
fn download(system: &System, stall: Duration) {
    let mut stream = connect(system);
    let (cookies, mut piece) = (&system.cookies, vec![0; CHUNK]);
    let request = format!("GET /download/{LENGTH} HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookies}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it takes requests");
    let (head, mut received) = head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut has_stalled = false;
    while received < LENGTH {
        if !has_stalled && received > LENGTH / 2 {
            sleep(stall);
            has_stalled = true;
        }
        let read = stream.read(&mut piece).expect("the body comes");
        assert!(read > 0, "the body ends after {received} bytes");
        received += read;
    }
    assert_eq!(received, LENGTH);
}

/// Uploads a gibibyte, and sends nothing for a while in the middle.
fn upload(system: &System, stall: Duration) {
    let mut stream = connect(system);
    let (cookies, piece) = (&system.cookies, vec![b'x'; CHUNK]);
    let request = format!(
        "POST /upload HTTP/1.1\r\nHost: {HOST}\r\nOrigin: http://{HOST}\r\nCookie: {cookies}\r\n\
         Content-Length: {LENGTH}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it takes requests");
    for number in 0..LENGTH / CHUNK {
        if number == LENGTH / CHUNK / 2 {
            sleep(stall);
        }
        stream.write_all(&piece).expect("it takes the body");
    }
    let (head, _) = head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

fn connect(system: &System) -> TcpStream {
    let stream = TcpStream::connect(system.address).expect("it accepts connections");
    stream.set_nodelay(true).expect("it is a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a minute is a timeout");
    stream
}

/// The head of a response, and the number of bytes of the body that came with it.
fn head(stream: &mut TcpStream) -> (String, usize) {
    let (mut bytes, mut piece) = (Vec::new(), vec![0; CHUNK]);
    loop {
        let read = stream.read(&mut piece).expect("it answers");
        assert!(read > 0, "it answers");
        bytes.extend_from_slice(&piece[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).expect("the heads of answers are ASCII");
            return (head, bytes.len() - end - 4);
        }
    }
}
