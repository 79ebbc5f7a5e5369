//! The log on standard error: its levels and its start.

use std::io::IsTerminal;

use metrics::{counter, describe_counter};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::log_format::LogFormat;
use crate::settings::{Note, Settings};
use crate::traces;

/// Sends the log to standard error. Other crates log errors and warnings only, whatever the level: at finer levels they log
/// the data that passes through them. Write errors are ignored, so that the server outlives the reader of its log.
///
/// The log begins with the notes on the settings. `level` applies if the settings name none.
pub(crate) fn start(settings: &Settings, level: Level) {
    start_with(settings, level, None);
}

/// The same with a tracer, which gets the spans for traces. They are no part of the log.
pub(crate) fn start_with(settings: &Settings, level: Level, tracer: Option<SdkTracer>) {
    let level = settings.log_level.unwrap_or(level);
    let filter = Targets::new().with_default(LevelFilter::WARN.min(level.into())).with_target("handstamp", level);
    // The library of passkeys logs what visitors send, and our own events have the reason of a refusal.
    let filter = filter.with_target("webauthn_rs", LevelFilter::OFF).with_target("webauthn_rs_core", LevelFilter::OFF);
    let is_terminal = std::io::stderr().is_terminal();
    let format = settings.log_format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json });
    let registry = tracing_subscriber::registry();
    match tracer {
        None => registry.with(filter).with(TroubleCounter).with(written(format, is_terminal)).init(),
        Some(tracer) => {
            let log = TroubleCounter.and_then(written(format, is_terminal)).with_filter(filter);
            registry.with(log).with(traces::layer(tracer)).init();
        }
    }
    settings.notes.iter().for_each(Note::say);
}

/// The layer that writes the lines.
fn written<S>(format: LogFormat, is_terminal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).log_internal_errors(false);
    match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
    }
}

const TROUBLE: &str = "handstamp_log_events_total";

/// Describes the metric of [`TroubleCounter`], once a recorder is installed.
pub(crate) fn describe_metrics() {
    describe_counter!(TROUBLE, "Warnings and errors of the log, by event");
}

/// Counts the warnings and errors of the log, so that an alert needs no access to the log.
struct TroubleCounter;

impl<S: Subscriber> Layer<S> for TroubleCounter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            _ => return,
        };
        let mut name = EventName(None);
        event.record(&mut name);
        // Lines of other crates have no name.
        counter!(TROUBLE, "event" => name.0.unwrap_or_else(|| "other".to_owned()), "level" => level).increment(1);
    }
}

/// The field `event` of a line.
struct EventName(Option<String>);

impl Visit for EventName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "event" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
