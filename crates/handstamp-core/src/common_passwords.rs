//! The embedded list of common passwords, which are refused whatever the settings.
//!
//! The list is that of Django's `CommonPasswordValidator`: 19,640 passwords from breaches in lower case, 8,354 of them with eight
//! characters or more. `script/common-passwords` makes the file, and its licence is beside it.

use memchr::memmem;
use zeroize::Zeroizing;

/// One password a line, with a line feed before the first one as well.
const PASSWORDS: &str = include_str!("common_passwords/passwords.txt");

/// Whether a text is in the list, in any case of its letters.
pub(crate) fn contains(text: &str) -> bool {
    // A lower-case letter has at most three times the bytes of its capital, so the text is never moved and left behind.
    let mut line = Zeroizing::new(String::with_capacity(3 * text.len() + 2));
    line.push('\n');
    line.extend(text.chars().flat_map(char::to_lowercase));
    line.push('\n');
    !text.contains('\n') && memmem::find(PASSWORDS.as_bytes(), line.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_list_are_found_in_any_case() {
        let lines: Vec<&str> = PASSWORDS.trim().lines().collect();
        assert_eq!((lines.len(), lines.iter().filter(|line| line.chars().count() >= 8).count()), (19_640, 8_354));
        // All of them take ten seconds in a debug build.
        for line in [lines[0], lines[19_639]].into_iter().chain(lines.into_iter().step_by(97)) {
            assert!(contains(line) && contains(&line.to_uppercase()), "{line}");
        }
    }

    #[test]
    fn only_whole_lines_are_found() {
        assert!(contains("123456") && contains("Password1") && contains("йцукен"));
        for other in ["", "\n", "123456\n", "\n123456", " 123456", "23456\u{0}", "passwor\u{0}d", "plum-octave-harbour"]
        {
            assert!(!contains(other), "{other:?}");
        }
        let mut lines = PASSWORDS.trim().lines();
        let two = format!("{}\n{}", lines.next().unwrap(), lines.next().unwrap());
        assert!(PASSWORDS.contains(&two) && !contains(&two), "two lines are no password");
    }

    #[test]
    fn no_lower_case_letter_is_longer_than_the_memory_reserved_for_it() {
        for character in '\0'..=char::MAX {
            let lower: usize = character.to_lowercase().map(char::len_utf8).sum();
            assert!(lower <= 3 * character.len_utf8(), "{character:?}");
        }
    }
}
