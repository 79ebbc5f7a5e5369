//! The log on standard error: its levels and its start.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::log_format::LogFormat;
use crate::settings::{Note, Settings};

/// Sends the log to standard error. Other crates log errors and warnings only, whatever the level: at finer levels they log
/// the data that passes through them. Write errors are ignored, so that the server outlives the reader of its log.
///
/// The log begins with the notes on the settings. `level` applies if the settings name none.
pub(crate) fn start(settings: &Settings, level: Level) {
    let level = settings.log_level.unwrap_or(level);
    let filter = Targets::new().with_default(LevelFilter::WARN.min(level.into())).with_target("handstamp", level);
    // The library of passkeys logs what visitors send, and our own events have the reason of a refusal.
    let filter = filter.with_target("webauthn_rs", LevelFilter::OFF).with_target("webauthn_rs_core", LevelFilter::OFF);
    let is_terminal = std::io::stderr().is_terminal();
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    match settings.log_format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json }) {
        LogFormat::Text => registry.with(layer.with_target(false)).init(),
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false);
            registry.with(layer).init();
        }
    }
    settings.notes.iter().for_each(Note::say);
}
