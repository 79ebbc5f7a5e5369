//! Display names of users, and the characters that they may contain.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::invisible::{is_ignorable, is_shaping, is_visible};

/// A user's display name: 1 to 100 code points, one of them visible, trimmed, in NFC, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// The most code points a name may have.
    pub const MAX_LENGTH: usize = 100;

    /// Parses a name as it was typed.
    ///
    /// # Errors
    /// When it has no visible character, when it is too long, and when it contains invisible characters that hide text or
    /// change how the text around them is displayed.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name: String = text.trim_matches(is_pasted_along).nfc().collect();
        if !name.chars().any(is_visible) {
            Err(NameError::Empty)
        } else if name.chars().count() > Self::MAX_LENGTH {
            Err(NameError::TooLong)
        } else if name.chars().any(is_invisible_control) {
            Err(NameError::ControlCharacter)
        } else {
            Ok(Self(name))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a copied name often has this character at its ends.
fn is_pasted_along(c: char) -> bool {
    c.is_whitespace() || (is_ignorable(c) && !is_shaping(c))
}

/// Whether a name may not contain this character: control characters, line and paragraph separators, annotations, and every
/// invisible character that a name does not need. Examples of the last are marks that turn the direction of text (UAX #9),
/// and tags, which spell whole sentences invisibly.
fn is_invisible_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFB}')
        || (is_ignorable(c) && !is_shaping(c))
}

/// Why a text is refused as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It has no visible character.
    Empty,
    /// More than [`DisplayName::MAX_LENGTH`] code points.
    TooLong,
    /// A control character, or one that hides text or turns its direction.
    ControlCharacter,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong => write!(f, "the name has more than {} characters", DisplayName::MAX_LENGTH),
            Self::ControlCharacter => f.write_str("the name contains a control character"),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_all_scripts_are_accepted() {
        for name in [
            "Ada",
            "Søren Kierkegård",
            "李小龍",
            "邊\u{E0109}",
            "محمد",
            "علی\u{200C}رضا",
            "O'Brien-Smith, Jr.",
            "नेहा",
            "👩\u{200D}🚀",
            "❤\u{FE0F}",
        ] {
            assert_eq!(DisplayName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_is_trimmed_and_normalised() {
        assert_eq!(DisplayName::parse("  Zoe\u{0308} \t").unwrap().as_str(), "Zo\u{00EB}");
        assert_eq!(DisplayName::parse("\u{202A}\u{200B} Ada\u{202C}\u{FEFF}").unwrap().as_str(), "Ada");
    }

    #[test]
    fn a_name_without_a_visible_character_is_refused() {
        for c in [
            '\u{200B}',
            '\u{AD}',
            '\u{2060}',
            '\u{3164}',
            '\u{FFA0}',
            '\u{115F}',
            '\u{2800}',
            '\u{E0041}',
            '\u{200D}',
            '\u{FE0F}',
            '\u{A0}',
        ] {
            for name in [c.to_string(), format!("{c}{c} {c}"), format!("\u{3000}{c}")] {
                assert_eq!(DisplayName::parse(&name), Err(NameError::Empty), "{name:?}");
            }
        }
    }

    #[test]
    fn a_name_has_one_to_a_hundred_characters() {
        assert_eq!(DisplayName::parse(" \u{3000}\n"), Err(NameError::Empty));
        assert!(DisplayName::parse(&"é".repeat(100)).is_ok());
        assert_eq!(DisplayName::parse(&"é".repeat(101)), Err(NameError::TooLong));
    }

    #[test]
    fn a_name_with_a_disruptive_invisible_character_is_refused() {
        for c in
            "\n\0\u{7F}\u{202E}\u{2066}\u{2028}\u{FEFF}\u{200B}\u{AD}\u{2060}\u{3164}\u{E0041}\u{E0001}\u{FFF9}\u{206A}"
                .chars()
        {
            let name = format!("a{c}b");
            assert_eq!(DisplayName::parse(&name), Err(NameError::ControlCharacter), "{name:?}");
        }
    }
}
