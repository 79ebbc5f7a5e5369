use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use handstamp_core::{Assertion, AssertionKeys, SessionIdHash, Timestamp};
use quick_cache::sync::Cache;

use crate::config::Config;
use crate::sessions::Session;
use crate::store::User;

/// So many signed assertions are kept, of some 700 bytes each.
const KEPT: usize = 10_000;
/// An assertion is signed anew when the clock comes to the next of these, in seconds: so it holds for as long at least.
const SLOT: u64 = 30;

const SIGNED: &str = "handstamp_assertions_signed_total";

/// Tells apps who somebody is. Signing costs as much as all the rest of a request, so it is done once for a session, an
/// origin and half a minute.
pub(crate) struct Assertions {
    keys: AssertionKeys,
    issuer: String,
    signed: Cache<(SessionIdHash, u64), Arc<Signed>>,
}

/// An assertion, and for whom, for which app and when it was signed.
struct Signed {
    user: User,
    audience: Box<str>,
    slot: Timestamp,
    text: Arc<str>,
}

impl Assertions {
    pub(crate) fn new(config: &Config) -> Self {
        metrics::describe_counter!(SIGNED, "Assertions that were signed");
        Self {
            keys: AssertionKeys::new(&config.secret_key, &config.secret_key_fallbacks),
            issuer: config.public_url.to_string(),
            signed: Cache::new(KEPT),
        }
    }

    /// Who has this session, in words that the app of this origin can verify for half a minute or longer.
    pub(crate) fn of(&self, session: &Session, audience: &str, now: Timestamp) -> Arc<str> {
        let slot = Timestamp::from_unix_seconds(now.unix_seconds() / SLOT * SLOT);
        let mut hasher = DefaultHasher::new();
        audience.hash(&mut hasher);
        let key = (session.id_hash, hasher.finish());
        if let Some(kept) = self.signed.get(&key)
            && kept.slot == slot
            && *kept.audience == *audience
            && kept.user.is_same_reading(&session.user)
        {
            return Arc::clone(&kept.text);
        }
        let user = session.user.clone();
        let text: Arc<str> = self.sign(&user, audience, slot).into();
        self.signed.insert(key, Arc::new(Signed { user, audience: audience.into(), slot, text: Arc::clone(&text) }));
        text
    }

    fn sign(&self, user: &User, audience: &str, issued_at: Timestamp) -> String {
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
