//! Recovery codes: what signs a user in who has lost the second factor. Each is 120 random bits, is shown once, and works once.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::UserId;

/// The characters of a code: those of Crockford's Base32, which has no letters that look like digits.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHARACTERS: usize = 24;
const GROUP: usize = 4;

/// A recovery code.
pub struct RecoveryCode(Zeroizing<String>);

/// The hash by which a code is stored. From 112 random bits on, as of the 120 here, a fast hash is enough (NIST SP 800-63B-4 §3.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryCodeHash([u8; 32]);

impl RecoveryCode {
    /// How many codes a user has.
    pub const COUNT: usize = 10;

    /// The code made of these random bytes: each gives five of its bits.
    pub fn from_random(random: [u8; CHARACTERS]) -> Self {
        Self(Zeroizing::new(random.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()))
    }

    /// The code that a user has typed, if it has the form of one. Case, spaces and hyphens do not matter, nor do the letters that look
    /// like digits.
    pub fn parse(typed: &str) -> Option<Self> {
        let meant = |character: char| match character.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        };
        let typed = typed.chars().filter(|character| !character.is_whitespace() && *character != '-').map(meant);
        // One more character than a code has is enough to see that it is none.
        let code: Zeroizing<String> = Zeroizing::new(typed.take(CHARACTERS + 1).collect());
        let is_code = code.len() == CHARACTERS && code.bytes().all(|byte| ALPHABET.contains(&byte));
        is_code.then_some(Self(code))
    }

    /// The code for its user, in groups of four characters.
    pub fn text(&self) -> String {
        let groups: Vec<&str> =
            (0..CHARACTERS / GROUP).map(|group| &self.0[group * GROUP..(group + 1) * GROUP]).collect();
        groups.join("-")
    }

    /// The hash of the code as one of this user.
    pub fn hash(&self, user_id: UserId) -> RecoveryCodeHash {
        let hash = Sha256::new().chain_update(b"handstamp recovery code\0").chain_update(user_id.as_uuid().as_bytes());
        RecoveryCodeHash(hash.chain_update(self.0.as_bytes()).finalize().into())
    }
}

impl RecoveryCodeHash {
    /// The hash as it is stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn code() -> RecoveryCode {
        RecoveryCode::from_random(std::array::from_fn(|index| (index as u8).wrapping_mul(37)))
    }

    #[test]
    fn a_code_is_read_as_users_type_it() {
        let user = UserId::from_uuid(Uuid::nil());
        let text = code().text();
        assert_eq!(text.len(), 29);
        let digits_as_letters = text.replace('0', "O").replace('1', "l");
        for typed in
            [text.clone(), text.to_uppercase(), text.replace('-', " "), text.replace('-', ""), digits_as_letters]
        {
            assert_eq!(RecoveryCode::parse(&typed).unwrap().hash(user), code().hash(user), "{typed}");
        }
        for wrong in [&text[1..], &format!("{text}0"), &text.replace('-', "_"), "", &"0".repeat(1 << 20)] {
            assert!(RecoveryCode::parse(wrong).is_none());
        }
    }

    #[test]
    fn every_bit_of_a_code_is_random() {
        let mut random = [0; CHARACTERS];
        let mut seen = std::collections::HashSet::from([RecoveryCode::from_random(random).text()]);
        for bit in 0..CHARACTERS * 5 {
            random = [0; CHARACTERS];
            random[bit / 5] = 1 << (bit % 5);
            assert!(seen.insert(RecoveryCode::from_random(random).text()), "bit {bit}");
        }
        assert_eq!(seen.len(), 121);
    }

    #[test]
    fn the_same_code_of_two_users_has_two_hashes() {
        let users = [Uuid::nil(), Uuid::max()].map(UserId::from_uuid);
        assert_ne!(code().hash(users[0]), code().hash(users[1]));
    }
}
