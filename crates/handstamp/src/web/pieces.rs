use std::fmt::Write;

use minijinja::HtmlEscape;

/// Around the number of a value: characters for private use, which stand in no template of ours.
const MARKS: [char; 2] = ['\u{E000}', '\u{E001}'];

/// A page that was rendered once, with marks where values of one person or another stand: what is the same for all need not
/// be rendered again.
pub(super) struct Pieces {
    /// Each with the number of the value that follows it.
    pieces: Vec<(Box<str>, usize)>,
    end: Box<str>,
}

impl Pieces {
    /// What a template gets in place of a value.
    pub(super) fn mark(number: usize) -> String {
        format!("{}{number}{}", MARKS[0], MARKS[1])
    }

    /// Takes a page apart in which marks stand.
    pub(super) fn of(page: &str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = page;
        while let Some((before, number, after)) = next_mark(rest) {
            pieces.push((before.into(), number));
            rest = after;
        }
        Self { pieces, end: rest.into() }
    }

    /// The page with these values, as HTML shows them.
    pub(super) fn with(&self, values: &[&str]) -> String {
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

/// As templates write a value. Most are plain, and seen to be in a tenth of the instructions.
fn push_escaped(page: &mut String, value: &str) {
    // Without a way out before the end, which lets the processor look at many bytes at once.
    let is_special = |byte| matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'' | b'/');
    if value.bytes().fold(false, |found, byte| found | is_special(byte)) {
        write!(page, "{}", HtmlEscape(value)).expect("a String takes whatever is written");
    } else {
        page.push_str(value);
    }
}

fn next_mark(text: &str) -> Option<(&str, usize, &str)> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (number, after) = rest.split_once(MARKS[1])?;
    Some((before, number.parse().ok()?, after))
}
