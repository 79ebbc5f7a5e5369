use std::io::IsTerminal;
use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::settings::{Note, Settings};

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be text or json".to_owned()),
        }
    }
}

/// Sends the log to standard error. Other people's crates only say what went wrong, whatever the level: at finer ones
/// they write down what passes through them. When nobody reads the log any more, the house goes on without it.
///
/// It begins with what there is to say of the settings. `level` is for where they do not name one.
pub(crate) fn start(settings: &Settings, level: Level) {
    let level = settings.log_level.unwrap_or(level);
    let filter = Targets::new().with_default(LevelFilter::WARN.min(level.into())).with_target("handstamp", level);
    let is_terminal = std::io::stderr().is_terminal();
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    match settings.log_format.unwrap_or(if is_terminal { Format::Text } else { Format::Json }) {
        Format::Text => registry.with(layer.with_target(false)).init(),
        Format::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false);
            registry.with(layer).init();
        }
    }
    settings.notes.iter().for_each(Note::say);
}
