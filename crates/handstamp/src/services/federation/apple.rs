//! The client secret of Apple: a token that this site signs with its key for each request.

use base64_simd::URL_SAFE_NO_PAD;
use handstamp_core::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::time::Duration;

use super::refusal::Refusal;
use crate::config::ProviderConfig;

/// How long a client secret is valid. Apple allows half a year; it is made anew for each request.
const VALIDITY: Duration = Duration::from_secs(300);

/// The key of a team at Apple.
pub(super) struct AppleKey {
    team_id: String,
    key_id: String,
    key: EcdsaKeyPair,
}

impl AppleKey {
    /// Reads the key of these settings.
    ///
    /// # Errors
    /// When there is no such file, or it holds no key of P-256.
    pub(super) fn read(config: &ProviderConfig) -> Result<Self, String> {
        let (Some(file), Some(team_id), Some(key_id)) = (&config.key_file, &config.team_id, &config.key_id) else {
            return Err("needs team_id, key_id and key_file".to_owned());
        };
        let key = PrivatePkcs8KeyDer::from_pem_file(file);
        let key = key.map_err(|error| format!("cannot read the key of {}: {error}", file.display()))?;
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_pkcs8_der(), &random);
        let key = key.map_err(|error| format!("the key of {} is not of P-256: {error}", file.display()))?;
        Ok(Self { team_id: team_id.clone(), key_id: key_id.clone(), key })
    }

    /// A client secret for one request.
    pub(super) fn client_secret(&self, audience: &str, client_id: &str, now: Timestamp) -> Result<String, Refusal> {
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode_to_string(value.to_string());
        let header = encoded(&json!({ "alg": "ES256", "kid": self.key_id }));
        let payload = encoded(&json!({
            "iss": self.team_id,
            "iat": now.unix_seconds(),
            "exp": now.after(VALIDITY).unix_seconds(),
            "aud": audience,
            "sub": client_id,
        }));
        let text = format!("{header}.{payload}");
        // A signature takes randomness of its own, which must be unpredictable and cannot be that of a test.
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes());
        let signature = signature.map_err(|_| Refusal::Unavailable("the client secret cannot be signed".to_owned()))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode_to_string(signature)))
    }
}
