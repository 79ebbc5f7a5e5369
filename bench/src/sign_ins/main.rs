//! Measures sign-ins by passkey beside sign-ins by password, on one node.
//!
//! Run by script/bench-sign-ins. Exits with 1 when a goal is not met.
//!
//! `sign-ins [--binary PATH] [--rounds N] [--seconds N] [--into FOLDER]`

mod browser;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use browser::Browser;
use handstamp_bench::figures::Latencies;
use handstamp_bench::flags::Flags;
use handstamp_bench::folder::Folder;
use handstamp_bench::machine::Machine;
use handstamp_bench::program::Program;

/// The number of browsers, each with a connection and an account of its own.
pub const BROWSERS: usize = 8;

pub struct Options {
    binary: PathBuf,
    folder: PathBuf,
    rounds: usize,
    lasting: Duration,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            binary: "../target/release/handstamp".into(),
            folder: ".".into(),
            rounds: 9,
            lasting: Duration::from_secs(2),
        };
        let mut flags = Flags::of_program();
        while let Some(name) = flags.next_name() {
            match name.as_str() {
                "--binary" => options.binary = flags.value()?,
                "--into" => options.folder = flags.value()?,
                "--rounds" => options.rounds = flags.value::<usize>()?.max(1),
                "--seconds" => options.lasting = Duration::from_secs(flags.value::<u64>()?.max(1)),
                _ => return Err(flags.unknown()),
            }
        }
        Ok(options)
    }
}

/// The turns of one way to sign in.
#[derive(Default)]
pub struct Turns {
    pub a_second: Vec<f64>,
    /// The processor time of a sign-in, in milliseconds.
    pub processor_time: Vec<f64>,
    pub latencies: Latencies,
}

#[derive(Default)]
pub struct Results {
    pub password: Turns,
    pub passkey: Turns,
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("sign-ins: {error}");
            return ExitCode::from(2);
        }
    };
    let machine = Machine::divide(false);
    let results = measure(&options, &machine);
    let page = report::page(&results, &machine, &options);
    print!("{page}");
    let path = options.folder.join("SIGN_INS.md");
    if let Err(error) = std::fs::write(&path, page) {
        eprintln!("sign-ins: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if report::ratio(&results).is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(options: &Options, machine: &Machine) -> Results {
    let folder = Folder::new("sign-ins");
    let data = folder.join("data");
    let data = data.to_str().expect("temporary files have plain names");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data];
    // The clients count as a proxy, so that each can name a network of its own.
    let variables = [("HANDSTAMP_TRUSTED_PROXIES", "127.0.0.1")];
    let program = Program::start(&machine.server_cores(), &options.binary, &arguments, &variables);
    let mut browsers: Vec<_> = (0..BROWSERS).map(|number| Browser::new(program.address, number)).collect();
    let mut results = Results::default();
    for round in 0..options.rounds {
        eprintln!("sign-ins: round {} of {}", round + 1, options.rounds);
        let by_password = turn(&program, &mut browsers, options.lasting, Browser::signs_in_by_password);
        results.password.add(by_password);
        let by_passkey = turn(&program, &mut browsers, options.lasting, Browser::signs_in_by_passkey);
        results.passkey.add(by_passkey);
    }
    results
}

/// One turn: how long it took, the processor time of the server, and the latencies of the sign-ins.
struct Turn {
    lasted: Duration,
    processor_time: Duration,
    latencies: Latencies,
}

/// Each browser signs in again as soon as it is signed in, until this time has passed.
fn turn(program: &Program, browsers: &mut [Browser], lasting: Duration, sign_in: fn(&mut Browser)) -> Turn {
    let (begun, before) = (Instant::now(), program.processor_time());
    let signs_in_again = |browser: &mut Browser| {
        let mut latencies = Vec::new();
        while begun.elapsed() < lasting {
            let asked = Instant::now();
            sign_in(browser);
            latencies.push(asked.elapsed());
        }
        latencies
    };
    let latencies = thread::scope(|scope| {
        let all: Vec<_> = browsers.iter_mut().map(|browser| scope.spawn(|| signs_in_again(browser))).collect();
        all.into_iter().flat_map(|one| one.join().expect("browsers do not panic")).collect()
    });
    Turn { lasted: begun.elapsed(), processor_time: program.processor_time() - before, latencies }
}

impl Turns {
    fn add(&mut self, turn: Turn) {
        let count = turn.latencies.count() as f64;
        self.a_second.push(count / turn.lasted.as_secs_f64());
        self.processor_time.push(turn.processor_time.as_secs_f64() * 1e3 / count);
        self.latencies = std::mem::take(&mut self.latencies).and(turn.latencies);
    }
}
