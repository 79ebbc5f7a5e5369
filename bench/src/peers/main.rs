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
    fn from(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            binary: "../target/release/handstamp".into(),
            peers: "target/peers/release".into(),
            python: "target/python".into(),
            folder: ".".into(),
            rounds: 9,
            lasting: Duration::from_secs(2),
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value, or is unknown"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{name} {value:?}: {error}"));
            match name.as_str() {
                "--binary" => options.binary = value.into(),
                "--peers" => options.peers = value.into(),
                "--python" => options.python = value.into(),
                "--into" => options.folder = value.into(),
                "--rounds" => options.rounds = number()?.max(1) as usize,
                "--seconds" => options.lasting = Duration::from_secs(number()?.max(1)),
                _ => return Err(format!("unknown flag {name}")),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    let options = match Options::from(std::env::args().skip(1)) {
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
