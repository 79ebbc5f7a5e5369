//! Measures the cost of a request beside common alternatives, and beside bare axum that sends the same bytes.
//!
//! Run by script/bench. Exits with 1 when a goal is not met.
//!
//! `peers [--binary PATH] [--peers FOLDER] [--python FOLDER] [--rounds N] [--seconds N] [--into FOLDER]`

mod contest;
mod plot;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use contest::Contest;
use handstamp_bench::flags::Flags;
use handstamp_bench::machine::Machine;
use handstamp_bench::ratios::Ratio;

pub struct Options {
    binary: PathBuf,
    /// Where the peers have been built.
    peers: PathBuf,
    /// Where each peer in Python has its environment.
    python: PathBuf,
    /// Where the peers are, and the results go.
    folder: PathBuf,
    rounds: usize,
    lasting: Duration,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            binary: "../target/release/handstamp".into(),
            peers: "target/peers/release".into(),
            python: "target/python".into(),
            folder: ".".into(),
            rounds: 9,
            lasting: Duration::from_secs(2),
        };
        let mut flags = Flags::of_program();
        while let Some(name) = flags.next_name() {
            match name.as_str() {
                "--binary" => options.binary = flags.value()?,
                "--peers" => options.peers = flags.value()?,
                "--python" => options.python = flags.value()?,
                "--into" => options.folder = flags.value()?,
                "--rounds" => options.rounds = flags.value::<usize>()?.max(1),
                "--seconds" => options.lasting = Duration::from_secs(flags.value::<u64>()?.max(1)),
                _ => return Err(flags.unknown()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("peers: {error}");
            return ExitCode::from(2);
        }
    };
    let machine = Machine::divide(false);
    let results = Contest::prepare(&options, &machine).play();
    let page = report::page(&results, &machine, &options);
    print!("{page}");
    for (file, text) in [("RESULTS.md", page), ("peers.svg", plot::svg(&results))] {
        let path = options.folder.join(file);
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("peers: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if report::ratios(&results).iter().all(Ratio::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
