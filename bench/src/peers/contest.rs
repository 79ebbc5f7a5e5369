//! Who is measured, in turns.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Options;
use crate::client::{Client, get, post};
use crate::figures::{Latencies, median, number};
use crate::machine::Machine;
use crate::program::Program;

/// Connections at once, each of which asks again as soon as it is answered.
const CONNECTIONS: usize = 8;
const WARMING_UP: Duration = Duration::from_millis(700);

pub struct Contest<'a> {
    options: &'a Options,
    cores: String,
    folder: PathBuf,
    cookie: String,
}

/// One who is measured.
struct Entrant {
    name: &'static str,
    path: &'static str,
    /// Whom it is compared with: the place of the bare one that sends the same bytes.
    limit: Option<usize>,
    starts: Starts,
}

enum Starts {
    Handstamp,
    Extractor,
    /// Sends what stands in this file.
    Bare(&'static str),
}

#[derive(Default)]
struct Result {
    a_second: Vec<f64>,
    microseconds: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    memory: Vec<f64>,
}

const ENTRANTS: [Entrant; 6] = [
    Entrant { name: "bare axum, the bytes of /account", path: "/account", limit: None, starts: Starts::Bare("account") },
    Entrant { name: "handstamp serve, /account", path: "/account", limit: Some(0), starts: Starts::Handstamp },
    Entrant { name: "bare axum, the bytes of /auth/request", path: "/account", limit: None, starts: Starts::Bare("request") },
    Entrant { name: "handstamp serve, /auth/request", path: "/auth/request", limit: Some(2), starts: Starts::Handstamp },
    Entrant { name: "bare axum, a short greeting", path: "/hello", limit: None, starts: Starts::Bare("hello") },
    Entrant { name: "the crate's extractor, a short greeting", path: "/hello", limit: Some(4), starts: Starts::Extractor },
];

impl<'a> Contest<'a> {
    /// Registers somebody, and keeps the answers that the bare ones are to send.
    pub fn prepare(options: &'a Options, machine: &Machine) -> Self {
        let folder = std::env::temp_dir().join(format!("handstamp-peers-{}", std::process::id()));
        std::fs::create_dir(&folder).expect("the folder for temporary files can be written");
        let mut contest = Self { options, cores: machine.server_cores(), folder, cookie: String::new() };
        let handstamp = contest.start(&Starts::Handstamp);
        let form = "name=Ada+Lovelace&email=ada%40example.com&password=plum-octave-harbour";
        let mut client = Client::new(handstamp.address);
        let registered = client.ask(&post(handstamp.address, "/account/register", "", form)).expect("it has just started");
        contest.cookie = registered.cookie().expect("nobody else is registered").to_owned();
        contest.keep("account", &handstamp, "/account");
        contest.keep("request", &handstamp, "/auth/request");
        drop(handstamp);
        let extractor = contest.start(&Starts::Extractor);
        contest.keep("hello", &extractor, "/hello");
        contest
    }

    fn keep(&self, name: &str, program: &Program, path: &str) {
        let mut client = Client::new(program.address);
        let answer = client.ask(&get(program.address, path, &self.cookie)).expect("it answers");
        assert_eq!(answer.status, 200, "{path}");
        std::fs::write(self.folder.join(name), client.received()).expect("the folder is ours");
    }

    fn start(&self, starts: &Starts) -> Program {
        let data = self.folder.join("data");
        let data = data.to_str().expect("temporary files have plain names");
        let peer = |name: &str| self.options.peers.join(name);
        match starts {
            Starts::Handstamp => {
                let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data];
                Program::start(&self.cores, &self.options.binary, &arguments, &[])
            }
            Starts::Extractor => Program::start(&self.cores, &peer("extractor"), &[], &[("DATA", data)]),
            Starts::Bare(answer) => {
                let file = self.folder.join(answer);
                let file = file.to_str().expect("temporary files have plain names");
                Program::start(&self.cores, &peer("bare"), &[], &[("ANSWER", file)])
            }
        }
    }

    /// Takes turns, and tells what came of it in a table.
    pub fn play(&self) -> String {
        let mut results: Vec<Result> = ENTRANTS.iter().map(|_| Result::default()).collect();
        for round in 0..self.options.rounds {
            for (entrant, result) in ENTRANTS.iter().zip(&mut results) {
                eprintln!("round {} of {}: {}", round + 1, self.options.rounds, entrant.name);
                self.measure(entrant, result);
            }
        }
        let mut table = "| | requests a second | p50, ms | p99, ms | processor time, µs a request | × bare | MiB |\n\
                         | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
        for (entrant, result) in ENTRANTS.iter().zip(&results) {
            let cost = median(result.microseconds.clone());
            let ratio = entrant.limit.map_or_else(String::new, |limit| {
                // Turn by turn: what disturbs one disturbs its neighbour.
                let ratios = result.microseconds.iter().zip(&results[limit].microseconds).map(|(one, bare)| one / bare);
                format!("{:.2}", median(ratios.collect()))
            });
            let middle = |values: &Vec<f64>| number(median(values.clone()));
            writeln!(
                table,
                "| {} | {} | {} | {} | {} | {ratio} | {} |",
                entrant.name,
                middle(&result.a_second),
                middle(&result.p50),
                middle(&result.p99),
                number(cost),
                middle(&result.memory)
            )
            .expect("memory takes all");
        }
        table
    }

    fn measure(&self, entrant: &Entrant, result: &mut Result) {
        let program = self.start(&entrant.starts);
        let request = get(program.address, entrant.path, &self.cookie);
        load(&program, &request, WARMING_UP);
        let (before, begun) = (program.processor_time(), Instant::now());
        let latencies = load(&program, &request, self.options.lasting);
        let (spent, lasted) = (program.processor_time() - before, begun.elapsed());
        let count = latencies.count() as f64;
        result.a_second.push(count / lasted.as_secs_f64());
        result.microseconds.push(spent.as_secs_f64() * 1e6 / count);
        result.p50.push(latencies.per_mille(500));
        result.p99.push(latencies.per_mille(990));
        result.memory.push(program.memory());
    }
}

impl Drop for Contest<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder as &Path);
    }
}

/// Asks without a pause on every connection, and tells how long each answer took.
fn load(program: &Program, request: &[u8], lasting: Duration) -> Latencies {
    let stop = AtomicBool::new(false);
    let ask = || {
        let mut client = Client::new(program.address);
        let mut latencies = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let answer = client.ask(request).expect("it answers");
            assert_eq!(answer.status, 200);
            latencies.push(begun.elapsed());
        }
        latencies
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(ask)).collect();
        thread::sleep(lasting);
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().expect("it answers")).collect()
    })
}
