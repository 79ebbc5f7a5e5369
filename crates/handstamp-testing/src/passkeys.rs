//! An authenticator of passkeys in software, with the part of a browser that speaks to it.
//!
//! Unlike the `SoftPasskey` of webauthn-rs it can have a synced passkey, whose signature counter stays at zero.

use std::fs::File;
use std::io::Read;

use base64_simd::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
/// Backup eligibility and backup state.
const SYNCED: u8 = 0x08 | 0x10;
const HAS_CREDENTIAL: u8 = 0x40;

/// An authenticator with passkeys for one site. It always verifies its user, as by a fingerprint.
///
/// Its methods panic on options that a browser would not take.
pub struct PasskeyAuthenticator {
    /// The origin of the page that asks.
    origin: String,
    passkeys: Vec<Passkey>,
    /// None for one whose passkeys are synced.
    counter: Option<u32>,
}

struct Passkey {
    /// In base64url, as in JSON.
    id: String,
    /// The id of the user, in base64url.
    user: Value,
    key: SigningKey,
}

impl PasskeyAuthenticator {
    /// An authenticator whose passkeys stay on one device. It counts its signatures.
    pub fn device_bound(origin: &str) -> Self {
        Self { origin: origin.to_owned(), passkeys: Vec::new(), counter: Some(0) }
    }

    /// An authenticator whose passkeys are synced between devices. It counts nothing.
    pub fn synced(origin: &str) -> Self {
        Self { counter: None, ..Self::device_bound(origin) }
    }

    /// Makes a passkey by the options of the server: what `navigator.credentials.create()` gives, as JSON.
    pub fn makes(&mut self, options: &Value) -> Value {
        let options = &options["publicKey"];
        let (id, key) = (random(), SigningKey::from_slice(&random()).expect("a number this great is improbable"));
        let mut data = self.authenticator_data(&options["rp"]["id"], HAS_CREDENTIAL);
        // The model of the authenticator, which is unknown, and the length of the id.
        data.extend([0; 16]);
        data.extend([0, 32]);
        data.extend(id);
        data.extend(cose_key(&key));
        let client_data = self.client_data("webauthn.create", &options["challenge"]);
        let id = URL_SAFE_NO_PAD.encode_to_string(id);
        let passkey = Passkey { id: id.clone(), user: options["user"]["id"].clone(), key };
        self.passkeys.push(passkey);
        json!({
            "type": "public-key", "id": id, "rawId": id, "clientExtensionResults": {},
            "response": {
                "attestationObject": URL_SAFE_NO_PAD.encode_to_string(attestation_object(&data)),
                "clientDataJSON": URL_SAFE_NO_PAD.encode_to_string(client_data),
                "transports": ["internal"],
            },
        })
    }

    /// Uses a passkey by the options of the server: what `navigator.credentials.get()` gives, as JSON.
    pub fn uses(&mut self, options: &Value) -> Value {
        let options = &options["publicKey"];
        self.counter = self.counter.map(|counter| counter + 1);
        let data = self.authenticator_data(&options["rpId"], 0);
        let client_data = self.client_data("webauthn.get", &options["challenge"]);
        let allowed = options["allowCredentials"].as_array().expect("options have a list");
        let is_allowed =
            |passkey: &&Passkey| allowed.is_empty() || allowed.iter().any(|one| one["id"] == passkey.id.as_str());
        let passkey = self.passkeys.iter().find(is_allowed).expect("one of the passkeys is asked for");
        let signed = [data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature: Signature = passkey.key.sign(&signed);
        json!({
            "type": "public-key", "id": passkey.id, "rawId": passkey.id, "clientExtensionResults": {},
            "response": {
                "authenticatorData": URL_SAFE_NO_PAD.encode_to_string(data),
                "clientDataJSON": URL_SAFE_NO_PAD.encode_to_string(client_data),
                "signature": URL_SAFE_NO_PAD.encode_to_string(signature.to_der()),
                "userHandle": passkey.user,
            },
        })
    }

    /// The beginning of the authenticator data (WebAuthn Level 3, 6.1).
    fn authenticator_data(&self, rp_id: &Value, flags: u8) -> Vec<u8> {
        let rp_id = rp_id.as_str().expect("options have a relying party");
        let synced = if self.counter.is_none() { SYNCED } else { 0 };
        let flags = flags | USER_PRESENT | USER_VERIFIED | synced;
        let counter = self.counter.unwrap_or(0).to_be_bytes();
        [Sha256::digest(rp_id).as_slice(), &[flags], &counter].concat()
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> String {
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false }).to_string()
    }
}

/// A public key in CBOR (RFC 9052 and 9053): ES256 on the curve P-256.
fn cose_key(key: &SigningKey) -> Vec<u8> {
    let point = key.verifying_key().to_sec1_point(false);
    let (x, y) = (point.x().expect("it is not at infinity"), point.y().expect("it is not compressed"));
    let heads: [&[u8]; 2] = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], &[0x22, 0x58, 32]];
    [heads[0], x, heads[1], y].concat()
}

/// An attestation object in CBOR, without an attestation.
fn attestation_object(authenticator_data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(authenticator_data.len()).expect("the data of one passkey is short");
    let head = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58";
    [head.as_slice(), &[length], authenticator_data].concat()
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("Linux has randomness");
    bytes
}
