use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// What somebody wants to be called: 1 to 100 code points, trimmed, in NFC, without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(String);

impl DisplayName {
    /// The most code points a name may have.
    pub const MAX_LENGTH: usize = 100;

    /// Parses what somebody typed.
    ///
    /// # Errors
    /// When nothing is left after trimming, when it is too long, and when it holds characters that cannot be seen and
    /// change how the text around them is shown.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name: String = text.trim().nfc().collect();
        if name.is_empty() {
            Err(NameError::Empty)
        } else if name.chars().count() > Self::MAX_LENGTH {
            Err(NameError::TooLong)
        } else if name.chars().any(disturbs) {
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

/// Control characters, line and paragraph separators, and the marks that turn the direction of text (UAX #9).
fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Why a text is refused as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing but white space.
    Empty,
    /// More than [`DisplayName::MAX_LENGTH`] code points.
    TooLong,
    /// A control character, or one that turns the direction of text.
    ControlCharacter,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Enter your name."),
            Self::TooLong => write!(f, "Use at most {} characters.", DisplayName::MAX_LENGTH),
            Self::ControlCharacter => f.write_str("Leave out line breaks and other invisible characters."),
        }
    }
}

impl std::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_the_world_are_taken() {
        for name in ["Ada", "Søren Kierkegård", "李小龍", "محمد", "O'Brien-Smith, Jr.", "नेहा", "👩\u{200D}🚀"]
        {
            assert_eq!(DisplayName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_name_is_trimmed_and_normalised() {
        assert_eq!(DisplayName::parse("  Zoe\u{0308} \t").unwrap().as_str(), "Zo\u{00EB}");
    }

    #[test]
    fn a_name_has_one_to_a_hundred_characters() {
        assert_eq!(DisplayName::parse(" \u{3000}\n"), Err(NameError::Empty));
        assert!(DisplayName::parse(&"é".repeat(100)).is_ok());
        assert_eq!(DisplayName::parse(&"é".repeat(101)), Err(NameError::TooLong));
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for name in ["a\nb", "a\0b", "a\u{202E}b", "a\u{2066}b", "a\u{2028}b", "a\u{FEFF}b", "a\u{7F}b"] {
            assert_eq!(DisplayName::parse(name), Err(NameError::ControlCharacter), "{name:?}");
        }
    }
}
