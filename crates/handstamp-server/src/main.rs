//! The `handstamp` command: serves user accounts and sessions for web apps, and manages them.

mod cli;
mod connection;
mod connections;
mod doctor;
mod log;
mod metrics;
mod network_shares;
mod operate;
mod proxy_config;
mod run;
mod settings;
mod table;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{AddressFlags, Cli, Command, PlaceFlags};
use proxy_config::Wanted;
use settings::Settings;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve { place, address } => settings(&place, &address).and_then(run::serve),
        Command::User { command } => {
            settings(command.place(), &AddressFlags::default()).and_then(|settings| operate::users(settings, command))
        }
        Command::Session { command } => settings(command.place(), &AddressFlags::default())
            .and_then(|settings| operate::sessions(settings, command)),
        Command::ProxyConfig { proxy, listen, app, handstamp, hosts, pass } => {
            let (access, preflight) = (pass.access, pass.preflight);
            proxy_config::print(&Wanted { proxy, listen, app, handstamp, hosts, access, preflight })
        }
        Command::Doctor { url, app, pass, output, place } => settings(&place, &AddressFlags::default())
            .and_then(|settings| doctor::examine(settings, &url, app.as_deref(), pass, output)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => problem.explain(),
    }
}

/// Why a command failed: the message and the exit status.
#[derive(Debug)]
pub(crate) struct Problem(String, u8);

impl Problem {
    /// The database, a file or a check failed.
    pub(crate) fn failed(reason: impl Display) -> Self {
        Self(reason.to_string(), 1)
    }

    /// The command or a setting is wrong.
    pub(crate) fn wrong(reason: impl Display) -> Self {
        Self(reason.to_string(), 2)
    }

    fn explain(self) -> ExitCode {
        let _ = writeln!(std::io::stderr(), "handstamp: {}", self.0);
        ExitCode::from(self.1)
    }
}

impl From<handstamp::Error> for Problem {
    fn from(error: handstamp::Error) -> Self {
        let status = match () {
            () if error.is_config() => 2,
            () if error.is_no_such_account() => 3,
            () if error.is_refused() => 4,
            () => 1,
        };
        Self(error.to_string(), status)
    }
}

fn settings(place: &PlaceFlags, address: &AddressFlags) -> Result<Settings, Problem> {
    Settings::load(place, address, std::env::vars_os()).map_err(Problem::wrong)
}
