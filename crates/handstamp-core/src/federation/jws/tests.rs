//! Vectors of the specifications, and texts that are no signed tokens.

use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The published signatures, each with its source and its keys.
const VECTORS: &str = include_str!("vectors.json");

fn verified(token: &str, keys: &KeySet) -> Result<Vec<u8>, IdTokenError> {
    verified_payload(token, keys, &SigningAlgorithm::ALL, |media_type| media_type == "JWT")
}

/// The key of RFC 8037, A.1.
fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&bytes("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap().try_into().unwrap())
}

fn keys() -> KeySet {
    let public = encode(signing_key().verifying_key().as_bytes());
    KeySet::parse(json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": public}]}).to_string().as_bytes())
        .unwrap()
}

fn encode(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(text.as_ref())
}

fn signed(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = encode(signing_key().sign(signed.as_bytes()).to_bytes());
    format!("{signed}.{signature}")
}

#[test]
fn signatures_of_the_specifications_verify() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 7);
    for vector in vectors {
        let source = vector["source"].as_str().unwrap();
        let keys = KeySet::parse(vector["keys"].to_string().as_bytes()).unwrap();
        let token = vector["token"].as_str().unwrap();
        let payload = bytes(token.split('.').nth(1).unwrap()).unwrap();
        let Some(algorithm) = SigningAlgorithm::parse(vector["algorithm"].as_str().unwrap()) else {
            assert!(keys.is_empty(), "{source}");
            assert_eq!(verified(token, &keys), Err(IdTokenError::Algorithm), "{source}");
            continue;
        };
        assert_eq!(verified(token, &keys), Ok(payload), "{source}");
        for other in SigningAlgorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            let result = verified_payload(token, &keys, &[other], |_| true);
            assert_eq!(result, Err(IdTokenError::Algorithm), "{source} by {other}");
        }
        assert_eq!(verified_payload(token, &keys, &[], |_| true), Err(IdTokenError::Algorithm), "{source}");
    }
}

#[test]
fn a_changed_bit_of_any_part_is_refused() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    for vector in
        vectors.iter().filter(|vector| SigningAlgorithm::parse(vector["algorithm"].as_str().unwrap()).is_some())
    {
        let keys = KeySet::parse(vector["keys"].to_string().as_bytes()).unwrap();
        let parts: Vec<Vec<u8>> =
            vector["token"].as_str().unwrap().split('.').map(|part| bytes(part).unwrap()).collect();
        for part in 0..3 {
            for bit in 0..parts[part].len() * 8 {
                let mut changed = parts.clone();
                changed[part][bit / 8] ^= 1 << (bit % 8);
                let token = changed.iter().map(encode).collect::<Vec<_>>().join(".");
                assert!(verified(&token, &keys).is_err(), "{}: part {part}, bit {bit}", vector["source"]);
            }
        }
    }
}

#[test]
fn a_token_has_one_spelling() {
    let token = signed(r#"{"alg":"EdDSA","kid":"a"}"#, "{\"a\":1}");
    assert_eq!(verified(&token, &keys()), Ok(b"{\"a\":1}".to_vec()));
    let [header, payload, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    for end in 1..token.len() {
        assert!(verified(&token[..end], &keys()).is_err(), "cut to {end} bytes");
    }
    // The last character of 64 bytes in base64 has four bits without a meaning.
    let last = signature.chars().last().unwrap();
    for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars().filter(|char| *char != last)
    {
        let respelled = format!("{header}.{payload}.{}{other}", &signature[..signature.len() - 1]);
        assert!(verified(&respelled, &keys()).is_err(), "{other}");
    }
    for (respelled, expected) in [
        (String::new(), IdTokenError::Malformed),
        (".".to_owned(), IdTokenError::Malformed),
        ("..".to_owned(), IdTokenError::Malformed),
        ("....".to_owned(), IdTokenError::Malformed),
        (format!("{token}."), IdTokenError::Malformed),
        (format!(".{token}"), IdTokenError::Malformed),
        (format!("{token}.{signature}"), IdTokenError::Malformed),
        (format!("{token}=="), IdTokenError::Malformed),
        (format!("{token}\n"), IdTokenError::Malformed),
        (format!(" {token}"), IdTokenError::Malformed),
        (format!("{header}..{signature}"), IdTokenError::Signature),
        (format!("{header}.{payload}."), IdTokenError::Signature),
        (format!("{header}.{payload}"), IdTokenError::Malformed),
        (format!("{header}.{payload}=.{signature}"), IdTokenError::Malformed),
        (format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")), IdTokenError::Malformed),
        (token.replace('.', ".é"), IdTokenError::Malformed),
    ] {
        assert_eq!(verified(&respelled, &keys()), Err(expected), "{respelled}");
    }
    let long = signed(r#"{"alg":"EdDSA"}"#, &"x".repeat(16 * 1024));
    assert_eq!(verified(&long, &keys()), Err(IdTokenError::TooLong));
    assert_eq!(verified(&"[".repeat(1_000_000), &keys()), Err(IdTokenError::TooLong));
    assert_eq!(verified(&format!("{}.e30.AA", encode("[".repeat(10_000))), &keys()), Err(IdTokenError::Malformed));
}

#[test]
fn a_header_chooses_neither_the_algorithm_nor_the_key() {
    let own = encode(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes());
    let attackers = |header: &str| {
        let signed = format!("{}.{}", encode(header), encode("{}"));
        let signature = encode(SigningKey::from_bytes(&[7; 32]).sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    };
    for header in [
        format!(r#"{{"alg":"EdDSA","kid":"a","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{own}"}}}}"#),
        r#"{"alg":"EdDSA","jku":"https://attacker.example/keys"}"#.to_owned(),
        r#"{"alg":"EdDSA","x5u":"https://attacker.example/chain","x5c":["AAAA"]}"#.to_owned(),
    ] {
        assert_eq!(verified(&attackers(&header), &keys()), Err(IdTokenError::Signature), "{header}");
    }
    for (header, expected) in [
        (r#"{"alg":"none","kid":"a"}"#, IdTokenError::Algorithm),
        (r#"{"alg":"None"}"#, IdTokenError::Algorithm),
        (r#"{"alg":"NONE"}"#, IdTokenError::Algorithm),
        (r#"{"alg":"nOnE"}"#, IdTokenError::Algorithm),
        (r#"{"alg":""}"#, IdTokenError::Algorithm),
        (r#"{"alg":"eddsa"}"#, IdTokenError::Algorithm),
        (r#"{"alg":"HS256","kid":"a"}"#, IdTokenError::Algorithm),
        (r#"{"alg":"ES512","kid":"a"}"#, IdTokenError::UnknownKey),
        (r#"{"alg":"RS256","kid":"a"}"#, IdTokenError::UnknownKey),
        (r#"{"alg":"ES256","kid":"a"}"#, IdTokenError::UnknownKey),
        (r#"{"alg":"EdDSA","kid":"b"}"#, IdTokenError::UnknownKey),
        (r#"{"alg":"EdDSA","kid":"A"}"#, IdTokenError::UnknownKey),
        (r#"{"alg":"EdDSA","kid":""}"#, IdTokenError::UnknownKey),
        (r#"{"alg":"EdDSA","kid":1}"#, IdTokenError::Malformed),
        (r#"{"alg":1}"#, IdTokenError::Malformed),
        (r#"{"alg":["EdDSA"]}"#, IdTokenError::Malformed),
        (r#"{"alg":null}"#, IdTokenError::Malformed),
        (r#"{"kid":"a"}"#, IdTokenError::Malformed),
        (r#"{"alg":"EdDSA","alg":"EdDSA"}"#, IdTokenError::Malformed),
        (r#"{"alg":"none","alg":"EdDSA"}"#, IdTokenError::Malformed),
        (r#"["alg","EdDSA"]"#, IdTokenError::Malformed),
        ("", IdTokenError::Malformed),
        (r#"{"alg":"EdDSA","crit":["exp"],"exp":1}"#, IdTokenError::Critical),
        (r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#, IdTokenError::Critical),
        (r#"{"alg":"EdDSA","crit":[]}"#, IdTokenError::Critical),
        (r#"{"alg":"EdDSA","crit":null}"#, IdTokenError::Critical),
        (r#"{"alg":"EdDSA","typ":"logout+jwt"}"#, IdTokenError::Type),
        (r#"{"alg":"EdDSA","typ":"at+jwt"}"#, IdTokenError::Type),
        (r#"{"alg":"EdDSA","typ":"application/at+jwt"}"#, IdTokenError::Type),
        (r#"{"alg":"EdDSA","typ":"application/application/JWT"}"#, IdTokenError::Type),
        (r#"{"alg":"EdDSA","typ":""}"#, IdTokenError::Type),
        (r#"{"alg":"EdDSA","typ":["JWT"]}"#, IdTokenError::Type),
    ] {
        assert_eq!(verified(&signed(header, "{}"), &keys()), Err(expected), "{header}");
    }
    for header in [
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"Ed25519","kid":"a"}"#,
        r#"{"alg":"EdDSA","kid":null,"typ":null}"#,
        r#"{"alg":"EdDSA","typ":"JWT"}"#,
        r#"{"alg":"EdDSA","typ":"application/JWT"}"#,
        r#"{"alg":"EdDSA","typ":"Application/JWT","x5t":"AAAA","other":[{}]}"#,
    ] {
        assert!(verified(&signed(header, "{}"), &keys()).is_ok(), "{header}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_verification_panic(text in ".*", header in ".*", payload in ".*") {
        prop_assert!(verified(&text, &keys()).is_err());
        let _ = verified(&signed(&header, &payload), &keys());
        let _ = claims(&signed(r#"{"alg":"EdDSA"}"#, &payload), &keys(), &SigningAlgorithm::ALL, |_| true);
    }
}
