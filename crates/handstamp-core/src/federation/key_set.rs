//! The public keys of a provider: a JWK set (RFC 7517 §5).

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
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
            _ => false,
        };
        has_type && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Whether the key has made this signature of the message.
    pub(super) fn verifies(&self, algorithm: SigningAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.material, algorithm.verification()) {
            (Material::Rsa { n, e }, Verification::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            (Material::Curve(curve, public), Verification::Curve(needed, verification)) if *curve == needed => {
                UnparsedPublicKey::new(verification, public).verify(message, signature)
            }
            _ => return false,
        };
        verified.is_ok()
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
