//! Signatures of webhooks, as the specification Standard Webhooks 1.0.0 defines them.

use std::fmt;
use std::str::FromStr;

use base64_simd::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::{InvalidSetting, Timestamp};

/// The beginning of a secret.
const PREFIX: &str = "whsec_";

/// The key that signs webhooks.
#[derive(Clone)]
pub struct WebhookSecret(Hmac<Sha256>);

impl WebhookSecret {
    /// Parses `whsec_` followed by 24 to 64 bytes in base64.
    ///
    /// # Errors
    /// When it is nothing of the kind. The message does not contain the text.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let bytes = text.strip_prefix(PREFIX).and_then(|text| STANDARD.decode_to_vec(text).ok());
        match bytes {
            Some(bytes) if (24..=64).contains(&bytes.len()) => {
                Ok(Self(Hmac::new_from_slice(&bytes).expect("HMAC takes a key of any length")))
            }
            _ => Err(InvalidSetting::new(
                "must be whsec_ followed by 24 to 64 random bytes in base64, as from `openssl rand -base64 32`",
            )),
        }
    }

    /// The signature of a webhook with this id, sent at this time: an item of the header `webhook-signature`.
    pub fn sign(&self, id: Uuid, sent_at: Timestamp, body: &str) -> String {
        let mac = self.0.clone().chain_update(format!("{id}.{}.{body}", sent_at.unix_seconds()));
        format!("v1,{}", STANDARD.encode_to_string(mac.finalize().into_bytes()))
    }
}

impl FromStr for WebhookSecret {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

/// Redacted.
impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the package `standardwebhooks` 1.1.0 of PyPI:
    /// `Webhook(secret).sign(id, datetime.fromtimestamp(1_800_000_000, timezone.utc), body)`.
    #[test]
    fn a_signature_is_that_of_the_reference_implementation() {
        let secret = WebhookSecret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let id = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let signature = secret.sign(id, Timestamp::from_unix_seconds(1_800_000_000), r#"{"type":"user_created"}"#);
        assert_eq!(signature, "v1,VCT+lz7bzIQi6aWUe0VhaLUO+U4mELSMwuNE6pTyXuw=");
    }

    #[test]
    fn a_secret_has_24_to_64_bytes_in_base64_and_is_never_printed() {
        let secret = |bytes: usize| format!("whsec_{}", STANDARD.encode_to_string(vec![7; bytes]));
        for good in [secret(24), secret(32), secret(64)] {
            assert!(WebhookSecret::parse(&good).is_ok(), "{good}");
        }
        for bad in [
            "".to_owned(),
            "whsec_".to_owned(),
            secret(23),
            secret(65),
            secret(32).replace("whsec_", ""),
            secret(32).replace('=', ""),
            secret(32).replace("whsec_", "whsec_ "),
            format!("whsec_{}", "-_".repeat(20)),
        ] {
            let error = WebhookSecret::parse(&bad).unwrap_err().to_string();
            assert!(bad.len() < 20 || !error.contains(&bad[6..]), "{bad}: {error}");
        }
        assert_eq!(format!("{:?}", WebhookSecret::parse(&secret(32)).unwrap()), "WebhookSecret(…)");
    }
}
