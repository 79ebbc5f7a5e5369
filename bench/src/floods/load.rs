//! The load: floods of requests, slow connections, and probes that measure their effect on an honest visitor.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use handstamp_bench::client::{Answer, Client, post};
use handstamp_bench::figures::Latencies;

const PASSWORD: &str = "password=wrong-octave-harbour";

/// The account whose password is guessed.
#[derive(Clone)]
pub enum Guesses {
    /// A new account each time, so that no limit but that of the hashing applies.
    OfAnybody,
    /// Always the same account, from changing addresses.
    Of(&'static str),
}

/// Requests on many connections, each sent as soon as the last one is answered.
pub struct Flood {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    counts: AtomicBool,
    /// Status and latency of the answers while they counted.
    answers: Mutex<Vec<(u16, Duration)>>,
    errors: AtomicU64,
}

/// The result of a flood.
pub struct Flooded {
    pub answers: Vec<(u16, Duration)>,
    /// Connections that broke.
    pub errors: u64,
}

impl Flooded {
    pub fn latencies(&self, status: u16) -> Latencies {
        self.answers.iter().filter(|(answered, _)| *answered == status).map(|(_, after)| *after).collect()
    }
}

impl Flood {
    /// Sign-ins with wrong passwords.
    pub fn start(address: SocketAddr, connections: usize, guesses: &Guesses) -> Self {
        let guesses = guesses.clone();
        Self::of(address, connections, move |_, _| {
            let (email, from) = next_guess(&guesses);
            post("/account/login", &from, &format!("email={email}&{PASSWORD}"))
        })
    }

    /// Requests that `next` makes for each connection, by its number and its last answer.
    pub fn of(
        address: SocketAddr,
        connections: usize,
        next: impl FnMut(usize, Option<&Answer>) -> Vec<u8> + Clone + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let one = |number| {
            let (shared, mut next) = (Arc::clone(&shared), next.clone());
            let work = move || shared.flood(address, |last| next(number, last));
            thread::Builder::new().stack_size(256 * 1024).spawn(work).expect("a thread can be started")
        };
        let threads = (0..connections).map(one).collect();
        Self { shared, threads }
    }

    /// From now on answers count; those before only warmed up the server.
    pub fn count(&self) {
        self.shared.counts.store(true, Ordering::Relaxed);
    }

    pub fn stop_counting(&self) {
        self.shared.counts.store(false, Ordering::Relaxed);
    }

    /// # Panics
    /// When one of its threads did.
    pub fn stop(self) -> Flooded {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a flood does not panic");
        }
        let answers = std::mem::take(&mut *self.shared.answers.lock().expect("no thread panicked"));
        Flooded { answers, errors: self.shared.errors.load(Ordering::Relaxed) }
    }
}

impl Shared {
    fn flood(&self, address: SocketAddr, mut next: impl FnMut(Option<&Answer>) -> Vec<u8>) {
        let mut client = Client::new(address);
        let mut last = None;
        while !self.stop.load(Ordering::Relaxed) {
            let request = next(last.as_ref());
            let begun = Instant::now();
            match client.ask(&request) {
                Ok(answer) => {
                    if self.counts.load(Ordering::Relaxed) {
                        let answered = (answer.status, begun.elapsed());
                        self.answers.lock().expect("no thread panicked").push(answered);
                    }
                    last = Some(answer);
                }
                Err(_) => {
                    self.errors.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }
}

/// The e-mail address of a guess, and the client address that it comes from: no two are in one network.
fn next_guess(guesses: &Guesses) -> (String, String) {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let email = match guesses {
        Guesses::OfAnybody => format!("somebody{number}%40example.com"),
        Guesses::Of(email) => (*email).to_owned(),
    };
    (email, format!("10.{}.{}.{}", number & 0xff, number >> 8 & 0xff, number >> 16 & 0xff))
}

/// Guesses at one account, one after the other, until an attempt is throttled (429). False where there is no such limit.
pub fn is_blocked_after_a_while(address: SocketAddr, email: &'static str) -> bool {
    let mut client = Client::new(address);
    (0..40).any(|_| {
        let (email, from) = next_guess(&Guesses::Of(email));
        let request = post("/account/login", &from, &format!("email={email}&{PASSWORD}"));
        client.ask(&request).is_ok_and(|answer| answer.status == 429)
    })
}

/// Sends requests at a steady rate, on a kept connection or each time on a new one. Each latency counts from when the request
/// was due: a client that waits for a late answer first would not notice how late the next one would have been.
///
/// # Panics
/// When an answer is not 200, as the latencies would mean nothing.
pub fn probe(address: SocketAddr, request: &[u8], every: Duration, lasting: Duration, connection: Kept) -> Latencies {
    let mut client = Client::new(address);
    client.ask(request).expect("the server answers");
    let begun = Instant::now();
    let mut due = Duration::ZERO;
    let mut latencies = Vec::new();
    while due < lasting {
        thread::sleep((begun + due).saturating_duration_since(Instant::now()));
        if matches!(connection, Kept::No) {
            client = Client::new(address);
        }
        let answer = client.ask(request).expect("the server answers");
        assert_eq!(answer.status, 200);
        latencies.push((begun + due).elapsed());
        due += every;
    }
    latencies.into_iter().collect()
}

/// The latencies of sign-ins at a steady rate, from when each was due, and how many of them were refused.
///
/// # Panics
/// When the server does not answer at all.
pub fn sign_ins(address: SocketAddr, from: &str, email: &str, every: Duration, lasting: Duration) -> (Latencies, u64) {
    let request = post("/account/login", from, &format!("email={email}&password=plum-octave-harbour"));
    let mut client = Client::new(address);
    let (begun, mut due) = (Instant::now(), Duration::ZERO);
    let (mut latencies, mut refused) = (Vec::new(), 0);
    while due < lasting {
        thread::sleep((begun + due).saturating_duration_since(Instant::now()));
        let answer = client.ask(&request).expect("the server answers");
        latencies.push((begun + due).elapsed());
        refused += u64::from(answer.status != 303);
        due += every;
    }
    (latencies.into_iter().collect(), refused)
}

#[derive(Clone, Copy)]
pub enum Kept {
    Yes,
    No,
}

/// How many connections were cut, and how long the last of them lasted.
pub struct Cut {
    pub count: usize,
    pub last: Duration,
}

/// Opens connections that send a byte every ten seconds, and waits until all are cut, or for a minute.
///
/// # Panics
/// When they cannot be opened.
pub fn dawdle(address: SocketAddr, connections: usize) -> Cut {
    // A head, the body of a form, and a second head: a client may be slow in any of them.
    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 60000";
    let starts = [
        String::new(),
        format!("POST /account/login HTTP/1.1\r\nHost: {address}\r\n{form}\r\n\r\nemail="),
        format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n"),
    ];
    let open = |number: usize| {
        let mut stream = TcpStream::connect(address).expect("a connection can be opened");
        let begun = Instant::now();
        stream.write_all(starts[number % starts.len()].as_bytes()).expect("the connection is new");
        stream.set_nonblocking(true).expect("a socket can be set to not block");
        Slow { stream, begun, next: begun + Duration::from_secs(10) }
    };
    let mut slow: Vec<Slow> = (0..connections).map(open).collect();
    let (give_up, mut last) = (Instant::now() + Duration::from_secs(60), Duration::ZERO);
    while !slow.is_empty() && Instant::now() < give_up {
        slow.retain_mut(|one| {
            let goes_on = one.goes_on();
            if !goes_on {
                last = last.max(one.begun.elapsed());
            }
            goes_on
        });
        thread::sleep(Duration::from_millis(100));
    }
    Cut { count: connections - slow.len(), last }
}

struct Slow {
    stream: TcpStream,
    begun: Instant,
    next: Instant,
}

impl Slow {
    /// Sends a byte if one is due. Whether the server still keeps the connection.
    fn goes_on(&mut self) -> bool {
        loop {
            match self.stream.read(&mut [0; 4096]) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        if Instant::now() >= self.next {
            self.next += Duration::from_secs(10);
            return self.stream.write_all(b"1").is_ok();
        }
        true
    }
}
