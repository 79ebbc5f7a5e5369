//! Measures parts of a request as multiples of their lower bounds.
//!
//! A part and its bound take turns, since disturbances of a machine come and go within seconds. `turns PYTHON ARGON2_C` writes
//! a table; the arguments are the Python interpreter and the program that hashes with the C library.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use handstamp_bench::figures::{Goal, median};
use handstamp_bench::ratios::{self, Ratio};
use micro::{Hasher, MANY, NOW, bare_hmac, claims, key, tokens};

const TURNS: usize = 501;
const TURNS_OF_HASHES: usize = 201;

/// The C library of Argon2, in a process of its own that hashes on request.
struct CLibrary {
    process: Child,
    orders: ChildStdin,
    times: BufReader<ChildStdout>,
}

impl CLibrary {
    fn start(python: &str, program: &str) -> Self {
        let mut process = Command::new(python)
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{python}: {error}"));
        let (orders, times) = (process.stdin.take(), process.stdout.take());
        let orders = orders.expect("it has one");
        Self { process, orders, times: BufReader::new(times.expect("it has one")) }
    }

    /// How long one hash takes, without the communication.
    fn hash(&mut self) -> Duration {
        let mut seconds = String::new();
        self.orders.write_all(b"\n").and_then(|()| self.times.read_line(&mut seconds)).expect("it answers");
        Duration::from_secs_f64(seconds.trim().parse().expect("it prints the seconds"))
    }

    fn end(mut self) {
        drop(self.orders);
        assert!(self.process.wait().is_ok_and(|status| status.success()), "it ends");
    }
}

fn taken<T>(mut work: impl FnMut() -> T) -> Duration {
    let begun = Instant::now();
    for _ in 0..MANY {
        black_box(work());
    }
    begun.elapsed()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [python, program] = arguments.as_slice() else {
        eprintln!("turns PYTHON ARGON2_C");
        return ExitCode::from(2);
    };
    let (tokens, claims, key) = (tokens(), claims(), key());
    let token = tokens.issue(&claims);
    let text = token.expose();
    let (mut opening, mut issuing) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let limit = taken(|| bare_hmac(&key)).as_secs_f64();
        opening.push(taken(|| tokens.open(black_box(text), black_box(NOW)).is_ok()).as_secs_f64() / limit);
        issuing.push(taken(|| tokens.issue(black_box(&claims))).as_secs_f64() / limit);
    }

    let (mut ours, mut c_library) = (Hasher::default(), CLibrary::start(python, program));
    let hash = || {
        let begun = Instant::now();
        black_box(ours.hash());
        begun.elapsed().as_secs_f64() / c_library.hash().as_secs_f64()
    };
    let hashing: Vec<f64> = std::iter::repeat_with(hash).take(TURNS_OF_HASHES).collect();
    c_library.end();

    let ratios = [
        ("opening a token, times the bare HMAC", opening, Goal::AtMost(1.3)),
        ("issuing a token, times the bare HMAC", issuing, Goal::AtMost(1.3)),
        ("hashing a password, times the C library of Argon2", hashing, Goal::AtMost(0.75)),
    ]
    .map(|(name, turns, goal)| Ratio { name, measured: median(turns), goal });
    print!("{}", ratios::table("median of all turns", &ratios));
    if ratios.iter().all(Ratio::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
