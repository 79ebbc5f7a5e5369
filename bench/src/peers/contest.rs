//! The measured programs, and the turns in which they are measured.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handstamp_bench::client::{self, Client, get};
use handstamp_bench::figures::{Latencies, median};
use handstamp_bench::folder::Folder;
use handstamp_bench::load::load_for;
use handstamp_bench::machine::Machine;
use handstamp_bench::program::Program;

use crate::Options;

pub const USERS: &str = "100000";
/// The folder of Handstamp itself, which creates it.
const OURS: &str = "handstamp";
const WARMING_UP: Duration = Duration::from_millis(700);
/// The number of pieces of a turn. They alternate with pieces of the limit, since disturbances of a machine come and go within
/// seconds.
const PIECES: u32 = 4;

/// A measured program.
pub struct Entrant {
    pub name: &'static str,
    path: &'static str,
    /// The program that sends the same bytes and does nothing else.
    pub limit: Option<&'static str>,
    starts: Starts,
}

enum Starts {
    /// The binary as it is shipped.
    Handstamp,
    /// A small program in Rust.
    Peer(&'static str, &'static [(&'static str, &'static str)]),
    Python(&'static str),
    /// A program that sends the content of this file.
    Bare(&'static str),
}

pub const BARE: &str = "bare axum, the bytes of `/account`";
pub const HANDSTAMP: &str = "**`handstamp serve`**, `/account`";
pub const FORWARD_AUTH: &str = "**`handstamp serve`**, `/auth/request`";
pub const EXTRACTOR: &str = "**handstamp's extractor**, a greeting";
pub const AXUM_LOGIN: &str = "axum-login, sessions in SQLite";
pub const FLASK: &str = "Flask, Flask-Login, SQLAlchemy";
const BARE_REQUEST: &str = "bare axum, the bytes of `/auth/request`";
const BARE_GREETING: &str = "bare axum, a greeting";

pub const ENTRANTS: [Entrant; 12] = [
    Entrant { name: BARE, path: "/account", limit: None, starts: Starts::Bare("account") },
    Entrant { name: HANDSTAMP, path: "/account", limit: Some(BARE), starts: Starts::Handstamp },
    Entrant { name: BARE_REQUEST, path: "/auth/request", limit: None, starts: Starts::Bare("request") },
    Entrant { name: FORWARD_AUTH, path: "/auth/request", limit: Some(BARE_REQUEST), starts: Starts::Handstamp },
    Entrant { name: BARE_GREETING, path: "/hello", limit: None, starts: Starts::Bare("hello") },
    Entrant { name: EXTRACTOR, path: "/hello", limit: Some(BARE_GREETING), starts: Starts::Peer("extractor", &[]) },
    Entrant {
        name: "axum-extra, a signed cookie and a look-up",
        path: "/account",
        limit: Some(BARE),
        starts: Starts::Peer("axum-extra", &[]),
    },
    Entrant {
        name: "actix-identity, a cookie session and a look-up",
        path: "/account",
        limit: Some(BARE),
        starts: Starts::Peer("actix", &[]),
    },
    Entrant {
        name: "axum-login, sessions in memory",
        path: "/account",
        limit: Some(BARE),
        starts: Starts::Peer("axum-login", &[("STORE", "memory")]),
    },
    Entrant {
        name: AXUM_LOGIN,
        path: "/account",
        limit: Some(BARE),
        starts: Starts::Peer("axum-login", &[("STORE", "sqlite")]),
    },
    Entrant { name: "Django, its sessions", path: "/account", limit: Some(BARE), starts: Starts::Python("django") },
    Entrant { name: FLASK, path: "/account", limit: Some(BARE), starts: Starts::Python("flask") },
];

/// The measurements of one program, turn by turn.
#[derive(Default)]
pub struct Turns {
    pub a_second: Vec<f64>,
    pub microseconds: Vec<f64>,
    /// The processor time as a multiple of the limit's, if there is a limit.
    pub times_limit: Vec<f64>,
    pub p50: Vec<f64>,
    pub p99: Vec<f64>,
    /// In MiB, before the first request.
    pub at_rest: Vec<f64>,
    pub under_load: Vec<f64>,
    /// In milliseconds.
    pub started_in: Vec<f64>,
}

/// The measurements of all programs.
pub struct Results(Vec<Turns>);

impl Results {
    pub fn each(&self) -> impl Iterator<Item = (&Entrant, &Turns)> {
        ENTRANTS.iter().zip(&self.0)
    }

    fn of(&self, name: &str) -> &Turns {
        self.each().find(|(entrant, _)| entrant.name == name).expect("it is among them").1
    }

    /// The processor time of a program as a multiple of its limit's.
    pub fn times_limit(&self, name: &str) -> f64 {
        median(self.of(name).times_limit.clone())
    }

    /// The processor time of a program as a multiple of another's that has the same limit.
    pub fn ratio(&self, name: &str, other: &str) -> f64 {
        let pairs = self.of(name).times_limit.iter().zip(&self.of(other).times_limit);
        median(pairs.map(|(one, other)| one / other).collect())
    }
}

/// A running program, and the request that is sent to it.
struct Running {
    program: Program,
    request: Vec<u8>,
    /// In MiB, before the first request.
    at_rest: f64,
}

impl Running {
    /// Sends requests for `lasting`, and adds their cost to `work`.
    fn asked_for(&self, lasting: Duration, work: &mut Work) {
        let (before, begun) = (self.program.processor_time(), Instant::now());
        let latencies = load_for(self.program.address, lasting, || &self.request);
        work.lasted += begun.elapsed();
        work.spent += self.program.processor_time() - before;
        work.latencies = std::mem::take(&mut work.latencies).and(latencies);
    }
}

/// The cost of answering requests.
#[derive(Default)]
struct Work {
    lasted: Duration,
    spent: Duration,
    latencies: Latencies,
}

impl Work {
    /// Processor time per request.
    fn microseconds(&self) -> f64 {
        self.spent.as_secs_f64() * 1e6 / self.latencies.count() as f64
    }
}

pub struct Contest<'a> {
    options: &'a Options,
    cores: String,
    folder: Folder,
    /// The cookies of the user who is registered at Handstamp.
    cookies: RefCell<String>,
}

impl<'a> Contest<'a> {
    /// Registers a user among many, and keeps the answers that bare axum is to send.
    pub fn prepare(options: &'a Options, machine: &Machine) -> Self {
        let folder = Folder::new("peers");
        let contest = Self { options, cores: machine.server_cores(), folder, cookies: RefCell::default() };
        let handstamp = contest.start(&Starts::Handstamp);
        contest.cookies.replace(register(&handstamp));
        drop(handstamp);
        let data = contest.folder.join(OURS);
        let filled = Command::new("python3").arg(options.folder.join("fill.py")).arg(data).arg(USERS).status();
        assert!(filled.is_ok_and(|filled| filled.success()), "the database can be filled");

        let handstamp = contest.start(&Starts::Handstamp);
        contest.keep("account", &handstamp, "/account");
        contest.keep("request", &handstamp, "/auth/request");
        drop(handstamp);
        let extractor = contest.start(&Starts::Peer("extractor", &[]));
        contest.keep("hello", &extractor, "/hello");
        contest
    }

    fn keep(&self, name: &str, program: &Program, path: &str) {
        let mut client = Client::new(program.address);
        let answer = client.ask(&asks(path, &self.cookies.borrow())).expect("it answers");
        assert_eq!(answer.status, 200, "{path}");
        std::fs::write(self.folder.join(name), client.received()).expect("the folder can be written");
    }

    /// The data folder of a program. An application that has the extractor shares that of Handstamp.
    fn data(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(if name == "extractor" { OURS } else { name });
        std::fs::create_dir_all(&folder).expect("the folder can be written");
        folder
    }

    fn start(&self, starts: &Starts) -> Program {
        let text = |path: PathBuf| path.to_str().expect("temporary files have plain names").to_owned();
        match *starts {
            Starts::Handstamp => {
                let data = text(self.folder.join(OURS));
                let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", &data];
                // The app of the authorization subrequests receives its assertions.
                let variables = [("HANDSTAMP_RETURN_HOSTS", "app.example.com")];
                Program::start(&self.cores, &self.options.binary, &arguments, &variables)
            }
            Starts::Peer(name, variables) => {
                let data = text(self.data(name));
                let variables = [&[("DATA", data.as_str()), ("USERS", USERS)], variables].concat();
                Program::start(&self.cores, &self.options.peers.join(name), &[], &variables)
            }
            Starts::Python(name) => {
                let data = text(self.data(name));
                let programs = text(self.options.python.join(name).join("bin"));
                let variables = [("DATA", data.as_str()), ("USERS", USERS), ("PYTHON_BIN", &programs)];
                Program::start(
                    &self.cores,
                    &self.options.folder.join("peers").join(name).join("serve"),
                    &[],
                    &variables,
                )
            }
            Starts::Bare(answer) => {
                let file = text(self.folder.join(answer));
                Program::start(&self.cores, &self.options.peers.join("bare"), &[], &[("ANSWER", &file)])
            }
        }
    }

    /// Measures all programs in turns.
    pub fn play(&self) -> Results {
        let mut results: Vec<Turns> = ENTRANTS.iter().map(|_| Turns::default()).collect();
        // A program that has a database fills it before it is measured.
        for entrant in &ENTRANTS {
            eprintln!("starting {}", entrant.name);
            drop(self.start(&entrant.starts));
        }
        for round in 0..self.options.rounds {
            for (entrant, turns) in ENTRANTS.iter().zip(&mut results) {
                eprintln!("round {} of {}: {}", round + 1, self.options.rounds, entrant.name);
                self.measure(entrant, turns);
            }
        }
        Results(results)
    }

    fn measure(&self, entrant: &Entrant, turns: &mut Turns) {
        let running = self.run(entrant);
        let limit = entrant.limit.and_then(|name| ENTRANTS.iter().find(|entrant| entrant.name == name));
        let limit = limit.map(|limit| self.run(limit));
        let (mut work, mut least) = (Work::default(), Work::default());
        for _ in 0..PIECES {
            if let Some(limit) = &limit {
                limit.asked_for(self.options.lasting / PIECES, &mut least);
            }
            running.asked_for(self.options.lasting / PIECES, &mut work);
        }
        if limit.is_some() {
            turns.times_limit.push(work.microseconds() / least.microseconds());
        }
        // Memory that the two programs share would count as half.
        drop(limit);
        turns.a_second.push(work.latencies.count() as f64 / work.lasted.as_secs_f64());
        turns.microseconds.push(work.microseconds());
        turns.p50.push(work.latencies.per_mille(500));
        turns.p99.push(work.latencies.per_mille(990));
        turns.at_rest.push(running.at_rest);
        turns.under_load.push(running.program.memory());
        turns.started_in.push(running.program.started_in.as_secs_f64() * 1e3);
    }

    /// Starts a program, and warms it up.
    fn run(&self, entrant: &Entrant) -> Running {
        let program = self.start(&entrant.starts);
        let at_rest = program.memory();
        let has_accounts = match entrant.starts {
            Starts::Handstamp | Starts::Bare(_) => false,
            Starts::Peer(name, _) => name != "extractor",
            Starts::Python(_) => true,
        };
        let cookies = if has_accounts { register(&program) } else { self.cookies.borrow().clone() };
        let request = asks(entrant.path, &cookies);
        load_for(program.address, WARMING_UP, || &request);
        Running { program, request, at_rest }
    }
}

/// The cookies of a newly registered user.
fn register(program: &Program) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let email = format!("ada-{}%40example.com", COUNT.fetch_add(1, Ordering::Relaxed));
    client::register(program.address, "", "Ada+Lovelace", &email)
}

/// A request with these cookies; an authorization subrequest is as nginx sends it.
fn asks(path: &str, cookies: &str) -> Vec<u8> {
    let mut request = get(path, cookies);
    if path == "/auth/request" {
        request.truncate(request.len() - 2);
        request.extend_from_slice(
            b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: app.example.com\r\n\
              X-Forwarded-Uri: /notes?page=2\r\nX-Forwarded-Method: GET\r\n\r\n",
        );
    }
    request
}
