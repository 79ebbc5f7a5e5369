use handstamp_core::{Assertion, AssertionKeys, Timestamp};

use crate::config::Config;
use crate::store::User;

const SIGNED: &str = "handstamp_assertions_signed_total";

/// Signs what apps are told of somebody.
pub(crate) struct Assertions {
    keys: AssertionKeys,
    issuer: String,
}

impl Assertions {
    pub(crate) fn new(config: &Config) -> Self {
        metrics::describe_counter!(SIGNED, "Assertions that were signed");
        Self {
            keys: AssertionKeys::new(&config.secret_key, &config.secret_key_fallbacks),
            issuer: config.public_url.to_string(),
        }
    }

    /// Who this is, in words that the app of this origin can verify.
    pub(crate) fn sign(&self, user: &User, audience: &str, issued_at: Timestamp) -> String {
        metrics::counter!(SIGNED).increment(1);
        self.keys.issue(&Assertion {
            issuer: &self.issuer,
            audience,
            user_id: user.id,
            name: user.name(),
            email: user.email(),
            groups: user.groups(),
            issued_at,
        })
    }

    /// The keys that verify them, as a JWK set.
    pub(crate) fn published_keys(&self) -> String {
        self.keys.published()
    }
}
