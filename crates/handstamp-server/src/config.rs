//! `handstamp config`: shows the settings in force, checks them, and prints an example of the settings file.

use std::io::{self, Write};

use handstamp::Blocklist;
use serde_json::json;

use crate::cli::{AddressArgs, ConfigCommand, DataArgs, OutputFlags};
use crate::commands::say;
use crate::settings::{self, Note, Settings};
use crate::tls::Tls;
use crate::{CliError, plural, table};

pub(crate) fn run(command: &ConfigCommand) -> Result<(), CliError> {
    match command {
        ConfigCommand::Show { output, data } => show(data, *output),
        ConfigCommand::Check { data } => check(data),
        ConfigCommand::Example => write!(io::stdout(), "{}", settings::example()).map_err(CliError::failure),
    }
}

/// Prints each setting with its value and its source. Wrong settings are shown as they are, and then reported.
fn show(data: &DataArgs, output: OutputFlags) -> Result<(), CliError> {
    let (settings, errors) = Settings::in_force(data, &AddressArgs::default(), std::env::vars_os());
    if output.json {
        let of = |setting: &settings::InForce| json!({ "name": setting.name, "value": setting.value, "source": setting.source, "secret": setting.secret });
        say(&serde_json::Value::from_iter(settings.iter().map(of)).to_string())?;
    } else {
        let row = |setting: &settings::InForce| {
            let value = if setting.secret && setting.source.is_some() {
                "(secret)"
            } else {
                setting.value.as_deref().unwrap_or("none")
            };
            [&setting.name, value, setting.source.as_deref().unwrap_or("default")].map(str::to_owned).to_vec()
        };
        let rows: Vec<_> = settings.iter().map(row).collect();
        table::print(&["setting", "value", "source"], &rows).map_err(CliError::failure)?;
    }
    errors.map_err(CliError::usage)
}

/// Checks the settings, and the files that they name. Neither the database nor a port is opened.
fn check(data: &DataArgs) -> Result<(), CliError> {
    let settings = crate::settings(data, &AddressArgs::default())?;
    settings.tls().map(Tls::load).transpose()?;
    settings.blocklist().map(|path| Blocklist::open(path)).transpose().map_err(CliError::failure)?;
    let mut warnings = 0;
    for note in &settings.notes {
        match note {
            Note::Warning(text) => {
                warnings += 1;
                say(&format!("warning: {text}"))?;
            }
            Note::Information(text) => say(text)?,
        }
    }
    if let Some((framework, until)) = settings.legacy_window() {
        say(&format!("sessions of {framework} are exchanged until {until}"))?;
    }
    let config = settings.library();
    for provider in config.providers.keys() {
        say(&format!("provider {provider}: register the redirect URI {}", config.redirect_uri(provider)))?;
    }
    match warnings {
        0 => say("the settings are valid"),
        count => say(&format!("the settings are valid, with {}", plural(count, "warning", "warnings"))),
    }
}
