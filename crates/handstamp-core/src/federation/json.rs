//! Reading JSON that another party has written: within bounds, and without duplicate names.
//!
//! RFC 7515 §4, RFC 7517 §4 and RFC 7519 §4 let a parser take the last of two members with one name. Another parser may take the
//! first, and then the two read different claims under one signature. Here such a document is refused.

use std::fmt;

use serde_core::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The most bytes of a provider's document that are looked at.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// The most bytes of a text that identifies a user or a session: OpenID Connect Core 1.0 §2 sets this limit for `sub`.
const MAX_ID_BYTES: usize = 255;

/// Why a text is not the document that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// It is longer than any that is looked at.
    TooLong,
    /// It is not JSON of the expected form, or it names a member twice.
    Malformed,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the document is too long",
            Self::Malformed => "the document is not JSON of the expected form",
        })
    }
}

impl std::error::Error for DocumentError {}

/// The members of a provider's document.
pub(super) fn document(bytes: &[u8]) -> Result<Map<String, Value>, DocumentError> {
    match value(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(DocumentError::Malformed),
    }
}

/// A provider's document of any form.
pub(super) fn value(bytes: &[u8]) -> Result<Value, DocumentError> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(DocumentError::TooLong);
    }
    // serde_json limits how deep the value is nested, to 128 levels.
    let Unambiguous(value) = serde_json::from_slice(bytes).map_err(|_| DocumentError::Malformed)?;
    Ok(value)
}

/// A member that may be missing. Many providers write null for what they do not know.
pub(super) fn present<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.get(name).filter(|value| !value.is_null())
}

/// A text that can identify a user or a session: not empty, within the limit, and without control characters.
pub(super) fn identifier(value: &Value) -> Option<&str> {
    let is_usable = |text: &&str| !text.is_empty() && text.len() <= MAX_ID_BYTES && !text.chars().any(char::is_control);
    value.as_str().filter(is_usable)
}

/// A JSON value in which no object names a member twice.
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnambiguousVisitor).map(Self)
    }
}

struct UnambiguousVisitor;

impl<'de> Visitor<'de> for UnambiguousVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate names")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Unambiguous(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Unambiguous(value))) = members.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_serde_json_reads_it() {
        for text in [
            "null",
            "true",
            "-3",
            "18446744073709551615",
            "1.5e3",
            "\"a\\u00e9\"",
            "[]",
            "[1,[2,{}],\"x\"]",
            "{\"a\":{\"b\":[null]},\"c\":false}",
            " { \"a\" : 1 } ",
        ] {
            assert_eq!(value(text.as_bytes()), Ok(serde_json::from_str(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_wherever_it_stands() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":{"a":1,"a":null}}"#,
            r#"[[{"a":1,"b":2,"a":3}]]"#,
            r#"{"":0,"":0}"#,
        ] {
            assert_eq!(value(text.as_bytes()), Err(DocumentError::Malformed), "{text}");
        }
        assert!(value(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok());
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert!(value(&deep(100)).is_ok());
        let brackets = vec![b'['; MAX_DOCUMENT_BYTES];
        let objects = "{\"a\":".repeat(10_000);
        for text in [
            b"".as_slice(),
            b"{",
            b"{}x",
            b"{} {}",
            b"\xef\xbb\xbf{}",
            b"\"\xff\"",
            b"\"\\ud800\"",
            b"NaN",
            b"{a:1}",
            b"[1,]",
            b"1e999",
            &deep(200),
            &brackets,
            objects.as_bytes(),
        ] {
            assert_eq!(value(text), Err(DocumentError::Malformed), "{:?}", &text[..text.len().min(20)]);
        }
        assert_eq!(value(&vec![b'['; 1_000_000]), Err(DocumentError::TooLong));
        for text in [b"[]".as_slice(), b"1", b"null", b"\"{}\""] {
            assert_eq!(document(text), Err(DocumentError::Malformed));
        }
    }

    #[test]
    fn an_identifier_is_a_short_text_without_control_characters() {
        let long = "é".repeat(128);
        for text in ["", "a\nb", "a\0", "\u{85}", &long] {
            assert_eq!(identifier(&text.into()), None, "{text:?}");
        }
        for text in ["1", "a b", "é|🦀", &long[..254]] {
            assert_eq!(identifier(&text.into()), Some(text));
        }
        for value in [Value::Null, 1.into(), true.into(), Value::Array(vec!["a".into()])] {
            assert_eq!(identifier(&value), None, "{value}");
        }
    }
}
