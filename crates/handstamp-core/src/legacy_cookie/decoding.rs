//! Decoding the parts of cookies: strictly, so that a text has one spelling, and within bounds.

use base64_simd::{Base64, STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::LegacyCookieError;

/// The most bytes that a compressed session may inflate to.
const MAX_INFLATED_BYTES: usize = 64 * 1024;

/// The most bytes of the text that identifies a user.
const MAX_USER_BYTES: usize = 255;

/// The bytes of base64url without padding, in its one spelling.
pub(super) fn base64_url(text: &str) -> Result<Vec<u8>, LegacyCookieError> {
    decode(URL_SAFE_NO_PAD, text)
}

/// The bytes of base64 with padding, in its one spelling.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, LegacyCookieError> {
    decode(STANDARD, text)
}

/// The bytes of base64 without padding, in its one spelling.
pub(super) fn base64_unpadded(text: &str) -> Result<Vec<u8>, LegacyCookieError> {
    decode(STANDARD_NO_PAD, text)
}

fn decode(variant: Base64, text: &str) -> Result<Vec<u8>, LegacyCookieError> {
    variant.decode_to_vec(text).map_err(|_| LegacyCookieError::Malformed)
}

/// The bytes of lower-case hexadecimal digits.
pub(super) fn hex(text: &str) -> Result<Vec<u8>, LegacyCookieError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(LegacyCookieError::Malformed),
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(LegacyCookieError::Malformed);
    }
    pairs.iter().map(|&[high, low]| Ok(digit(high)? << 4 | digit(low)?)).collect()
}

/// The text behind percent-encoding. A plus is a plus.
pub(super) fn percent_decoded(text: &str) -> Result<String, LegacyCookieError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| LegacyCookieError::Malformed)?;
    Ok(decoded.into_owned())
}

/// The content of the cookies of Flask and Django: base64url, compressed if a full stop is in front.
pub(super) fn payload(text: &str) -> Result<Vec<u8>, LegacyCookieError> {
    match text.strip_prefix('.') {
        None => base64_url(text),
        Some(compressed) => inflated(&base64_url(compressed)?),
    }
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, LegacyCookieError> {
    use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};
    decompress_to_vec_zlib_with_limit(bytes, MAX_INFLATED_BYTES).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => LegacyCookieError::TooLong,
        _ => LegacyCookieError::Unreadable,
    })
}

/// An authentic JSON object.
pub(super) fn json_object(text: &[u8]) -> Result<Map<String, Value>, LegacyCookieError> {
    serde_json::from_slice(text).map_err(|_| LegacyCookieError::Unreadable)
}

/// The text of a value that identifies a user: a string, or an integer. Sessions without a signed-in user may have null there.
pub(super) fn user_text(value: Option<&Value>) -> Result<String, LegacyCookieError> {
    let text = match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
        _ => return Err(LegacyCookieError::NoUser),
    };
    checked_user(text)
}

/// The text, if it can identify a user.
pub(super) fn checked_user(text: String) -> Result<String, LegacyCookieError> {
    let is_usable = !text.is_empty() && text.len() <= MAX_USER_BYTES && !text.chars().any(char::is_control);
    if is_usable { Ok(text) } else { Err(LegacyCookieError::NoUser) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(base64_url("-_8"), Ok(vec![0xfb, 0xff]));
        for other in ["-_9", "-_8=", "-_ 8", "+/8", "-_8\n", "-_8.", "-"] {
            assert_eq!(base64_url(other), Err(LegacyCookieError::Malformed), "{other}");
        }
        assert_eq!(base64("+/8="), Ok(vec![0xfb, 0xff]));
        for other in ["+/9=", "+/8", "-_8=", "+/8==", "+/8=\n"] {
            assert_eq!(base64(other), Err(LegacyCookieError::Malformed), "{other}");
        }
        assert_eq!(base64_unpadded("+/8"), Ok(vec![0xfb, 0xff]));
        for other in ["+/9", "+/8=", "-_8"] {
            assert_eq!(base64_unpadded(other), Err(LegacyCookieError::Malformed), "{other}");
        }
    }

    #[test]
    fn hexadecimal_digits_are_lower_case_and_even_in_number() {
        assert_eq!(hex("00af9"), Err(LegacyCookieError::Malformed));
        assert_eq!(hex("00af90"), Ok(vec![0, 0xaf, 0x90]));
        for other in ["0A", "g0", "0 ", "+1", "é"] {
            assert_eq!(hex(other), Err(LegacyCookieError::Malformed), "{other}");
        }
    }

    #[test]
    fn a_compressed_session_inflates_up_to_a_limit() {
        let deflated = |bytes: usize| {
            let compressed = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b'x'; bytes], 9);
            format!(".{}", URL_SAFE_NO_PAD.encode_to_string(compressed))
        };
        assert_eq!(payload(&deflated(MAX_INFLATED_BYTES)).map(|bytes| bytes.len()), Ok(MAX_INFLATED_BYTES));
        assert_eq!(payload(&deflated(MAX_INFLATED_BYTES + 1)), Err(LegacyCookieError::TooLong));
        assert_eq!(payload(&deflated(3_000_000)), Err(LegacyCookieError::TooLong));
        assert_eq!(payload(".e30"), Err(LegacyCookieError::Unreadable));
        assert_eq!(payload("."), Err(LegacyCookieError::Unreadable));
        assert_eq!(payload("e30"), Ok(b"{}".to_vec()));
    }

    #[test]
    fn a_user_is_a_short_text_or_an_integer() {
        let read = |json: &str| user_text(Some(&serde_json::from_str(json).unwrap()));
        assert_eq!(read("\"ada@example.com\"").as_deref(), Ok("ada@example.com"));
        assert_eq!(read("42").as_deref(), Ok("42"));
        assert_eq!(read("18446744073709551615").as_deref(), Ok("18446744073709551615"));
        let long = format!("\"{}\"", "é".repeat(128));
        for none in ["null", "true", "1.5", "1e3", "\"\"", "[1]", "{\"id\":1}", "\"a\\nb\"", "\"a\\u0000\"", &long] {
            assert_eq!(read(none), Err(LegacyCookieError::NoUser), "{none}");
        }
        assert_eq!(user_text(None), Err(LegacyCookieError::NoUser));
        assert!(read(&format!("\"{}\"", "a".repeat(255))).is_ok());
    }
}
