//! Floods `handstamp serve` with wrong sign-ins and with slow connections, and measures the effect on honest visitors.
//!
//! Writes a table and a plot, and exits with 1 when a goal is not met.
//!
//! `floods [--binary PATH] [--rounds N] [--seconds N] [--together] [--into FOLDER]`

mod load;
mod plot;
mod report;
mod scenes;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use handstamp_bench::figures::Figure;
use handstamp_bench::machine::Machine;
use scenes::Scenes;
use server::Server;

pub struct Options {
    binary: PathBuf,
    /// Where the table and the plot go.
    folder: PathBuf,
    rounds: usize,
    /// How long the honest visitor is measured in each round.
    lasting: Duration,
    /// Whether clients and server share all cores, instead of having some each.
    together: bool,
}

impl Options {
    fn from(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            binary: "../target/release/handstamp".into(),
            folder: ".".into(),
            rounds: 3,
            lasting: Duration::from_secs(20),
            together: false,
        };
        while let Some(name) = arguments.next() {
            if name == "--together" {
                options.together = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value, or is unknown"))?;
            let number = || value.parse::<u64>().map_err(|error| format!("{name} {value:?}: {error}"));
            match name.as_str() {
                "--binary" => options.binary = value.into(),
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
            eprintln!("floods: {error}");
            return ExitCode::from(2);
        }
    };
    let binary = options.binary.canonicalize().expect("the binary is there: cargo build --release");
    let machine = Machine::divide(options.together);
    let server = Server::start(&binary, &machine.server_cores());
    let figures = Scenes::new(&server, &options, &machine).play();
    drop(server);

    let table = report::table(&figures);
    print!("{table}");
    let write = |name: &str, text: String| {
        std::fs::write(options.folder.join(name), text).expect("the folder of the results can be written");
    };
    write("FLOODS.md", report::page(&table, &machine, &options));
    write("floods.svg", plot::svg(&figures));
    if figures.iter().all(Figure::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
