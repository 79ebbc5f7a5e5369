use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::str::FromStr;

use tracing::Level;
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FormatFields, FormattedFields};
use tracing_subscriber::prelude::*;

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
pub(crate) fn start(format: Option<Format>, level: Level) {
    let filter = Targets::new().with_default(LevelFilter::WARN.min(level.into())).with_target("handstamp", level);
    let is_terminal = std::io::stderr().is_terminal();
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    match format.unwrap_or(if is_terminal { Format::Text } else { Format::Json }) {
        Format::Text => registry.with(layer.with_target(false)).init(),
        Format::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false);
            registry.with(layer.fmt_fields(SpanFields)).init();
        }
    }
}

/// Writes down what a span says of itself as a JSON object, field by field. tracing-subscriber's own `JsonFields` gathers
/// them in a map first, and a request pays for that even when it has nothing to say: 8,000 instructions.
struct SpanFields;

/// Room for what a request says of itself, made once.
const USUAL_LENGTH: usize = 128;

impl<'writer> FormatFields<'writer> for SpanFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = String::with_capacity(USUAL_LENGTH);
        text.push_str("{}");
        add_to(&mut text, |object| fields.record(object));
        writer.write_str(&text)
    }

    fn add_fields(&self, current: &'writer mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        add_to(&mut current.fields, |object| fields.record(object));
        Ok(())
    }
}

/// Adds fields to what is an object, before and after.
fn add_to(text: &mut String, record: impl FnOnce(&mut Object<'_>)) {
    text.pop();
    record(&mut Object(text));
    text.push('}');
}

/// An object that has begun and not ended.
struct Object<'a>(&'a mut String);

impl Object<'_> {
    fn name(&mut self, field: &Field) {
        let before = if self.0.len() == 1 { "\"" } else { ",\"" };
        [before, field.name(), "\":"].iter().for_each(|piece| self.0.push_str(piece));
    }

    /// Adds a field whose value is spelled in JSON as it is in Rust.
    fn add(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    /// Adds a field that is a string, by what writes it. If that fails, what it wrote stands there.
    fn add_quoted(&mut self, field: &Field, write: impl FnOnce(&mut Escaped<'_>) -> fmt::Result) {
        self.name(field);
        self.0.push('"');
        let _ = write(&mut Escaped(self.0));
        self.0.push('"');
    }
}

impl Visit for Object<'_> {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_quoted(field, |text| text.write_str(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_quoted(field, |text| write!(text, "{value:?}"));
    }
}

/// Writes what may stand between the quotation marks of a JSON string.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            self.0.push_str(text);
        } else {
            let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
            self.0.push_str(&quoted[1..quoted.len() - 1]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_carries_what_its_spans_say_as_json() {
        let lines = Lines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().json().fmt_fields(SpanFields).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let none = tracing::field::Empty;
            let span = tracing::info_span!("one", id = "a\"b", count = 3, change = -1, good = true, later = none);
            let _inside = span.enter();
            span.record("later", tracing::field::display("c\\d"));
            let bare = tracing::info_span!("other", later = none, more = none);
            let _inside = bare.enter();
            bare.record("later", false).record("more", tracing::field::display("e\nf"));
            tracing::info!("done");
        });
        let line: serde_json::Value = serde_json::from_slice(&lines.0.lock().unwrap()).unwrap();
        let spans = serde_json::json!([
            { "name": "one", "id": "a\"b", "count": 3, "change": -1, "good": true, "later": "c\\d" },
            { "name": "other", "later": false, "more": "e\nf" },
        ]);
        assert_eq!(line["spans"], spans);
    }
}
