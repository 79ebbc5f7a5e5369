//! HTML pages that are rendered once, with placeholders for the per-user values.

use std::fmt::Write;

use minijinja::HtmlEscape;

/// Delimiters around the number of a placeholder: private-use characters, which none of our templates contains.
const DELIMITERS: [char; 2] = ['\u{E000}', '\u{E001}'];

/// A page rendered once with placeholders for the per-user values, so that the constant parts are not rendered again.
pub(super) struct Prerendered {
    /// Constant parts, each with the number of the value that follows it.
    pieces: Vec<(Box<str>, usize)>,
    end: Box<str>,
}

impl Prerendered {
    /// The placeholder that a template gets in place of a value.
    pub(super) fn placeholder(number: usize) -> String {
        format!("{}{number}{}", DELIMITERS[0], DELIMITERS[1])
    }

    /// Splits a rendered page at its placeholders.
    pub(super) fn parse(page: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = page;
        while let Some((before, number, after)) = next_placeholder(rest) {
            pieces.push((before.into(), number));
            rest = after;
        }
        Self { pieces, end: rest.into() }
    }

    /// The page with these values filled in, HTML-escaped.
    pub(super) fn fill(&self, values: &[&str]) -> String {
        let length: usize = self.pieces.iter().map(|(piece, number)| piece.len() + values[*number].len()).sum();
        let mut page = String::with_capacity(length + self.end.len() + 64);
        for (piece, number) in &self.pieces {
            page.push_str(piece);
            push_escaped(&mut page, values[*number]);
        }
        page.push_str(&self.end);
        page
    }
}

/// Appends a value as templates escape it. Most values need no escaping, and this check takes a tenth of the instructions.
fn push_escaped(page: &mut String, value: &str) {
    // No early exit from the loop, so that the processor can compare many bytes at once.
    let is_special = |byte| matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'' | b'/');
    if value.bytes().fold(false, |found, byte| found | is_special(byte)) {
        write!(page, "{}", HtmlEscape(value)).expect("a String takes whatever is written");
    } else {
        page.push_str(value);
    }
}

fn next_placeholder(text: &str) -> Option<(&str, usize, &str)> {
    let (before, rest) = text.split_once(DELIMITERS[0])?;
    let (number, after) = rest.split_once(DELIMITERS[1])?;
    Some((before, number.parse().ok()?, after))
}
