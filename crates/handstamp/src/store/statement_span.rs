//! The spans of statements in a trace, by the semantic conventions of OpenTelemetry for databases.
//!
//! Values of a statement are arguments and never in its text, so the text can be in a trace.

use std::io::ErrorKind;

use tracing::Span;
use tracing::field::Empty;

use crate::trace;

/// Runs a statement of a trace within a span of its own. A statement that belongs to no trace has none.
pub(super) fn traced<T, F: Future<Output = sqlx::Result<T>>>(
    system: &'static str,
    text: &'static str,
    work: F,
) -> trace::Traced<F, impl FnOnce(&Span, &sqlx::Result<T>)> {
    trace::within(trace::current().and_then(|_| span(system, text)), work, |span, result| {
        if let Err(error) = result {
            trace::record_error(span, &kind_of(error));
        }
    })
}

fn span(system: &'static str, text: &'static str) -> Option<Box<Span>> {
    let summary = summary_of(text);
    let operation = summary.split(' ').next().unwrap_or_default();
    trace::boxed(trace::span!(
        "database statement",
        otel.name = summary.as_str(),
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = system,
        db.operation.name = operation,
        db.query.summary = summary.as_str(),
        db.query.text = text,
        "error.type" = Empty,
    ))
}

/// The operations of a statement, each with its tables, such as `INSERT sessions SELECT users`. Those in parentheses come last.
fn summary_of(text: &str) -> String {
    let (mut found, mut depth, mut before) = (Vec::new(), 0, "");
    let mut words = words_of(text).peekable();
    while let Some(word) = words.next() {
        let next = words.peek().copied().unwrap_or_default();
        match word {
            "(" => depth += 1,
            ")" => depth -= 1,
            "SELECT" | "INSERT" | "DELETE" | "BEGIN" | "COMMIT" | "ROLLBACK" | "LOCK" => found.push((depth, word)),
            "UPDATE" if !["FOR", "DO"].contains(&before) => found.extend([(depth, word), (depth, next)]),
            "FROM" | "INTO" | "JOIN" | "TABLE" if next != "(" => found.push((depth, next)),
            _ => {}
        }
        before = word;
    }
    found.sort_by_key(|(depth, _)| *depth);
    if found.is_empty() {
        // Such as `PRAGMA`.
        return text.split(' ').next().unwrap_or_default().to_owned();
    }
    found.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

/// The words and parentheses of a statement.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    // Each piece is a word and the mark behind it.
    let pieces = text.split_inclusive(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let parts = pieces.flat_map(|piece| match piece.char_indices().last() {
        Some((at, mark)) if !(mark.is_ascii_alphanumeric() || mark == '_') => [&piece[..at], &piece[at..]],
        _ => [piece, ""],
    });
    parts.filter(|part| {
        let is_word = part.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_');
        is_word || ["(", ")"].contains(part)
    })
}

/// The error by a word of a small set: the code of the database, or the kind of failure.
fn kind_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.code().map_or_else(|| "database".to_owned(), |code| code.into_owned()),
        sqlx::Error::Io(error) if error.kind() == ErrorKind::TimedOut => "timeout".to_owned(),
        sqlx::Error::PoolTimedOut => "timeout".to_owned(),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "connection".to_owned(),
        _ => "_OTHER".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_operations_and_tables_of_a_statement() {
        for (text, summary) in [
            ("SELECT id, name FROM users WHERE email_key = $1 FOR UPDATE", "SELECT users"),
            ("INSERT INTO groups (name) VALUES ($1) ON CONFLICT (name) DO UPDATE SET name = $1", "INSERT groups"),
            ("DELETE FROM sessions WHERE id IN (SELECT id FROM users)", "DELETE sessions SELECT users"),
            ("UPDATE nodes SET position = $1", "UPDATE nodes"),
            ("WITH old AS (SELECT id FROM users) DELETE FROM sessions USING old", "DELETE sessions SELECT users"),
            ("SELECT u.id FROM users u LEFT JOIN groups g ON g.id = u.id", "SELECT users groups"),
            ("SELECT 1", "SELECT"),
            ("BEGIN IMMEDIATE", "BEGIN"),
            ("COMMIT", "COMMIT"),
            ("LOCK TABLE one_time_tokens, sessions IN SHARE ROW EXCLUSIVE MODE", "LOCK one_time_tokens"),
            ("PRAGMA user_version", "PRAGMA"),
            (
                "SELECT s.id, COALESCE((SELECT max(n) FROM a), 0), (SELECT n FROM b) FROM s JOIN u ON u.id = s.id",
                "SELECT s u SELECT b SELECT a",
            ),
        ] {
            assert_eq!(summary_of(text), summary, "{text}");
        }
    }

    #[test]
    fn a_statement_that_waited_for_too_long_has_an_error_of_its_own() {
        let timeout = sqlx::Error::Io(std::io::Error::new(ErrorKind::TimedOut, "no answer within 2.5 seconds"));
        assert_eq!([kind_of(&timeout), kind_of(&sqlx::Error::PoolTimedOut)], ["timeout", "timeout"]);
        assert_eq!(kind_of(&sqlx::Error::RowNotFound), "_OTHER");
    }
}
