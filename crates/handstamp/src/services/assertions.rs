//! Signs the assertions that tell an app behind a proxy who the user is.

use std::sync::OnceLock;
use std::time::Duration;

use handstamp_core::{Assertion, AssertionKeys, GroupName, Timestamp};

use crate::config::Config;
use crate::environment::Environment;
use crate::sessions::Session;

const SIGNED: &str = "handstamp_assertions_signed_total";

/// How long after the start the keys of fallback secrets are published. Sessions need those secrets for a month, assertions
/// only for a minute. An attacker with a leaked secret can sign assertions for as long as its key is published.
const FALLBACKS_FOR: Duration = Duration::from_secs(3600);

/// Signs assertions, and publishes the keys that verify them.
pub(crate) struct Assertions {
    keys: AssertionKeys,
    issuer: String,
    unverified_email: bool,
    environment: Environment,
    /// By the monotonic clock.
    started_at: Duration,
    /// The indexes of the fallbacks that have never signed, as far as is known. A rotation makes one of them the key that signs, so
    /// apps must find it before.
    next: OnceLock<Vec<usize>>,
}

impl Assertions {
    pub(crate) fn new(config: &Config, environment: &Environment) -> Self {
        metrics::describe_counter!(SIGNED, "Assertions that were signed");
        Self {
            keys: AssertionKeys::new(&config.secret_key, &config.secret_key_fallbacks),
            issuer: config.public_url.to_string(),
            unverified_email: config.forward_auth.unverified_email,
            environment: environment.clone(),
            started_at: environment.clock_reading().monotonic,
            next: OnceLock::new(),
        }
    }

    /// The assertion about the user of this session, for the app of this origin.
    pub(crate) fn sign(
        &self,
        session: &Session,
        audience: &str,
        required_groups: &[GroupName],
        issued_at: Timestamp,
    ) -> String {
        metrics::counter!(SIGNED).increment(1);
        let user = &session.user;
        self.keys.issue(&Assertion {
            issuer: &self.issuer,
            audience,
            user_id: user.id,
            name: user.name(),
            session_id: session.session_id,
            authentication: session.authentication,
            email: self.email_of(session),
            email_verified: user.email_verified,
            groups: user.groups(),
            legacy_id: user.legacy_id(),
            required_groups,
            issued_at,
        })
    }

    /// The address that apps receive. An unverified one is left out, since users can register with any address.
    pub(crate) fn email_of<'a>(&self, session: &'a Session) -> Option<&'a str> {
        let user = &session.user;
        (user.email_verified || self.unverified_email).then(|| user.email())
    }

    /// The keys that verify the assertions, as a JWK set.
    pub(crate) fn published_keys(&self) -> String {
        let running_for = self.environment.clock_reading().monotonic.saturating_sub(self.started_at);
        if running_for < FALLBACKS_FOR {
            return self.keys.jwks_with_fallbacks();
        }
        self.keys.jwks_with(|index| self.next.get().is_some_and(|next| next.contains(&index)))
    }

    /// Notes the fallbacks that had never signed when this node started. Their keys are published for as long as it runs.
    pub(super) fn note_next(&self, next: Vec<usize>) {
        // Only the state at the start counts.
        let _ = self.next.set(next);
    }
}
