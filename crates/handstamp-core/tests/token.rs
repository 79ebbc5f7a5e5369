//! The laws of the session token: one spelling, no field that can be changed, and exact bounds in time.

#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use handstamp_core::{
    Claims, KeyRingError, SecretKey, SessionSecret, SessionTokens, Timestamp, TokenError, TokenToEnd, UserId,
};
use proptest::prelude::*;

const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
const OTHER_SECRET: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";
const ISSUED: u64 = 1_763_900_000;
const EXPIRES: u64 = 1_766_492_000;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Printed by golden_token.py, which shares no code with this crate. Vectors are only ever added.
const GOLDEN: &str = "AVM9LwgAAQGarzxcAHoRiyLDPUTlX2YAAQIDBAUGBwgJCgsMDQ4PAAAAAGki-mAAAAAAaUqHYHDoGr0a1HjZJ72DkjVNaWXm_DekZgN5CM6VPJIeVFgs";
const GOLDEN_EXTREME: &str = "AVM9LwgAAAGarzxcAHoRiyLDPUTlX2b_____________________AAAAAAAAAAD__________xGNCuSLc8BxOblue-rxhoPlQbfZg-6f4pTPHN0Nwm-j";
/// The same with a flag that no token has.
const GOLDEN_UNUSED_FLAG: &str = "AVM9LwgABAGarzxcAHoRiyLDPUTlX2b_____________________AAAAAAAAAAD__________xZ6wsySlFWvSlYY-wn9eT5eYBZSuILhrgVgBWrRI7e4";

fn secret(text: &str) -> SecretKey {
    SecretKey::parse(text).unwrap()
}

fn tokens() -> &'static SessionTokens {
    static TOKENS: LazyLock<SessionTokens> = LazyLock::new(|| SessionTokens::new(&secret(SECRET), &[]).unwrap());
    &TOKENS
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn claims() -> Claims {
    Claims {
        user_id: UserId::from_uuid("019aaf3c-5c00-7a11-8b22-c33d44e55f66".parse().unwrap()),
        session_secret: SessionSecret::from_bytes(std::array::from_fn(|i| i as u8)),
        issued_at: at(ISSUED),
        expires_at: at(EXPIRES),
        remembered: true,
    }
}

fn extreme_claims() -> Claims {
    Claims {
        session_secret: SessionSecret::from_bytes([0xff; 16]),
        issued_at: at(0),
        expires_at: at(u64::MAX),
        remembered: false,
        ..claims()
    }
}

fn refusal(text: &str) -> Option<TokenError> {
    tokens().open(text, at(ISSUED)).err()
}

fn bytes_of(text: &str) -> Vec<u8> {
    base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).unwrap()
}

fn text_of(bytes: &[u8]) -> String {
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(bytes)
}

#[test]
fn issued_tokens_match_the_golden_vectors() {
    assert_eq!(tokens().issue(&claims()).expose(), GOLDEN);
    assert_eq!(tokens().issue(&extreme_claims()).expose(), GOLDEN_EXTREME);
}

#[test]
fn the_golden_vectors_open() {
    let opened = tokens().open(GOLDEN, at(ISSUED)).unwrap();
    assert_eq!(opened.claims, claims());
    assert!(!opened.signed_by_fallback);
    assert_eq!(tokens().open(GOLDEN_EXTREME, at(ISSUED)).unwrap().claims, extreme_claims());
}

#[test]
fn a_token_with_a_flipped_bit_is_refused() {
    for position in 0..GOLDEN.len() {
        for bit in 0..8 {
            let mut bytes = GOLDEN.as_bytes().to_vec();
            bytes[position] ^= 1 << bit;
            if let Ok(text) = str::from_utf8(&bytes) {
                assert!(refusal(text).is_some(), "bit {bit} of character {position}");
            }
        }
    }
    for bit in 0..87 * 8 {
        let mut bytes = bytes_of(GOLDEN);
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(refusal(&text_of(&bytes)).is_some(), "bit {bit} of the token");
    }
}

#[test]
fn a_token_with_a_changed_character_is_refused() {
    for position in 0..GOLDEN.len() {
        for other in ALPHABET.iter().chain(b"+/= .%\0").filter(|other| **other != GOLDEN.as_bytes()[position]) {
            let mut bytes = GOLDEN.as_bytes().to_vec();
            bytes[position] = *other;
            assert!(refusal(str::from_utf8(&bytes).unwrap()).is_some(), "{other} at {position}");
        }
    }
}

#[test]
fn every_prefix_and_extension_of_a_token_is_refused() {
    for length in 0..GOLDEN.len() {
        assert_eq!(refusal(&GOLDEN[..length]), Some(TokenError::Malformed), "{length} characters");
        assert_eq!(refusal(&GOLDEN[length + 1..]), Some(TokenError::Malformed), "without the first {length}");
    }
    for extension in ["A", "=", "==", " ", "\n", "AAAA", GOLDEN] {
        assert_eq!(refusal(&format!("{GOLDEN}{extension}")), Some(TokenError::Malformed), "{extension:?}");
    }
    assert_eq!(refusal(&"é".repeat(58)), Some(TokenError::Malformed), "116 bytes that are not ASCII");
}

#[test]
fn every_splice_of_two_tokens_is_refused() {
    let tokens = tokens();
    let other = Claims {
        user_id: UserId::new(at(ISSUED + 5), [1; 10]),
        session_secret: SessionSecret::from_bytes([0xa5; 16]),
        issued_at: at(ISSUED - 1000),
        expires_at: at(EXPIRES + 1000),
        ..extreme_claims()
    };
    let (one, two) = (bytes_of(tokens.issue(&claims()).expose()), bytes_of(tokens.issue(&other).expose()));
    for cut in 1..87 {
        for (head, tail) in [(&one, &two), (&two, &one)] {
            let spliced = [&head[..cut], &tail[cut..]].concat();
            if spliced != *head && spliced != *tail {
                assert!(refusal(&text_of(&spliced)).is_some(), "cut at {cut}");
            }
        }
    }
}

#[test]
fn only_a_token_of_version_1_is_opened() {
    for version in (0..=255).filter(|version| *version != 1) {
        assert_eq!(refusal(&resigned(|bytes| bytes[0] = version)), Some(TokenError::Version));
    }
}

#[test]
fn a_signed_token_with_an_undefined_flag_is_refused() {
    for flag in 1..16 {
        let text = resigned(|bytes| bytes[6 - flag / 8] |= 1 << (flag % 8));
        assert_eq!(refusal(&text), Some(TokenError::Flags), "flag {flag}");
    }
    assert_eq!(refusal(&resigned(|bytes| bytes[6] = 0)), None);
    assert_eq!(refusal(GOLDEN_UNUSED_FLAG), Some(TokenError::Flags));
}

#[test]
fn a_token_under_an_unknown_key_is_refused() {
    let text = resigned(|bytes| bytes[4] ^= 1);
    assert_eq!(refusal(&text), Some(TokenError::UnknownKey));
    let stranger = SessionTokens::new(&secret(OTHER_SECRET), &[]).unwrap();
    assert_eq!(refusal(stranger.issue(&claims()).expose()), Some(TokenError::UnknownKey));
}

#[test]
fn a_token_that_is_no_longer_valid_can_still_end_its_session() {
    let Claims { user_id, session_secret, .. } = claims();
    let ended = Ok(TokenToEnd { user_id, secret_hash: session_secret.hash(), remembered: true });
    let expired = tokens().issue(&Claims { issued_at: at(1), expires_at: at(2), ..claims() });
    let not_yet = tokens().issue(&Claims { issued_at: at(u64::MAX - 1), expires_at: at(u64::MAX), ..claims() });
    for text in [GOLDEN, expired.expose(), not_yet.expose(), &resigned(|bytes| bytes[6] = 0xff)] {
        assert_eq!(tokens().open_to_end(text), ended, "{text}");
    }
    let rotated = SessionTokens::new(&secret(OTHER_SECRET), &[secret(SECRET)]).unwrap();
    assert_eq!(rotated.open_to_end(GOLDEN), ended, "signed by a fallback");
    let stranger = SessionTokens::new(&secret(OTHER_SECRET), &[]).unwrap();
    assert_eq!(stranger.open_to_end(GOLDEN), Err(TokenError::UnknownKey));
}

#[test]
fn a_changed_token_ends_no_session() {
    for bit in 0..87 * 8 {
        let mut bytes = bytes_of(GOLDEN);
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(tokens().open_to_end(&text_of(&bytes)).is_err(), "bit {bit} of the token");
    }
    assert_eq!(tokens().open_to_end(&GOLDEN[1..]), Err(TokenError::Malformed));
}

#[test]
fn a_token_is_valid_from_a_minute_before_it_was_issued_until_it_expires() {
    let open_at = |seconds| tokens().open(GOLDEN, at(seconds)).err();
    assert_eq!(open_at(0), Some(TokenError::NotYet));
    assert_eq!(open_at(ISSUED - 61), Some(TokenError::NotYet));
    assert_eq!(open_at(ISSUED - 60), None);
    assert_eq!(open_at(ISSUED - 59), None);
    assert_eq!(open_at(EXPIRES - 1), None);
    assert_eq!(open_at(EXPIRES), Some(TokenError::Expired));
    assert_eq!(open_at(EXPIRES + 1), Some(TokenError::Expired));
    assert_eq!(open_at(u64::MAX), Some(TokenError::Expired));
}

#[test]
fn a_token_that_expires_no_later_than_it_was_issued_is_never_valid() {
    for expires in [0, ISSUED - 1, ISSUED] {
        let text = tokens().issue(&Claims { expires_at: at(expires), ..claims() });
        for now in [ISSUED - 60, ISSUED - 1, ISSUED] {
            assert_eq!(tokens().open(text.expose(), at(now)).err(), Some(TokenError::Expired));
        }
    }
    let shortest = tokens().issue(&Claims { expires_at: at(ISSUED + 1), ..claims() });
    assert!(tokens().open(shortest.expose(), at(ISSUED)).is_ok());
}

#[test]
fn a_fallback_key_verifies_a_token_and_does_not_sign() {
    let rotated = SessionTokens::new(&secret(OTHER_SECRET), &[secret(SECRET)]).unwrap();
    let opened = rotated.open(GOLDEN, at(ISSUED)).unwrap();
    assert!(opened.signed_by_fallback);
    let again = rotated.issue(&opened.claims);
    assert!(!rotated.open(again.expose(), at(ISSUED)).unwrap().signed_by_fallback);
    assert_eq!(refusal(again.expose()), Some(TokenError::UnknownKey), "the old secret alone does not open it");

    let removed = SessionTokens::new(&secret(OTHER_SECRET), &[]).unwrap();
    assert_eq!(removed.open(GOLDEN, at(ISSUED)).err(), Some(TokenError::UnknownKey));
}

#[test]
fn a_secret_that_is_listed_twice_is_refused() {
    let twice = SessionTokens::new(&secret(SECRET), &[secret(OTHER_SECRET), secret(SECRET)]);
    assert_eq!(twice.err(), Some(KeyRingError));
}

#[test]
fn opening_a_token_allocates_nothing() {
    let tokens = tokens();
    let mut refused = GOLDEN.to_owned();
    refused.replace_range(115..116, "A");
    let allocations = allocation_counter::measure(|| {
        std::hint::black_box(tokens.open(GOLDEN, at(ISSUED)).is_ok());
        std::hint::black_box(tokens.open(&refused, at(ISSUED)).is_ok());
        std::hint::black_box(tokens.open("", at(ISSUED)).is_ok());
    });
    assert_eq!(allocations.count_total, 0);
}

#[test]
fn a_token_is_not_printed() {
    assert_eq!(format!("{:?}", tokens().issue(&claims())), "TokenText(…)");
    assert!(format!("{:?}", claims()).contains("session_secret: SessionSecret(…)"));
}

/// A token with changed bytes and a matching tag, as only a holder of the key could make it.
fn resigned(change: impl Fn(&mut [u8])) -> String {
    use hkdf::Hkdf;
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, SECRET.as_bytes()).expand(b"handstamp/session/v1", &mut key).unwrap();
    let mut bytes = bytes_of(GOLDEN);
    change(&mut bytes);
    let tag = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(&bytes[..55]).finalize().into_bytes();
    bytes[55..].copy_from_slice(&tag);
    text_of(&bytes)
}

prop_compose! {
    fn any_claims()(
        user: u128, session: [u8; 16], issued in 0..u64::MAX / 2, lifetime in 1..u64::MAX / 4, remembered: bool,
    ) -> Claims {
        Claims {
            user_id: UserId::from_uuid(uuid::Uuid::from_u128(user)),
            session_secret: SessionSecret::from_bytes(session),
            issued_at: at(issued),
            expires_at: at(issued + lifetime),
            remembered,
        }
    }
}

proptest! {
    #[test]
    fn an_issued_token_opens_to_the_same_claims(claims in any_claims()) {
        let token = tokens().issue(&claims);
        prop_assert_eq!(token.expose().len(), 116);
        prop_assert_eq!(tokens().open(token.expose(), claims.issued_at).unwrap().claims, claims);
    }

    #[test]
    fn different_claims_have_different_tokens(one in any_claims(), two in any_claims()) {
        prop_assume!(one != two);
        prop_assert_ne!(tokens().issue(&one).expose().to_owned(), tokens().issue(&two).expose().to_owned());
    }

    #[test]
    fn no_text_that_was_not_issued_is_opened(text in "[A-Za-z0-9_-]{116}", any in ".*", now: u64) {
        prop_assert!(tokens().open(&text, at(now)).is_err());
        prop_assert!(tokens().open(&any, at(now)).is_err());
    }
}
