//! The one-time token of a mailed link, version 1: 63 bytes, sent as 84 characters of base64url (RFC 4648 §5).
//!
//! ```text
//! 0 version │ 1 key id │ 5 purpose │ 7 id │ 23 expires at │ 31 tag
//! ```
//!
//! Integers are big-endian. The tag is HMAC-SHA-256 over everything before it, under a key for this purpose alone. As 63 is
//! divisible by 3, a token has exactly one spelling.
//!
//! The database stores the id and what the token is about, and no tag. So a leaked database alone makes no link, a leaked key
//! alone makes none either, and a forged link costs no statement. The code that stands beside a link is derived from the same id.

use std::fmt;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

use crate::Timestamp;
use crate::keyring::{KeyRing, KeyRingError, Purpose, SecretKey};
use crate::token::field;

const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 31;
const TOKEN_BYTES: usize = 63;
const TEXT_CHARACTERS: usize = 84;

const CODE_DIGITS: usize = 8;
const CODES: u64 = 100_000_000;

/// The act that a one-time token allows. A token of one purpose is refused by every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum OneTimePurpose {
    /// To set a new password.
    ResetPassword = 1,
    /// To verify the address of an account.
    VerifyEmail = 2,
    /// To make an address that of an account.
    ChangeEmail = 3,
    /// To undo a change of the address.
    UndoEmailChange = 4,
    /// To accept an invitation.
    AcceptInvitation = 5,
    /// To create the account that was registered.
    ConfirmRegistration = 6,
    /// To sign in with a code.
    SignIn = 7,
    /// To complete a sign-in by its second factor. The token is in a cookie, and never mailed.
    PendingSignIn = 8,
    /// To sign in once more, where the form with the code was sent twice. The token is in a cookie, and never mailed.
    RepeatedSignIn = 9,
}

impl OneTimePurpose {
    /// All purposes.
    pub const ALL: [Self; 9] = [
        Self::ResetPassword,
        Self::VerifyEmail,
        Self::ChangeEmail,
        Self::UndoEmailChange,
        Self::AcceptInvitation,
        Self::ConfirmRegistration,
        Self::SignIn,
        Self::PendingSignIn,
        Self::RepeatedSignIn,
    ];

    /// The number in tokens and in the database.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The name for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResetPassword => "reset_password",
            Self::VerifyEmail => "verify_email",
            Self::ChangeEmail => "change_email",
            Self::UndoEmailChange => "undo_email_change",
            Self::AcceptInvitation => "accept_invitation",
            Self::ConfirmRegistration => "confirm_registration",
            Self::SignIn => "sign_in",
            Self::PendingSignIn => "pending_sign_in",
            Self::RepeatedSignIn => "repeated_sign_in",
        }
    }

    /// The purpose with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.number() == number)
    }
}

/// The id of a one-time token: 128 random bits. It opens nothing without the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OneTimeId([u8; 16]);

impl OneTimeId {
    /// The id made of these random bytes, or stored as them.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id as it is stored.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The claims of a one-time token. They contain no personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneTimeClaims {
    /// The act that the token allows.
    pub purpose: OneTimePurpose,
    /// The id of its row.
    pub id: OneTimeId,
    /// When it expires; at that second it is no longer valid.
    pub expires_at: Timestamp,
}

/// Issues and opens one-time tokens and the codes beside them.
///
/// ```
/// use handstamp_core::{OneTimeClaims, OneTimeId, OneTimePurpose, OneTimeTokens, SecretKey, Timestamp};
///
/// let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg")?;
/// let tokens = OneTimeTokens::new(&secret, &[])?;
/// let now = Timestamp::from_unix_seconds(1_800_000_000);
/// let claims = OneTimeClaims {
///     purpose: OneTimePurpose::ResetPassword,
///     id: OneTimeId::from_bytes([9; 16]),
///     expires_at: Timestamp::from_unix_seconds(1_800_003_600),
/// };
///
/// let token = tokens.issue(&claims);
/// assert_eq!(tokens.open(&token, now), Ok(claims));
/// assert!(tokens.is_code_of(claims.id, &tokens.code(claims.id)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OneTimeTokens {
    ring: KeyRing,
    codes: KeyRing,
}

impl OneTimeTokens {
    /// `current` signs; `fallbacks` are earlier secrets, whose tokens and codes are still accepted.
    ///
    /// # Errors
    /// When two of the secrets are the same.
    pub fn new(current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        Ok(Self {
            ring: KeyRing::new(Purpose::OneTime, current, fallbacks)?,
            codes: KeyRing::new(Purpose::OneTimeCode, current, fallbacks)?,
        })
    }

    /// The text of the token with these claims, signed with the current key. It is for the link in a mail and for nothing else.
    pub fn issue(&self, claims: &OneTimeClaims) -> String {
        let key = self.ring.current();
        let mut bytes = [0; TOKEN_BYTES];
        bytes[0] = VERSION;
        bytes[1..5].copy_from_slice(&key.id());
        bytes[5..7].copy_from_slice(&claims.purpose.number().to_be_bytes());
        bytes[7..23].copy_from_slice(claims.id.as_bytes());
        bytes[23..31].copy_from_slice(&claims.expires_at.unix_seconds().to_be_bytes());
        let tag = key.tag(&bytes[..SIGNED_BYTES]);
        bytes[SIGNED_BYTES..].copy_from_slice(&tag);
        URL_SAFE_NO_PAD.encode_to_string(bytes)
    }

    /// The claims of the token in `text`, if this service issued it and it has not expired at `now`. Whether it was used is for
    /// the database to say. A pure function of the text, the keys and the clock.
    ///
    /// # Errors
    /// [`Expired`](OneTimeTokenError::Expired) for a token that this service issued, and
    /// [`Invalid`](OneTimeTokenError::Invalid) for any other text.
    pub fn open(&self, text: &str, now: Timestamp) -> Result<OneTimeClaims, OneTimeTokenError> {
        let claims = self.verified(text).ok_or(OneTimeTokenError::Invalid)?;
        if now < claims.expires_at { Ok(claims) } else { Err(OneTimeTokenError::Expired) }
    }

    fn verified(&self, text: &str) -> Option<OneTimeClaims> {
        let mut bytes = [0; TOKEN_BYTES];
        if text.len() != TEXT_CHARACTERS {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text.as_bytes(), bytes.as_mut_slice().as_out()).ok()?;
        let key = self.ring.find(field(&bytes, 1)).filter(|_| bytes[0] == VERSION)?;
        if !key.verifies(&bytes[..SIGNED_BYTES], &bytes[SIGNED_BYTES..]) {
            return None;
        }
        Some(OneTimeClaims {
            purpose: OneTimePurpose::from_number(u16::from_be_bytes(field(&bytes, 5)))?,
            id: OneTimeId(field(&bytes, 7)),
            expires_at: Timestamp::from_unix_seconds(u64::from_be_bytes(field(&bytes, 23))),
        })
    }

    /// The code that stands beside the link with this id: eight decimal digits. Only the row of the id says for how long it is
    /// valid, and how often it may be tried.
    pub fn code(&self, id: OneTimeId) -> String {
        digits(self.codes.current().tag(id.as_bytes()))
    }

    /// Whether a text is the code of this id under any of the keys. Spaces and hyphens in it do not matter. Each key is compared in
    /// constant time.
    pub fn is_code_of(&self, id: OneTimeId, typed: &str) -> bool {
        let typed: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
        let is_of = |tag| bool::from(digits(tag).as_bytes().ct_eq(typed.as_bytes()));
        self.codes.all().fold(false, |found, key| found | is_of(key.tag(id.as_bytes())))
    }
}

/// The first eight bytes as a number, modulo 10^8. The bias of the modulus is below 10^-11.
fn digits(tag: [u8; 32]) -> String {
    let number = u64::from_be_bytes(field(&tag, 0)) % CODES;
    format!("{number:0CODE_DIGITS$}")
}

impl fmt::Debug for OneTimeTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeTokens(…)")
    }
}

/// Why a text is no valid one-time token. The client sees the same page for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneTimeTokenError {
    /// This service did not issue it, or it was changed.
    Invalid,
    /// It has expired.
    Expired,
}

impl fmt::Display for OneTimeTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::Expired => "expired",
        })
    }
}

impl std::error::Error for OneTimeTokenError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn secret(byte: u8) -> SecretKey {
        SecretKey::from_random(&[byte; 32])
    }

    fn golden() -> OneTimeTokens {
        OneTimeTokens::new(&SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap(), &[]).unwrap()
    }

    fn claims(purpose: OneTimePurpose) -> OneTimeClaims {
        let id = OneTimeId::from_bytes(std::array::from_fn(|place| place as u8));
        OneTimeClaims { purpose, id, expires_at: Timestamp::from_unix_seconds(1_800_003_600) }
    }

    #[test]
    fn a_token_and_its_code_are_those_of_the_independent_implementation() {
        let tokens = golden();
        let claims = claims(OneTimePurpose::UndoEmailChange);
        // golden_token.py prints both.
        let text = "AdwOwNUABAABAgMEBQYHCAkKCwwNDg8AAAAAa0ngEEGp2s0J-KiNw3-9xTCng1OCcMjcQFs_dobIYvO40-_y";
        assert_eq!(tokens.issue(&claims), text);
        assert_eq!(tokens.open(text, NOW), Ok(claims));
        assert_eq!(tokens.code(claims.id), "08356689");
    }

    #[test]
    fn a_token_is_valid_until_the_second_of_its_end() {
        let tokens = golden();
        let claims = claims(OneTimePurpose::ResetPassword);
        let text = tokens.issue(&claims);
        let at = |seconds| tokens.open(&text, Timestamp::from_unix_seconds(seconds));
        assert_eq!((at(0), at(1_800_003_599)), (Ok(claims), Ok(claims)));
        assert_eq!(at(1_800_003_600), Err(OneTimeTokenError::Expired));
    }

    #[test]
    fn each_purpose_has_a_number_of_its_own() {
        for (place, purpose) in OneTimePurpose::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(purpose.number()), place + 1, "a stored number never changes its meaning");
            assert_eq!(OneTimePurpose::from_number(purpose.number()), Some(purpose));
        }
        let beyond = OneTimePurpose::ALL.len() as u16 + 1;
        assert_eq!((OneTimePurpose::from_number(0), OneTimePurpose::from_number(beyond)), (None, None));
    }

    #[test]
    fn a_token_of_another_purpose_or_key_is_refused() {
        let tokens = golden();
        let mut bytes = URL_SAFE_NO_PAD.decode_to_vec(tokens.issue(&claims(OneTimePurpose::VerifyEmail))).unwrap();
        bytes[6] = OneTimePurpose::ResetPassword.number() as u8;
        assert_eq!(tokens.open(&URL_SAFE_NO_PAD.encode_to_string(&bytes), NOW), Err(OneTimeTokenError::Invalid));
        let foreign = OneTimeTokens::new(&secret(1), &[]).unwrap();
        let text = foreign.issue(&claims(OneTimePurpose::VerifyEmail));
        assert_eq!(tokens.open(&text, NOW), Err(OneTimeTokenError::Invalid));
        // A purpose that this version does not know, though the tag is right.
        let key = KeyRing::new(Purpose::OneTime, &secret(1), &[]).unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode_to_vec(text).unwrap();
        bytes[6] = 99;
        let tag = key.current().tag(&bytes[..SIGNED_BYTES]);
        bytes[SIGNED_BYTES..].copy_from_slice(&tag);
        assert_eq!(foreign.open(&URL_SAFE_NO_PAD.encode_to_string(&bytes), NOW), Err(OneTimeTokenError::Invalid));
    }

    #[test]
    fn tokens_and_codes_of_an_earlier_secret_are_accepted() {
        let (old, new) = (secret(1), secret(2));
        let before = OneTimeTokens::new(&old, &[]).unwrap();
        let after = OneTimeTokens::new(&new, &[old]).unwrap();
        let claims = claims(OneTimePurpose::VerifyEmail);
        assert_eq!(after.open(&before.issue(&claims), NOW), Ok(claims));
        assert!(after.is_code_of(claims.id, &before.code(claims.id)));
        assert!(after.is_code_of(claims.id, &after.code(claims.id)));
        assert!(!before.is_code_of(claims.id, &after.code(claims.id)));
    }

    #[test]
    fn a_code_may_be_typed_in_groups_and_nothing_else_is_it() {
        let tokens = golden();
        let id = claims(OneTimePurpose::SignIn).id;
        let code = tokens.code(id);
        let (first, last) = code.split_at(4);
        for typed in [code.clone(), format!("{first} {last}"), format!(" {first}-{last}\n")] {
            assert!(tokens.is_code_of(id, &typed), "{typed}");
        }
        for typed in ["", first, "00000000", &format!("{code}0"), &code.replace(|c: char| c.is_ascii_digit(), "٣")] {
            assert!(!tokens.is_code_of(id, typed), "{typed}");
        }
    }

    #[test]
    fn a_code_has_eight_digits_even_if_it_begins_with_zeros() {
        let mut tag = [0; 32];
        tag[7] = 42;
        assert_eq!(digits(tag), "00000042");
        assert_eq!(digits([0xff; 32]), "09551615", "2^64 - 1 is 18446744073709551615");
    }

    proptest! {
        #[test]
        fn any_change_of_a_character_is_refused(place in 0..TEXT_CHARACTERS, other in "[A-Za-z0-9_-]") {
            let tokens = golden();
            let text = tokens.issue(&claims(OneTimePurpose::ResetPassword));
            let mut changed = text.clone();
            changed.replace_range(place..=place, &other);
            prop_assume!(changed != text);
            prop_assert_eq!(tokens.open(&changed, NOW), Err(OneTimeTokenError::Invalid));
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in any::<String>()) {
            prop_assert_eq!(golden().open(&text, NOW), Err(OneTimeTokenError::Invalid));
            prop_assert!(!golden().is_code_of(OneTimeId::from_bytes([0; 16]), &text));
        }
    }
}
