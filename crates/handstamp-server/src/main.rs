//! `handstamp`: accounts beside an app in any language.

mod cli;
mod data_dir;
mod log;
mod run;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use settings::Settings;

fn main() -> ExitCode {
    let Cli { command: Command::Serve(flags) } = Cli::parse();
    let settings = match Settings::load(&flags, std::env::vars_os()) {
        Ok(settings) => settings,
        Err(faults) => return explain(&faults, ExitCode::from(2)),
    };
    match run::serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => explain(&error, ExitCode::FAILURE),
    }
}

#[expect(clippy::print_stderr, reason = "whoever typed the command reads it here, log or no log")]
fn explain(error: &dyn std::fmt::Display, code: ExitCode) -> ExitCode {
    eprintln!("handstamp: {error}");
    code
}
