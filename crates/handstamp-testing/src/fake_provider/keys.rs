//! The keys of the fake provider, its signatures, and those of an attacker.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};

/// The keys of all fake providers of a test program. A token of one is no token of another all the same, since they have different
/// issuers.
pub(crate) struct Keys {
    rsa: [RsaKey; 2],
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    /// The key that Apple gives to the owner of the client, in the form of RFC 5208.
    apple: Vec<u8>,
}

struct RsaKey {
    pair: RsaKeyPair,
    /// The public key as the text that an attacker uses as the key of an HMAC.
    public_pem: String,
}

impl Keys {
    /// Makes them once.
    pub(crate) fn shared() -> &'static Self {
        static KEYS: OnceLock<Keys> = OnceLock::new();
        KEYS.get_or_init(|| Self {
            rsa: [RsaKey::new(), RsaKey::new()],
            p256: new_ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            p384: new_ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            ed25519: Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref())
                .unwrap(),
            apple: EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap()
                .as_ref()
                .to_vec(),
        })
    }

    /// A key by its name, as a JSON Web Key without an id.
    pub(crate) fn public(&self, name: &str) -> Value {
        let ecdsa = |pair: &EcdsaKeyPair, curve: &str, bytes: usize| {
            let point = &pair.public_key().as_ref()[1..];
            json!({ "kty": "EC", "use": "sig", "crv": curve, "x": base64(&point[..bytes]), "y": base64(&point[bytes..]) })
        };
        match name {
            "rsa-1" | "rsa-2" => {
                let parts = PublicKeyComponents::<Vec<u8>>::from(self.rsa(name).pair.public());
                json!({ "kty": "RSA", "use": "sig", "n": base64(&parts.n), "e": base64(&parts.e) })
            }
            "p256" => ecdsa(&self.p256, "P-256", 32),
            "p384" => ecdsa(&self.p384, "P-384", 48),
            "ed25519" => {
                json!({ "kty": "OKP", "use": "sig", "crv": "Ed25519", "x": base64(self.ed25519.public_key().as_ref()) })
            }
            _ => panic!("there is no key {name:?}"),
        }
    }

    fn rsa(&self, name: &str) -> &RsaKey {
        &self.rsa[usize::from(name == "rsa-2")]
    }

    /// Signs by an algorithm, with a key by its name. `none` does not sign. `HS256` takes as its secret the public key with this
    /// name, or otherwise the name.
    pub(crate) fn sign(&self, algorithm: &str, key: &str, message: &[u8]) -> Vec<u8> {
        let (random, by_rsa) = (SystemRandom::new(), |padding: &'static dyn RsaEncoding| {
            let pair = &self.rsa(key).pair;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(padding, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        });
        match algorithm {
            "RS256" => by_rsa(&signature::RSA_PKCS1_SHA256),
            "RS384" => by_rsa(&signature::RSA_PKCS1_SHA384),
            "RS512" => by_rsa(&signature::RSA_PKCS1_SHA512),
            "PS256" => by_rsa(&signature::RSA_PSS_SHA256),
            "ES256" => self.p256.sign(&random, message).unwrap().as_ref().to_vec(),
            "ES384" => self.p384.sign(&random, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed25519.sign(message).as_ref().to_vec(),
            "HS256" => {
                let secret = if key.starts_with("rsa") { &self.rsa(key).public_pem } else { key };
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message).as_ref().to_vec()
            }
            "none" => Vec::new(),
            _ => panic!("there is no algorithm {algorithm:?}"),
        }
    }

    /// The key of Apple's client, in PEM as in the file that Apple offers.
    pub(crate) fn apple_pem(&self) -> String {
        let base64 = STANDARD.encode_to_string(&self.apple);
        let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }

    /// The header and the claims of a client secret of Apple.
    ///
    /// # Errors
    /// What is wrong with its form or its signature.
    pub(crate) fn open_apple_secret(&self, secret: &str) -> Result<(Value, Value), String> {
        let [header, claims, signature] = secret.split('.').collect::<Vec<_>>()[..] else {
            return Err(format!("{secret:?} is no token"));
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.apple, &SystemRandom::new());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.unwrap().public_key().as_ref().to_vec());
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode_to_vec(part).map_err(|error| error.to_string());
        let message = format!("{header}.{claims}");
        let verified = key.verify(message.as_bytes(), &decoded(signature)?);
        verified.map_err(|_| "the signature of the client secret is wrong".to_owned())?;
        let parsed = |part| serde_json::from_slice(&decoded(part)?).map_err(|error| error.to_string());
        Ok((parsed(header)?, parsed(claims)?))
    }
}

impl RsaKey {
    fn new() -> Self {
        // ring signs with keys of RSA and makes none.
        let pem = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let pkcs8 = STANDARD.decode_to_vec(base64).unwrap();
        let pair = RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
        let public_pem = STANDARD.encode_to_string(signature::KeyPair::public_key(&pair).as_ref());
        Self {
            pair,
            public_pem: format!("-----BEGIN RSA PUBLIC KEY-----\n{public_pem}\n-----END RSA PUBLIC KEY-----\n"),
        }
    }
}

fn new_ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &SystemRandom::new()).unwrap()
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).stderr(Stdio::null()).output();
    let output = output.expect("OpenSSL is missing: apt-get install openssl");
    assert!(output.status.success(), "openssl cannot make a key");
    String::from_utf8(output.stdout).unwrap()
}

/// Bytes in base64url, as tokens have them.
pub(crate) fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// A text that no other call returns.
pub(crate) fn random_text() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).unwrap();
    base64(&bytes)
}
