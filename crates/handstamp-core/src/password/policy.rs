//! Which passwords are accepted.

use std::fmt;
use std::hash::BuildHasher;

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::{PasswordAdvice, common_passwords};

/// How many characters the strength estimate reads. Its time is superlinear in them. Of the texts that a search finds, the worst
/// 20 characters take one and a half times the instructions of a hash. The worst 32 take six and a half times as many, and 100
/// some forty (`script/bench-counts` counts them). Twenty characters that cannot be guessed are enough, whatever follows.
const STRENGTH_CHARACTERS: usize = 20;

/// A password as it was typed: at most 256 code points, normalised to NFC and in no other way, so that the same
/// characters match however a keyboard composes them. Spaces, case and control characters count.
#[derive(Clone)]
pub struct Password {
    /// The normalised text.
    pub(super) nfc: Zeroizing<String>,
    /// The text as it was typed, if it differs.
    typed: Option<Zeroizing<String>>,
}

impl Password {
    /// The most code points a password may have.
    pub const MAX_LENGTH: usize = 256;

    /// Takes a password as it was typed.
    ///
    /// # Errors
    /// When it is longer than [`MAX_LENGTH`](Self::MAX_LENGTH). It is never truncated.
    pub fn parse(text: &str) -> Result<Self, PasswordTooLong> {
        let nfc = Zeroizing::new(text.nfc().collect::<String>());
        if nfc.chars().count() > Self::MAX_LENGTH {
            return Err(PasswordTooLong);
        }
        let typed = (*nfc != text).then(|| Zeroizing::new(text.to_owned()));
        Ok(Self { nfc, typed })
    }

    /// Whether it is one of the most common passwords, which [`PasswordPolicy::accept`] refuses whatever the settings: a list
    /// from breaches that is embedded in the program. The case of letters does not matter.
    pub fn is_common(&self) -> bool {
        self.spellings().any(common_passwords::contains)
    }

    /// The texts by which lists of passwords may know it: in NFC, and as it was typed if that differs. Other sites hash what is
    /// typed.
    pub(crate) fn spellings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.nfc).chain(&self.typed).map(|text| text.as_str())
    }

    /// A short hash, by which attempted passwords are compared while a process runs. It is useless without the key of `by`.
    /// Keep it in memory only: it is a keyed hash, not a password hash.
    pub fn fingerprint(&self, by: &impl BuildHasher) -> u64 {
        by.hash_one(self.nfc.as_str())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A password of more than [`Password::MAX_LENGTH`] code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordTooLong;

impl fmt::Display for PasswordTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the password has more than {} characters", Password::MAX_LENGTH)
    }
}

impl std::error::Error for PasswordTooLong {}

/// The requirements for a new password (NIST SP 800-63B-4 §3.1.1.2): long enough, hard to guess, and none of the most common
/// ones. A list of breached passwords is read elsewhere: [`blocklist`](crate::blocklist).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// The fewest code points; 8 by default.
    pub min_length: usize,
    /// The least strength, 0 to 4; 3 by default (Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016).
    pub min_strength: u8,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min_length: 8, min_strength: 3 }
    }
}

impl PasswordPolicy {
    /// Checks only the length of a new password, which is quick, unlike the strength estimate.
    ///
    /// # Errors
    /// When it is too short.
    pub fn check_length(&self, password: &Password) -> Result<(), PasswordError> {
        let long_enough = password.nfc.chars().count() >= self.min_length;
        long_enough.then_some(()).ok_or(PasswordError::TooShort { min_length: self.min_length })
    }

    /// Checks a new password. `context` holds what an attacker would try first: names and addresses of the user and the
    /// site.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn accept(&self, password: Password, context: &[&str]) -> Result<NewPassword, PasswordError> {
        self.check_length(&password)?;
        // Only the beginnings are compared, so that a long address that is the password is recognised as well.
        let words: Vec<&str> = context.iter().flat_map(|text| guesses_from(text)).map(head).collect();
        let estimate = zxcvbn::zxcvbn(head(&password.nfc), &words);
        if u8::from(estimate.score()) < self.min_strength {
            return Err(PasswordError::Guessable {
                advice: estimate.feedback().map(PasswordAdvice::of).unwrap_or_default(),
            });
        }
        if password.is_common() {
            return Err(PasswordError::Common);
        }
        Ok(NewPassword(password))
    }
}

/// The part of a text that the strength estimate reads.
fn head(text: &str) -> &str {
    text.char_indices().nth(STRENGTH_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

/// A text, and the words of more than two characters in it.
pub(super) fn guesses_from(text: &str) -> impl Iterator<Item = &str> {
    std::iter::once(text).chain(text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 2))
}

/// A password that the policy accepts, or accepted earlier: the only kind that is stored.
#[derive(Clone, Debug)]
pub struct NewPassword(pub(super) Password);

impl NewPassword {
    /// The password.
    pub fn password(&self) -> &Password {
        &self.0
    }
}

/// Why a new password is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// It has too few code points.
    TooShort {
        /// The fewest that are accepted.
        min_length: usize,
    },
    /// It is too easy to guess.
    Guessable {
        /// Why it is, and how to do better.
        advice: Vec<PasswordAdvice>,
    },
    /// It is one of the most common passwords.
    Common,
    /// It is in the list of breached passwords of the site, or cannot be told from one that is.
    Breached,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { min_length } => write!(f, "the password has fewer than {min_length} characters"),
            Self::Guessable { .. } => f.write_str("the password is easy to guess"),
            Self::Common => f.write_str("the password is one of the most common ones"),
            Self::Breached => {
                f.write_str("the password is in a list of breached passwords, or cannot be told from one that is")
            }
        }
    }
}

impl std::error::Error for PasswordError {}
