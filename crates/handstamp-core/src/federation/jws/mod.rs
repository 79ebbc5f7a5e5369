//! JSON Web Signature in its compact form (RFC 7515 §7.1).

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json::{self, DocumentError};
use super::{IdTokenError, KeySet, SigningAlgorithm};

/// The most bytes of a token that is looked at.
const MAX_BYTES: usize = 16 * 1024;

/// The claims of a token, once its signature is verified with a key of the set and one of these algorithms.
///
/// Keys and addresses of keys in the header (`jwk`, `jku`, `x5c`, `x5u`) are never used, since the sender of a token chooses them.
pub(super) fn claims(
    token: &str,
    keys: &KeySet,
    algorithms: &[SigningAlgorithm],
    is_type: impl Fn(&str) -> bool,
) -> Result<Map<String, Value>, IdTokenError> {
    object(&verified_payload(token, keys, algorithms, is_type)?)
}

fn verified_payload(
    token: &str,
    keys: &KeySet,
    algorithms: &[SigningAlgorithm],
    is_type: impl Fn(&str) -> bool,
) -> Result<Vec<u8>, IdTokenError> {
    if token.len() > MAX_BYTES {
        return Err(IdTokenError::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(IdTokenError::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(IdTokenError::Malformed)?;
    // A full stop is no character of base64, so a token of more parts is refused here.
    let (header, payload, signature) = (object(&bytes(header)?)?, bytes(payload)?, bytes(signature)?);
    if header.contains_key("crit") {
        return Err(IdTokenError::Critical);
    }
    if let Some(media_type) = json::present(&header, "typ")
        && !media_type.as_str().is_some_and(|text| is_type(without_prefix(text)))
    {
        return Err(IdTokenError::Type);
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or(IdTokenError::Malformed)?;
    let algorithm = SigningAlgorithm::parse(name).ok_or(IdTokenError::Algorithm)?;
    if !algorithms.contains(&algorithm) {
        return Err(IdTokenError::Algorithm);
    }
    let key_id = match json::present(&header, "kid") {
        Some(id) => Some(id.as_str().ok_or(IdTokenError::Malformed)?),
        None => None,
    };
    let mut candidates = keys.candidates(key_id, algorithm).peekable();
    candidates.peek().ok_or(IdTokenError::UnknownKey)?;
    if !candidates.any(|key| key.verifies(algorithm, signed.as_bytes(), &signature)) {
        return Err(IdTokenError::Signature);
    }
    Ok(payload)
}

/// A media type without the prefix that may be left out (RFC 7515 §4.1.9).
fn without_prefix(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => media_type,
    }
}

/// The bytes of base64url without padding, in its one spelling.
fn bytes(text: &str) -> Result<Vec<u8>, IdTokenError> {
    URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| IdTokenError::Malformed)
}

fn object(text: &[u8]) -> Result<Map<String, Value>, IdTokenError> {
    json::document(text).map_err(|error| match error {
        DocumentError::TooLong => IdTokenError::TooLong,
        DocumentError::Malformed => IdTokenError::Malformed,
    })
}

#[cfg(test)]
mod tests;
