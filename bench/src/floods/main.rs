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
use handstamp_bench::flags::Flags;
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
    fn read() -> Result<Self, String> {
        let mut options = Self {
            binary: "../target/release/handstamp".into(),
            folder: ".".into(),
            rounds: 3,
            lasting: Duration::from_secs(20),
            together: false,
        };
        let mut flags = Flags::of_program();
        while let Some(name) = flags.next_name() {
            match name.as_str() {
                "--binary" => options.binary = flags.value()?,
                "--into" => options.folder = flags.value()?,
                "--rounds" => options.rounds = flags.value::<usize>()?.max(1),
                "--seconds" => options.lasting = Duration::from_secs(flags.value::<u64>()?.max(1)),
                "--together" => options.together = true,
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
