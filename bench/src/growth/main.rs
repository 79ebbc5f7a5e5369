//! Measures the cost of a request, of memory and of a start as accounts and live sessions grow to a million.
//!
//! Run by script/bench:
//!
//! `growth [--binary PATH] [--turns N] [--into FOLDER] [--at-most N]`

mod plot;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use handstamp_bench::client::get;
use handstamp_bench::figures::{Latencies, median, number};
use handstamp_bench::flags::Flags;
use handstamp_bench::folder::Folder;
use handstamp_bench::load::{CONNECTIONS, load, load_for};
use handstamp_bench::machine::{Machine, version};
use handstamp_bench::program::Program;

const USERS: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
const SESSIONS: [usize; 4] = [1, 1_000, 100_000, 1_000_000];
/// The number of sessions while the accounts grow.
const FEW_SESSIONS: usize = 1_000;

pub struct Options {
    binary: PathBuf,
    folder: PathBuf,
    /// Of a second each.
    turns: usize,
    /// The most accounts and sessions.
    at_most: usize,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options =
            Self { binary: "../target/release/handstamp".into(), folder: ".".into(), turns: 11, at_most: 1_000_000 };
        let mut flags = Flags::of_program();
        while let Some(name) = flags.next_name() {
            match name.as_str() {
                "--binary" => options.binary = flags.value()?,
                "--into" => options.folder = flags.value()?,
                "--turns" => options.turns = flags.value::<usize>()?.max(1),
                "--at-most" => options.at_most = flags.value()?,
                _ => return Err(flags.unknown()),
            }
        }
        Ok(options)
    }
}

/// The figures for one number of accounts and of live sessions.
pub struct Size {
    pub users: usize,
    pub sessions: usize,
    pub microseconds: f64,
    pub p99: f64,
    /// In MiB, after the start.
    pub at_rest: f64,
    /// In bytes, in addition to that.
    pub a_session: f64,
    /// The processor time to write the last-seen time of a session, in microseconds.
    pub written: f64,
    /// In milliseconds.
    pub started_in: f64,
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("growth: {error}");
            return ExitCode::from(2);
        }
    };
    let machine = Machine::divide(false);
    let users = USERS.iter().map(|users| (*users, FEW_SESSIONS));
    let most = *USERS.last().expect("there are some");
    let all: Vec<_> = users.chain(SESSIONS.iter().map(|sessions| (most, *sessions))).collect();
    let all = all.into_iter().filter(|(users, sessions)| *users.max(sessions) <= options.at_most);
    let sizes: Vec<_> = all.map(|(users, sessions)| measure(&options, &machine, users, sessions)).collect();
    let page = page(&sizes, &machine, &options);
    print!("{page}");
    for (file, text) in [("GROWTH.md", page), ("growth.svg", plot::svg(&sizes))] {
        let path = options.folder.join(file);
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("growth: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options, machine: &Machine, users: usize, sessions: usize) -> Size {
    eprintln!("{users} accounts, {sessions} live sessions");
    let folder = Folder::new("growth");
    let data = folder.join("data");
    let data = data.to_str().expect("temporary files have plain names");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data];
    let start = || Program::start(&machine.server_cores(), &options.binary, &arguments, &[]);
    start().end();
    let counts = [users.to_string(), sessions.to_string()];
    let filled = Command::new("python3").arg(options.folder.join("fill.py")).arg(data).args(counts).status();
    assert!(filled.is_ok_and(|filled| filled.success()), "the database can be filled");

    let (begun, program) = (Instant::now(), start());
    let at_rest = program.memory();
    let requests = requests(data);
    let mut each_once = requests.iter().map(Vec::as_slice);
    load(program.address, || each_once.next());
    let a_session = (program.memory() - at_rest) * 1024.0 * 1024.0 / sessions as f64;

    // Consecutive requests are far apart, by a step that has no divisor in common with any of the sizes.
    let mut far_apart = (0..).map(|turn: usize| requests[turn.wrapping_mul(611_953) % requests.len()].as_slice());
    let (mut microseconds, mut latencies) = (Vec::new(), Latencies::default());
    for _ in 0..options.turns {
        let before = program.processor_time();
        let turn = load_for(program.address, Duration::from_secs(1), || far_apart.next().expect("it has no end"));
        microseconds.push((program.processor_time() - before).as_secs_f64() * 1e6 / turn.count() as f64);
        latencies = latencies.and(turn);
    }
    let microseconds = median(microseconds);
    let started_in = program.started_in.as_secs_f64() * 1e3;
    // Last-seen times are written every five minutes, which must not happen during the measurement, and at a stop.
    assert!(begun.elapsed() < Duration::from_secs(300), "the machine is too slow");
    let written = program.end().as_secs_f64() * 1e6 / sessions as f64;
    Size { users, sessions, microseconds, p99: latencies.per_mille(990), at_rest, a_session, written, started_in }
}

/// One request for each session.
fn requests(data: &str) -> Vec<Vec<u8>> {
    let tokens = std::fs::read_to_string(Path::new(data).join("tokens")).expect("it was filled");
    tokens.lines().map(|token| get("/account", &format!("handstamp_session={token}"))).collect()
}

fn page(sizes: &[Size], machine: &Machine, options: &Options) -> String {
    let (description, turns) = (machine.description(), options.turns);
    let version = version();
    let mut table = "| accounts | live sessions | processor time, µs a request | p99, ms | MiB at rest | bytes a session | to write its last-seen time, µs | start, ms |\n\
                     | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for size in sizes {
        let of_many = |figure| if size.sessions >= 100_000 { number(figure) } else { "–".to_owned() };
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            size.users,
            size.sessions,
            number(size.microseconds),
            number(size.p99),
            number(size.at_rest),
            of_many(size.a_session),
            of_many(size.written),
            number(size.started_in)
        )
        .expect("writing to a String never fails");
    }
    format!(
        "# Growth\n\n\
         Written by `script/bench`. `handstamp serve` as it is shipped, version {version}, on SQLite.\n\n\
         {description}\n\n\
         ![The cost of a request, as accounts and live sessions grow](growth.svg)\n\n\
         {table}\n\
         ## How it is measured\n\n\
         The database is filled with the accounts and the sessions, whose tokens are made in Python. After a start each session \
         requests `/account` once, which reads its row and puts it into the cache; memory is counted then. Then {CONNECTIONS} \
         connections send requests for {turns} turns of a second, each request with the token of another session, far from the \
         last one. Last-seen times are written many at once, every five minutes and at a stop; their cost is counted at a stop. \
         Processor time is what the system has counted for the process, in the median turn. A start lasts from the command to the \
         line that says where it listens. With few sessions the cost of one is lost in the rest, and not shown.\n"
    )
}
