//! The `handstamp` command: serves user accounts and sessions for web apps, and manages them.

mod backup;
mod cli;
mod commands;
mod config;
mod connection_limit;
mod doctor;
mod events;
mod export;
mod health;
mod import;
mod listener;
mod log;
mod log_format;
mod mail;
mod manual;
mod metrics;
mod network_shares;
mod passwords;
mod progress;
mod proxy_config;
mod restore;
mod run;
mod secret;
mod settings;
mod table;
mod timeouts;
mod tls;
mod traces;
mod user_file;

use std::fmt::{self, Display, Formatter};
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{AddressArgs, Cli, Command, DataArgs, PasswordsCommand};
use proxy_config::Wanted;
use settings::Settings;

fn main() -> ExitCode {
    let done =
        match Cli::parse().command {
            Command::Serve { data, address } => settings(&data, &address).and_then(run::serve),
            Command::User { command } => settings(command.data(), &AddressArgs::default())
                .and_then(|settings| commands::users(settings, command)),
            Command::Session { command } => settings(command.data(), &AddressArgs::default())
                .and_then(|settings| commands::sessions(settings, command)),
            Command::Secret { command } => secret::run(&command),
            Command::Passwords { command: PasswordsCommand::Build(request) } => passwords::build(&request),
            Command::Passwords { command: PasswordsCommand::Check { blocklist, config, output } } => {
                let data = DataArgs { config, data_dir: None };
                settings(&data, &AddressArgs::default())
                    .and_then(|settings| passwords::check(blocklist.or(settings.blocklist().cloned()), output))
            }
            Command::Mail { command } => {
                settings(command.data(), &AddressArgs::default()).and_then(|settings| mail::run(settings, &command))
            }
            Command::Import(request) => {
                settings(&request.data, &AddressArgs::default()).and_then(|settings| import::run(settings, &request))
            }
            Command::Export(request) => {
                settings(&request.data, &AddressArgs::default()).and_then(|settings| export::run(settings, &request))
            }
            Command::Backup(request) => backup::run(&request),
            Command::Restore(request) => {
                settings(&request.data, &AddressArgs::default()).and_then(|settings| restore::run(settings, &request))
            }
            Command::Events { command } => {
                settings(command.data(), &AddressArgs::default()).and_then(|settings| events::run(settings, command))
            }
            Command::Config { command } => config::run(&command),
            Command::Completions { shell } => manual::completions(shell),
            Command::Man { output } => manual::pages(output.as_deref()),
            Command::ProxyConfig { proxy, listen, app, handstamp, hosts, pass } => {
                let (access, preflight) = (pass.access, pass.preflight);
                proxy_config::print(&Wanted { proxy, listen, app, handstamp, hosts, access, preflight })
            }
            Command::Health { live, listen, data } => health::run(&data, listen, live),
            Command::Doctor { url, app, pass, output, data } => settings(&data, &AddressArgs::default())
                .and_then(|settings| doctor::run(settings, url.as_deref(), app.as_deref(), pass, output)),
        };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.exit(),
    }
}

/// Why a command failed: the message and the exit status.
#[derive(Debug)]
pub(crate) struct CliError(String, u8);

impl CliError {
    /// The database, a file, a mail or a check failed.
    pub(crate) fn failure(reason: impl Display) -> Self {
        Self(reason.to_string(), 1)
    }

    /// The command or a setting is wrong.
    pub(crate) fn usage(reason: impl Display) -> Self {
        Self(reason.to_string(), 2)
    }

    /// The user or session that the command names does not exist.
    pub(crate) fn not_found(reason: impl Display) -> Self {
        Self(reason.to_string(), 3)
    }

    /// The address or the password is rejected.
    pub(crate) fn rejected(reason: impl Display) -> Self {
        Self(reason.to_string(), 4)
    }

    /// The audit log was changed.
    pub(crate) fn not_intact(reason: impl Display) -> Self {
        Self(reason.to_string(), 5)
    }

    /// The database is PostgreSQL's, so nothing was backed up.
    pub(crate) fn not_backed_up(reason: impl Display) -> Self {
        Self(reason.to_string(), 6)
    }

    /// The same failure for a command whose every failure has one status.
    fn into_failure(self) -> Self {
        Self(self.0, 1)
    }

    fn exit(self) -> ExitCode {
        let _ = writeln!(std::io::stderr(), "handstamp: {}", self.0);
        ExitCode::from(self.1)
    }
}

impl Display for CliError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<handstamp::Error> for CliError {
    fn from(error: handstamp::Error) -> Self {
        let status = match () {
            () if error.is_config() => 2,
            () if error.is_not_found() => 3,
            () if error.is_invalid() || error.is_refused() => 4,
            () => 1,
        };
        Self(error.to_string(), status)
    }
}

fn settings(data: &DataArgs, address: &AddressArgs) -> Result<Settings, CliError> {
    Settings::load(data, address, std::env::vars_os()).map_err(CliError::usage)
}

/// A number with the noun in the singular or the plural.
fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
