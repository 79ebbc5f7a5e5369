//! Measures what a request costs, beside bare axum that sends the same bytes: processor time for each, and how many in a
//! second. Run by script/bench.
//!
//! `peers [--binary PATH] [--rounds N] [--seconds N] [--into FOLDER]`

#[allow(dead_code)]
#[path = "../client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../figures.rs"]
mod figures;
#[allow(dead_code)]
#[path = "../machine.rs"]
mod machine;

mod contest;
mod program;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use contest::Contest;
use machine::Machine;

pub struct Options {
    binary: PathBuf,
    /// Where the peers have been built.
    peers: PathBuf,
    folder: PathBuf,
    rounds: usize,
    lasting: Duration,
}

impl Options {
    fn from(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            binary: "../target/release/handstamp".into(),
            peers: "target/peers/release".into(),
            folder: ".".into(),
            rounds: 5,
            lasting: Duration::from_secs(5),
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value, or there is no such flag"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{name} {value:?}: {error}"));
            match name.as_str() {
                "--binary" => options.binary = value.into(),
                "--peers" => options.peers = value.into(),
                "--into" => options.folder = value.into(),
                "--rounds" => options.rounds = number()?.max(1) as usize,
                "--seconds" => options.lasting = Duration::from_secs(number()?.max(1)),
                _ => return Err(format!("there is no flag {name}")),
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
    let table = Contest::prepare(&options, &machine).play();
    print!("{table}");
    ExitCode::SUCCESS
}
