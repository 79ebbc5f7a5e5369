//! Compares builds of the same program: the static one of the packages (musl) beside that of `cargo build --release` (glibc).
//!
//! Run by script/bench-static:
//!
//! `builds [--build NAME=PATH]... [--rounds N] [--into FOLDER]`

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use handstamp_bench::client::{get, register};
use handstamp_bench::figures::{median, number, with_spread};
use handstamp_bench::flags::Flags;
use handstamp_bench::folder::Folder;
use handstamp_bench::load::{CONNECTIONS, load_for};
use handstamp_bench::machine::{Machine, version};
use handstamp_bench::program::Program;

struct Options {
    builds: Vec<(String, PathBuf)>,
    rounds: usize,
    folder: PathBuf,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self { builds: Vec::new(), rounds: 15, folder: ".".into() };
        let mut flags = Flags::of_program();
        while let Some(name) = flags.next_name() {
            match name.as_str() {
                "--build" => {
                    let build: String = flags.value()?;
                    let (name, path) = build.split_once('=').ok_or("--build takes NAME=PATH")?;
                    options.builds.push((name.to_owned(), path.into()));
                }
                "--rounds" => options.rounds = flags.value::<usize>()?.max(1),
                "--into" => options.folder = flags.value()?,
                _ => return Err(flags.unknown()),
            }
        }
        Ok(options)
    }
}

/// A build that runs, with a session of its user.
struct Running {
    program: Program,
    _folder: Folder,
    account: Vec<u8>,
    /// In MiB, before the load.
    at_rest: f64,
    /// The processor time of a request in each round, in microseconds.
    microseconds: Vec<f64>,
    /// The requests of a second in each round.
    a_second: Vec<f64>,
    /// The 99th percentile of latencies in each round, in milliseconds.
    p99: Vec<f64>,
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("builds: {error}");
            return ExitCode::from(2);
        }
    };
    let page = page(&options);
    print!("{page}");
    let path = options.folder.join("STATIC.md");
    if let Err(error) = std::fs::write(&path, page) {
        eprintln!("builds: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn page(options: &Options) -> String {
    let machine = Machine::divide(true);
    let mut page = format!(
        "# The static program beside that of glibc\n\n\
         Written by `script/bench-static`, version {}, on SQLite.\n\n{}\n\n",
        version(),
        machine.description()
    );
    let cores = machine.server_cores();
    page += "| | file, MB | start, ms | at rest, MiB | at most, MiB | processor time, µs a request | requests a second | p99, ms |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    let starts: Vec<_> = options.builds.iter().map(|(_, path)| started_in(&cores, path, options.rounds)).collect();
    let mut running: Vec<_> =
        options.builds.iter().enumerate().map(|(number, (_, path))| run(&cores, path, number)).collect();
    for _ in 0..options.rounds {
        for each in &mut running {
            each.measure();
        }
    }
    for (((name, path), start), each) in options.builds.iter().zip(starts).zip(running) {
        let size = path.metadata().map_or(f64::NAN, |file| file.len() as f64 / 1e6);
        let at_most = each.program.kib("VmHWM") / 1024.0;
        writeln!(
            page,
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            number(size),
            number(start),
            number(each.at_rest),
            number(at_most),
            with_spread(&each.microseconds),
            number(median(each.a_second)),
            number(median(each.p99)),
        )
        .expect("writing to a String never fails");
    }
    page += &format!(
        "\nA signed-in user opens `/account` over {CONNECTIONS} connections, each of which asks again as soon as it is answered. The builds take \
             turns of a second. Figures are those of the median turn; of processor time the least and the greatest as well. Server and \
             client share all cores, so that the threads of the server contend for the allocator. A start lasts from the command to the \
             line that says where it listens, with a database that is there. Memory at most has that of the hash of a password.\n"
    );
    page
}

/// Starts a build with the data in this folder.
fn start(cores: &str, path: &Path, folder: &Folder) -> Program {
    let data = folder.join("data");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().expect("a plain name")];
    Program::start(cores, path, &arguments, &[])
}

/// The time of a start with a database that is there in the median, in milliseconds.
fn started_in(cores: &str, path: &Path, rounds: usize) -> f64 {
    let folder = Folder::new("build-starts");
    start(cores, path, &folder).end();
    let starts = (0..rounds).map(|_| {
        let program = start(cores, path, &folder);
        let started_in = program.started_in.as_secs_f64() * 1e3;
        program.end();
        started_in
    });
    median(starts.collect())
}

fn run(cores: &str, path: &Path, number: usize) -> Running {
    let folder = Folder::new(&format!("build-{number}"));
    start(cores, path, &folder).end();
    let program = start(cores, path, &folder);
    // The first runs of the background jobs have ended then.
    std::thread::sleep(Duration::from_secs(5));
    let at_rest = program.memory();
    let account = get("/account", &register(program.address, "", "Ada+Lovelace", "ada%40example.com"));
    let (microseconds, a_second, p99) = (Vec::new(), Vec::new(), Vec::new());
    Running { program, _folder: folder, account, at_rest, microseconds, a_second, p99 }
}

impl Running {
    fn measure(&mut self) {
        let before = self.program.processor_time();
        let latencies = load_for(self.program.address, Duration::from_secs(1), || &self.account);
        let spent = self.program.processor_time() - before;
        self.microseconds.push(spent.as_secs_f64() * 1e6 / latencies.count() as f64);
        self.a_second.push(latencies.count() as f64);
        self.p99.push(latencies.per_mille(990));
    }
}
