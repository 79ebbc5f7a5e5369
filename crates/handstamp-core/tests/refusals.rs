//! The messages of the crate's errors: each error has one of its own.

use std::collections::BTreeSet;

use handstamp_core::{
    EmailError, FormError, HashFault, HashSettingsError, KeyRingError, NameError, PasswordRefusal, PasswordTooLong,
    TokenRefusal, WeakSecret,
};

#[test]
fn every_error_has_a_message_of_its_own() {
    let refusals: [&dyn std::error::Error; 26] = [
        &EmailError::Empty,
        &EmailError::TooLong,
        &EmailError::Malformed,
        &EmailError::Invisible,
        &EmailError::NotAscii('ü'),
        &NameError::Empty,
        &NameError::TooLong,
        &NameError::ControlCharacter,
        &PasswordRefusal::TooShort { min_length: 8 },
        &PasswordRefusal::Guessable { advice: String::new() },
        &PasswordTooLong,
        &HashSettingsError,
        &HashFault,
        &WeakSecret::TooShort { bytes: 8 },
        &WeakSecret::Obvious,
        &KeyRingError,
        &TokenRefusal::Malformed,
        &TokenRefusal::Version,
        &TokenRefusal::Flags,
        &TokenRefusal::UnknownKey,
        &TokenRefusal::Tag,
        &TokenRefusal::NotYet,
        &TokenRefusal::Expired,
        &FormError::TooManyFields,
        &FormError::NotUtf8,
        &FormError::Repeated { field: "next".to_owned() },
    ];
    let words: BTreeSet<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!((words.len(), words.contains("")), (refusals.len(), false), "{words:?}");
}
