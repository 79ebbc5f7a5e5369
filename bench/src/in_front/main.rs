//! Measures Handstamp in front of an app, beside nginx that asks Handstamp and beside nginx alone.
//!
//! Run by script/bench-proxy. Exits with 1 when a goal is not met.
//!
//! `in-front [--binary PATH] [--app PATH] [--rounds N] [--seconds N] [--sockets N] [--into FOLDER]`

mod bodies;
mod pages;
mod report;
mod sockets;
mod systems;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bodies::Bodies;
use handstamp_bench::flags::Flags;
use handstamp_bench::machine::Machine;
use handstamp_bench::ratios::Ratio;
use pages::Pages;
use sockets::Sockets;

pub struct Options {
    binary: PathBuf,
    app: PathBuf,
    /// Where the results go.
    folder: PathBuf,
    rounds: usize,
    lasting: Duration,
    sockets: usize,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            binary: "../target/release/handstamp".into(),
            app: "target/peers/release/app".into(),
            folder: ".".into(),
            rounds: 15,
            lasting: Duration::from_secs(2),
            sockets: 10_000,
        };
        let mut flags = Flags::of_program();
        while let Some(name) = flags.next_name() {
            match name.as_str() {
                "--binary" => options.binary = flags.value()?,
                "--app" => options.app = flags.value()?,
                "--into" => options.folder = flags.value()?,
                "--rounds" => options.rounds = flags.value::<usize>()?.max(1),
                "--seconds" => options.lasting = Duration::from_secs(flags.value::<u64>()?.max(1)),
                "--sockets" => options.sockets = flags.value::<usize>()?.max(1),
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
            eprintln!("in-front: {error}");
            return ExitCode::from(2);
        }
    };
    let machine = Machine::divide(false);
    let cores = machine.server_cores();
    let pages = Pages::measure(&options, &cores);
    let bodies = Bodies::measure(&options, &cores);
    let sockets = Sockets::measure(&options, &cores);
    let page = report::page(&pages, &sockets, &bodies, &machine, &options);
    print!("{page}");
    let path = options.folder.join("PROXY.md");
    // The notes from this heading on were written by hand, and stay.
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let kept = kept.find(report::BY_HAND).map(|place| &kept[place..]).unwrap_or_default();
    if let Err(error) = std::fs::write(&path, page + kept) {
        eprintln!("in-front: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    if report::ratios(&pages, &sockets).iter().all(Ratio::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
