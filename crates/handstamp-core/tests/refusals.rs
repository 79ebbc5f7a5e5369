//! The messages of the crate's errors: each error has one of its own.

use std::collections::BTreeSet;

use handstamp_core::blocklist::FormatError;
use handstamp_core::{
    Argon2ParamsError, EmailError, FormError, InvalidHashError, InvalidSignerKey, KeyRingError, NameError,
    PasswordError, PasswordTooLong, SecretError, TokenError, UnsupportedHash,
};

#[test]
fn every_error_has_a_message_of_its_own() {
    let refusals: [&dyn std::error::Error; 38] = [
        &EmailError::Empty,
        &EmailError::TooLong,
        &EmailError::Malformed,
        &EmailError::Invisible,
        &EmailError::NotAscii('ü'),
        &NameError::Empty,
        &NameError::TooLong,
        &NameError::ControlCharacter,
        &PasswordError::TooShort { min_length: 8 },
        &PasswordError::Guessable { advice: Vec::new() },
        &PasswordError::Common,
        &PasswordError::Breached,
        &PasswordTooLong,
        &FormatError::Foreign,
        &FormatError::Version(2),
        &FormatError::Truncated,
        &FormatError::Damaged,
        &Argon2ParamsError,
        &InvalidHashError,
        &InvalidSignerKey,
        &UnsupportedHash::UnknownFormat,
        &UnsupportedHash::UnsupportedParameters,
        &UnsupportedHash::Malformed,
        &UnsupportedHash::CostTooHigh,
        &UnsupportedHash::Weak,
        &SecretError::TooShort { bytes: 8 },
        &SecretError::Obvious,
        &KeyRingError,
        &TokenError::Malformed,
        &TokenError::Version,
        &TokenError::Flags,
        &TokenError::UnknownKey,
        &TokenError::Tag,
        &TokenError::NotYet,
        &TokenError::Expired,
        &FormError::TooManyFields,
        &FormError::NotUtf8,
        &FormError::Repeated { field: "next".to_owned() },
    ];
    let words: BTreeSet<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!((words.len(), words.contains("")), (refusals.len(), false), "{words:?}");
}
