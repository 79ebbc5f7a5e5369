//! Names of groups of users.

use std::fmt;

/// The name of a group of users, such as `staff`.
///
/// Groups are sent to apps in a header, separated by commas, so a name is 1 to 64 ASCII letters, digits, full stops,
/// hyphens and underscores. Case counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

impl GroupName {
    /// The most characters that a name may have.
    pub const MAX_CHARACTERS: usize = 64;

    /// Parses a name, which stays as it is.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters.
    pub fn parse(text: &str) -> Result<Self, GroupNameError> {
        let good = (1..=Self::MAX_CHARACTERS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if good { Ok(Self(text.to_owned())) } else { Err(GroupNameError) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text is not a valid name of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupNameError;

impl fmt::Display for GroupNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("A group's name is 1 to 64 letters a to z, digits, full stops, hyphens and underscores.")
    }
}

impl std::error::Error for GroupNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_name_is_safe_in_a_header() {
        for good in ["staff", "Team-7", "a.b_c", &"x".repeat(64)] {
            assert_eq!(GroupName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " staff", "a,b", "a b", "é", "a\r\nb", "a/b", &"x".repeat(65)] {
            assert_eq!(GroupName::parse(bad), Err(GroupNameError), "{bad:?}");
        }
        assert!(GroupNameError.to_string().contains("1 to 64 letters"));
    }
}
