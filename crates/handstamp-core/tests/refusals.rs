//! The messages of the crate's errors: each error has one of its own.

use std::collections::BTreeSet;

use handstamp_core::blocklist::FormatError;
use handstamp_core::federation::{
    DocumentError, IdTokenError, KeySetError, MetadataError, TokenResponseError, UserinfoError,
};
use handstamp_core::{
    Argon2ParamsError, EmailError, FormError, InvalidHashError, InvalidSignerKey, KeyRingError, NameError,
    PasswordError, PasswordTooLong, SecretError, TokenError, UnsupportedHash,
};

#[test]
fn every_error_has_a_message_of_its_own() {
    let refusals: [&dyn std::error::Error; 69] = [
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
        &IdTokenError::TooLong,
        &IdTokenError::Malformed,
        &IdTokenError::Type,
        &IdTokenError::Critical,
        &IdTokenError::Algorithm,
        &IdTokenError::UnknownKey,
        &IdTokenError::Signature,
        &IdTokenError::Issuer,
        &IdTokenError::Audience,
        &IdTokenError::AuthorizedParty,
        &IdTokenError::Nonce,
        &IdTokenError::Expired,
        &IdTokenError::IssuedInFuture,
        &IdTokenError::IssuedLongAgo,
        &IdTokenError::AuthenticatedTooLongAgo,
        &IdTokenError::NoAuthenticationTime,
        &IdTokenError::Subject,
        &IdTokenError::Event,
        &DocumentError::TooLong,
        &DocumentError::Malformed,
        &KeySetError::NoKeys,
        &KeySetError::TooManyKeys,
        &UserinfoError::Subject,
        &MetadataError::InsecureIssuer,
        &MetadataError::Issuer(None),
        &MetadataError::Issuer(Some("https://op.example.com".to_owned())),
        &MetadataError::Member("issuer"),
        &MetadataError::Endpoint("jwks_uri"),
        &MetadataError::Algorithms,
        &TokenResponseError::TokenType,
        &TokenResponseError::Refused { code: "invalid_grant", description: None },
    ];
    let words: BTreeSet<String> = refusals.iter().map(ToString::to_string).collect();
    assert_eq!((words.len(), words.contains("")), (refusals.len(), false), "{words:?}");
}
