//! Texts of strangers in messages.

use std::fmt;

/// A text of another system in a message: without control characters, and cut.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARACTERS: usize = 40;
        let mut characters = self.0.chars();
        let text: String = characters.by_ref().take(CHARACTERS).flat_map(shown).collect();
        f.pad(&if characters.next().is_some() { text + "…" } else { text })
    }
}

/// A character as a terminal may show it. It escapes control characters, and those that change the direction of what follows.
fn shown(character: char) -> impl Iterator<Item = char> {
    let is_hidden = character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let escaped = is_hidden.then(|| character.escape_unicode());
    let plain = (!is_hidden).then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_strangers_cannot_control_the_terminal() {
        assert_eq!(Shown("a\u{1b}[2Jb\u{202e}c").to_string(), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(Shown(&"é".repeat(41)).to_string(), format!("{}…", "é".repeat(40)));
        assert_eq!(format!("{:4}|", Shown("é")), "é   |");
    }
}
