//! The public keys of a provider: a JWK set (RFC 7517 §5).

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};
use ring::signature::{RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::{Map, Value};

use super::SigningAlgorithm;
use super::algorithm::{Curve, Verification};
use super::json::{self, DocumentError};

/// The members of a JWK that only its owner may know (RFC 7518 §6.2.2 and §6.3.2).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The public keys of a provider.
///
/// A key that cannot verify a signature of a [`SigningAlgorithm`] is left out, since sets contain keys for other uses as well. So is a
/// key whose private part stands in the document: every reader of the document can sign with it.
#[derive(Clone)]
pub struct KeySet {
    keys: Vec<Key>,
    published_private_keys: usize,
}

/// Why a document is no JWK set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// It is too long, or not the JSON that it should be.
    Document(DocumentError),
    /// It has no member `keys` that is a list.
    NoKeys,
    /// It has more keys than [`KeySet::MAX_KEYS`].
    TooManyKeys,
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => error.fmt(f),
            Self::NoKeys => f.write_str("the document has no list of keys"),
            Self::TooManyKeys => write!(f, "the document has more than {} keys", KeySet::MAX_KEYS),
        }
    }
}

impl std::error::Error for KeySetError {}

impl From<DocumentError> for KeySetError {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

impl KeySet {
    /// The most keys of a set.
    pub const MAX_KEYS: usize = 100;

    /// The most keys that one signature is verified with, as each costs work.
    const MAX_CANDIDATES: usize = 8;

    /// Parses a JWK set. The result is empty if none of its keys can verify a signature.
    ///
    /// # Errors
    /// When the document is not a JWK set, or has too many keys.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let members = json::document(document)?;
        let listed = members.get("keys").and_then(Value::as_array).ok_or(KeySetError::NoKeys)?;
        if listed.len() > Self::MAX_KEYS {
            return Err(KeySetError::TooManyKeys);
        }
        let jwks = || listed.iter().filter_map(Value::as_object);
        let published_private_keys = jwks().filter(|jwk| is_private(jwk)).count();
        let mut keys: Vec<Key> = Vec::new();
        for key in jwks().filter(|jwk| !is_private(jwk)).filter_map(Key::parse) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(Self { keys, published_private_keys })
    }

    /// The number of keys that can verify a signature.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key can verify a signature.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The number of keys that were left out since their private part stands in the document. The provider has to replace them.
    pub const fn published_private_keys(&self) -> usize {
        self.published_private_keys
    }

    /// The keys that may have made a signature of this algorithm, for a token that names its key so.
    ///
    /// The provider vouches for each key of the set. So a name that two keys share, or that a key lacks, costs only the work of
    /// another attempt, and no user is locked out by it.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: SigningAlgorithm) -> impl Iterator<Item = &Key> {
        let fits =
            move |key: &&Key| key.fits(algorithm) && (id.is_none() || key.id.is_none() || key.id.as_deref() == id);
        self.keys.iter().filter(fits).take(Self::MAX_CANDIDATES)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| key.id.as_deref())).finish()
    }
}

fn is_private(jwk: &Map<String, Value>) -> bool {
    // `k` is the key of an HMAC, which is never public.
    PRIVATE_MEMBERS.iter().any(|member| jwk.contains_key(*member))
}

/// A public key that verifies signatures.
#[derive(Clone, PartialEq)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm that the key is for, if the set names one.
    algorithm: Option<SigningAlgorithm>,
    material: Material,
}

#[derive(Clone, PartialEq)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    Curve(Curve, Vec<u8>),
}

impl Key {
    /// None for a key of another type or for another use.
    fn parse(jwk: &Map<String, Value>) -> Option<Self> {
        let id = match json::present(jwk, "kid") {
            Some(id) => Some(id.as_str()?.to_owned()),
            None => None,
        };
        let algorithm = match json::present(jwk, "alg") {
            Some(name) => Some(SigningAlgorithm::parse(name.as_str()?)?),
            None => None,
        };
        let is_for_signatures = json::present(jwk, "use").is_none_or(|use_| use_ == "sig");
        let verifies =
            |operations: &Value| operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify"));
        if !is_for_signatures || !json::present(jwk, "key_ops").is_none_or(verifies) {
            return None;
        }
        let material = Material::parse(jwk)?;
        let key = Self { id, algorithm, material };
        algorithm.is_none_or(|algorithm| key.fits(algorithm)).then_some(key)
    }

    /// Whether the key is for this algorithm.
    fn fits(&self, algorithm: SigningAlgorithm) -> bool {
        let has_type = match (&self.material, algorithm.verification()) {
            (Material::Rsa { .. }, Verification::Rsa(_)) => true,
            (Material::Curve(curve, _), Verification::Curve(needed, _)) => *curve == needed,
            (Material::Curve(curve, _), Verification::P521) => *curve == Curve::P521,
            _ => false,
        };
        has_type && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether the key has made this signature of the message.
    pub(super) fn verifies(&self, algorithm: SigningAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.material, algorithm.verification()) {
            (Material::Rsa { n, e }, Verification::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            (Material::Curve(curve, public), Verification::Curve(needed, verification)) if *curve == needed => {
                UnparsedPublicKey::new(verification, public).verify(message, signature).is_ok()
            }
            (Material::Curve(Curve::P521, public), Verification::P521) => {
                let key = VerifyingKey::from_sec1_bytes(public);
                // The two numbers of fixed length, as RFC 7518 §3.4 has them. The other form, DER, is another type.
                let signature = Signature::from_slice(signature);
                key.and_then(|key| key.verify(message, &signature?)).is_ok()
            }
            _ => false,
        }
    }
}

impl Material {
    fn parse(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |member| jwk.get(member).and_then(Value::as_str);
        let bytes = |member| URL_SAFE_NO_PAD.decode_to_vec(text(member)?).ok();
        match (text("kty")?, text("crv")) {
            ("RSA", _) => Self::rsa(bytes("n")?, bytes("e")?),
            ("EC", Some("P-256")) => Self::point(Curve::P256, 32, &bytes("x")?, &bytes("y")?),
            ("EC", Some("P-384")) => Self::point(Curve::P384, 48, &bytes("x")?, &bytes("y")?),
            ("EC", Some("P-521")) => Self::point(Curve::P521, 66, &bytes("x")?, &bytes("y")?),
            ("OKP", Some("Ed25519")) => {
                let public = bytes("x")?;
                (public.len() == 32).then_some(Self::Curve(Curve::Ed25519, public))
            }
            _ => None,
        }
    }

    /// An RSA key within the limits of `ring`: 2048 to 8192 bits, and an odd exponent from 3 to below 2³³.
    fn rsa(n: Vec<u8>, e: Vec<u8>) -> Option<Self> {
        // RFC 7518 §6.3.1.1 says that some implementations write a zero in front.
        let stripped = |bytes: Vec<u8>| bytes.into_iter().skip_while(|&byte| byte == 0).collect::<Vec<_>>();
        let (n, e) = (stripped(n), stripped(e));
        let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
        let exponent = (e.len() <= 5).then(|| e.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte)))?;
        let is_usable = (2048..=8192).contains(&bits) && (3..1 << 33).contains(&exponent) && exponent % 2 == 1;
        is_usable.then_some(Self::Rsa { n, e })
    }

    /// A point of a curve, uncompressed (SEC 1 §2.3.3). Whether the curve has it is known at the first signature.
    fn point(curve: Curve, length: usize, x: &[u8], y: &[u8]) -> Option<Self> {
        (x.len() == length && y.len() == length).then(|| Self::Curve(curve, [&[4], x, y].concat()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A modulus of so many bits, which is odd.
    fn rsa(bits: usize) -> Value {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= n.len() * 8 - bits;
        json!({"kty": "RSA", "n": encode(&n), "e": "AQAB"})
    }

    fn ec(curve: &str, length: usize) -> Value {
        json!({"kty": "EC", "crv": curve, "x": encode(&vec![1; length]), "y": encode(&vec![2; length])})
    }

    fn ed25519(byte: u8) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&[byte; 32])})
    }

    fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode_to_string(bytes)
    }

    fn with(mut key: Value, member: &str, value: impl Into<Value>) -> Value {
        key[member] = value.into();
        key
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn keys_that_verify_signatures_are_kept() {
        for key in [
            rsa(2048),
            rsa(2049),
            rsa(8192),
            with(rsa(2048), "e", "Aw"),
            with(rsa(2048), "e", "AAEAAQ"),
            with(rsa(2048), "n", format!("AAAA{}", rsa(2040 + 8)["n"].as_str().unwrap())),
            ec("P-256", 32),
            ec("P-384", 48),
            ec("P-521", 66),
            ed25519(1),
            with(ed25519(1), "alg", "EdDSA"),
            with(ed25519(1), "alg", "Ed25519"),
            with(rsa(2048), "alg", "PS512"),
            with(ec("P-256", 32), "alg", "ES256"),
            with(rsa(2048), "use", "sig"),
            with(rsa(2048), "use", Value::Null),
            with(rsa(2048), "key_ops", json!(["verify"])),
            with(rsa(2048), "x5c", json!(["AAAA"])),
        ] {
            assert_eq!(set(std::slice::from_ref(&key)).len(), 1, "{key}");
        }
    }

    #[test]
    fn other_keys_are_left_out() {
        let rest = ed25519(1);
        for key in [
            rsa(2047),
            rsa(1024),
            rsa(8193),
            with(rsa(2048), "e", "AQ"),
            with(rsa(2048), "e", "AQAA"),
            with(rsa(2048), "e", ""),
            with(rsa(2048), "e", "AgAAAAE"),
            with(rsa(2048), "e", "AQAAAAAAAAAB"),
            with(rsa(2048), "e", 65537),
            with(rsa(2048), "n", ""),
            with(rsa(2048), "n", "AAAA"),
            with(rsa(2048), "n", "not base64!"),
            with(rsa(2048), "n", Value::Null),
            ec("P-256", 31),
            ec("P-256", 33),
            ec("P-384", 32),
            ec("P-521", 65),
            with(ec("P-521", 66), "alg", "ES384"),
            ec("secp256k1", 32),
            with(ed25519(1), "x", "AAAA"),
            with(ed25519(1), "crv", "X25519"),
            with(ed25519(1), "crv", "Ed448"),
            with(ed25519(1), "alg", "RS256"),
            with(ed25519(1), "alg", "none"),
            with(ed25519(1), "alg", 1),
            with(ed25519(1), "kid", 1),
            with(ec("P-256", 32), "alg", "ES384"),
            with(rsa(2048), "alg", "RSA-OAEP"),
            with(rsa(2048), "alg", "HS256"),
            with(rsa(2048), "use", "enc"),
            with(rsa(2048), "use", json!(["sig"])),
            with(rsa(2048), "key_ops", json!(["encrypt"])),
            with(rsa(2048), "key_ops", "verify"),
            with(ed25519(1), "kty", "EC"),
            json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
            json!({}),
            json!("key"),
            Value::Null,
        ] {
            assert!(set(std::slice::from_ref(&key)).is_empty(), "{key}");
            assert_eq!(set(&[key, rest.clone()]).len(), 1, "the others remain");
        }
    }

    #[test]
    fn a_key_whose_private_part_is_published_is_left_out() {
        let secret = json!({"kty": "oct", "k": "AAAA"});
        let keys = set(&[with(ed25519(1), "d", "AAAA"), with(rsa(2048), "p", "AQ"), secret, ed25519(2)]);
        assert_eq!((keys.len(), keys.published_private_keys()), (1, 3));
        assert_eq!(set(&[]).published_private_keys(), 0);
    }

    #[test]
    fn keys_under_one_id_are_all_tried_and_a_key_of_another_id_is_not() {
        let named = |key, id: &str| with(key, "kid", id);
        let count = |keys: &[Value], id: Option<&str>, algorithm| set(keys).candidates(id, algorithm).count();
        let keys = [named(ed25519(1), "a"), named(ed25519(2), "a"), named(ed25519(3), "b"), named(rsa(2048), "a")];
        assert_eq!(count(&keys, Some("a"), SigningAlgorithm::EdDsa), 2);
        assert_eq!(count(&keys, Some("a"), SigningAlgorithm::Rs256), 1);
        assert_eq!(count(&keys, Some("b"), SigningAlgorithm::Rs256), 0);
        assert_eq!(count(&keys, Some("c"), SigningAlgorithm::EdDsa), 0);
        assert_eq!(count(&keys, None, SigningAlgorithm::EdDsa), 3);
        assert_eq!(count(&[ed25519(1)], Some("a"), SigningAlgorithm::EdDsa), 1, "a key without an id may be meant");
        assert_eq!(set(&[ed25519(1), ed25519(1)]).len(), 1, "the same key counts once");
        let many: Vec<Value> = (0..100).map(|byte| named(ed25519(byte), "a")).collect();
        assert_eq!(count(&many, Some("a"), SigningAlgorithm::EdDsa), 8, "the work is limited");
        assert_eq!(set(&many).len(), 100);
    }

    #[test]
    fn a_document_that_is_no_key_set_is_refused() {
        let malformed = KeySetError::Document(DocumentError::Malformed);
        for (document, expected) in [
            ("", malformed),
            ("[]", malformed),
            ("{\"keys\":[],\"keys\":[]}", malformed),
            ("{\"keys\":[{\"kty\":\"RSA\",\"kty\":\"OKP\"}]}", malformed),
            ("<html></html>", malformed),
            ("{}", KeySetError::NoKeys),
            ("{\"keys\":{}}", KeySetError::NoKeys),
            ("{\"keys\":null}", KeySetError::NoKeys),
        ] {
            assert_eq!(KeySet::parse(document.as_bytes()).err(), Some(expected), "{document}");
        }
        let too_many = json!({"keys": vec![Value::Null; 101]}).to_string();
        assert_eq!(KeySet::parse(too_many.as_bytes()).err(), Some(KeySetError::TooManyKeys));
        let too_long = KeySetError::Document(DocumentError::TooLong);
        assert_eq!(KeySet::parse(&[b' '; 1 << 20]).err(), Some(too_long));
        assert!(set(&[]).is_empty());
    }

    #[test]
    fn a_point_that_is_not_on_the_curve_verifies_nothing() {
        let keys = set(&[ec("P-256", 32), ec("P-384", 48), ec("P-521", 66)]);
        for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Es384, SigningAlgorithm::Es512] {
            assert_eq!(keys.candidates(None, algorithm).count(), 1);
            for key in keys.candidates(None, algorithm) {
                for length in [64, 96, 132] {
                    assert!(!key.verifies(algorithm, b"", &vec![1; length]), "{algorithm}");
                }
            }
        }
    }
}
