//! An attempt at a provider: its state, which the provider gives back with its answer.
//!
//! The state is sealed, and bound to the provider and to a secret in a cookie of the browser. So an attempt costs no statement, any number
//! of tabs can try at once, and an answer is accepted only in the browser that asked. The verifier of PKCE and the nonce are derived from the
//! secret of the browser, so they are not known to those who see the state in a URL. The act that an attempt allows records its id, so it
//! allows one.

use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use handstamp_core::{Sealer, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::refusal::Refusal;
use crate::environment::Environment;
use crate::model::{CeremonyId, UsedCeremony};

/// How long an attempt can be completed.
pub(super) const VALIDITY: Duration = Duration::from_secs(600);
/// The longest return URL that a state has. State, code and a few more parameters have to fit into a URL.
const LONGEST_NEXT: usize = 1024;
const SECRET_BYTES: usize = 32;

/// The purpose of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    SignIn,
    /// To connect the identity with the user of the session with this id.
    Connect(Uuid),
    /// To authenticate again in the session with this id.
    Confirm(Uuid),
}

/// The secret that binds attempts to a browser: the value of its cookie.
pub(crate) struct AttemptSecret(String);

impl AttemptSecret {
    /// The secret of a cookie, or a new one where it is none. All attempts of a browser share it.
    pub(super) fn of(presented: &str, environment: &Environment) -> Self {
        let decoded = URL_SAFE_NO_PAD.decode_to_vec(presented);
        if decoded.is_ok_and(|bytes| bytes.len() == SECRET_BYTES) {
            return Self(presented.to_owned());
        }
        Self(URL_SAFE_NO_PAD.encode_to_string(environment.random::<SECRET_BYTES>()))
    }

    /// The value of the cookie.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

#[derive(Serialize, Deserialize)]
struct State {
    id: Uuid,
    purpose: Purpose,
    next: Option<String>,
    began_at: u64,
}

/// An attempt that begins, or was opened.
pub(super) struct Attempt {
    pub(super) used: UsedCeremony,
    pub(super) purpose: Purpose,
    /// The return URL as it was sealed, to be parsed again.
    pub(super) next: Option<String>,
    /// The verifier of PKCE (RFC 7636).
    pub(super) verifier: String,
    pub(super) nonce: String,
}

impl Attempt {
    /// Begins an attempt, and seals its state.
    pub(super) fn begin(
        environment: &Environment,
        sealer: &Sealer,
        provider: &str,
        secret: &AttemptSecret,
        purpose: Purpose,
        next: Option<&str>,
    ) -> (Self, String) {
        let (id, now) = (uuid::Builder::from_random_bytes(environment.random()).into_uuid(), environment.now());
        let next = next.filter(|next| next.len() <= LONGEST_NEXT).map(str::to_owned);
        let state = State { id, purpose, next, began_at: now.unix_seconds() };
        let text = serde_json::to_vec(&state).expect("ids and texts are JSON");
        let sealed = sealer.seal(&environment.random(), &text, &seal_context(provider, &secret.0));
        (Self::of(state, &secret.0), URL_SAFE_NO_PAD.encode_to_string(sealed))
    }

    /// Opens the state of an answer to this browser from this provider.
    pub(super) fn open(
        sealer: &Sealer,
        provider: &str,
        presented_secret: &str,
        state: &str,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        if presented_secret.is_empty() {
            return Err(Refusal::State);
        }
        let sealed = URL_SAFE_NO_PAD.decode_to_vec(state).map_err(|_| Refusal::State)?;
        let opened = sealer.open(&sealed, &seal_context(provider, presented_secret)).ok_or(Refusal::State)?;
        let state = serde_json::from_slice(&opened.value).map_err(|_| Refusal::State)?;
        let attempt = Self::of(state, presented_secret);
        if now >= attempt.used.expires_at { Err(Refusal::State) } else { Ok(attempt) }
    }

    fn of(state: State, secret: &str) -> Self {
        let State { id, purpose, next, began_at } = state;
        let began_at = Timestamp::from_unix_seconds(began_at);
        let derive = |what: &str| {
            let hash = Sha256::new().chain_update(what).chain_update(id.as_bytes()).chain_update(secret);
            URL_SAFE_NO_PAD.encode_to_string(hash.finalize())
        };
        let used = UsedCeremony { id: CeremonyId(id.into_bytes()), began_at, expires_at: began_at.after(VALIDITY) };
        Self { used, purpose, next, verifier: derive("verifier"), nonce: derive("nonce") }
    }
}

fn seal_context(provider: &str, secret: &str) -> Vec<u8> {
    format!("attempt\n{provider}\n{secret}").into_bytes()
}

/// A link of a page for a signed-in user, which begins an attempt for more than a sign-in. It is bound to the session, so another site
/// cannot make a browser follow it.
#[derive(Serialize, Deserialize)]
struct Start {
    purpose: Purpose,
    expires_at: u64,
}

/// Seals the parameter `start` of such a link.
pub(super) fn seal_start(environment: &Environment, sealer: &Sealer, provider: &str, purpose: Purpose) -> String {
    let expires_at = environment.now().after(VALIDITY).unix_seconds();
    let text = serde_json::to_vec(&Start { purpose, expires_at }).expect("ids are JSON");
    let sealed = sealer.seal(&environment.random(), &text, &start_context(provider));
    URL_SAFE_NO_PAD.encode_to_string(sealed)
}

/// The purpose of such a link. None if it is none of ours, or has expired.
pub(super) fn open_start(sealer: &Sealer, provider: &str, start: &str, now: Timestamp) -> Option<Purpose> {
    let sealed = URL_SAFE_NO_PAD.decode_to_vec(start).ok()?;
    let opened = sealer.open(&sealed, &start_context(provider))?;
    let Start { purpose, expires_at } = serde_json::from_slice(&opened.value).ok()?;
    (now < Timestamp::from_unix_seconds(expires_at)).then_some(purpose)
}

fn start_context(provider: &str) -> Vec<u8> {
    format!("start\n{provider}").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use handstamp_core::SecretKey;

    use super::*;
    use crate::environment::ManualClock;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn parts() -> (Environment, Sealer) {
        let environment = Environment { clock: Arc::new(ManualClock::new(NOW)), ..Environment::system() };
        let key = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
        (environment, Sealer::for_federation(&key, &[]).unwrap())
    }

    #[test]
    fn an_attempt_opens_in_its_browser_at_its_provider_and_for_ten_minutes() {
        let (environment, sealer) = parts();
        let secret = AttemptSecret::of("", &environment);
        let (begun, state) = Attempt::begin(&environment, &sealer, "google", &secret, Purpose::SignIn, Some("/notes"));
        let open = |provider, secret: &str, now| Attempt::open(&sealer, provider, secret, &state, now);
        let opened = open("google", secret.expose(), NOW).ok().unwrap();
        assert_eq!((opened.purpose, opened.next.as_deref()), (Purpose::SignIn, Some("/notes")));
        assert_eq!((&opened.verifier, &opened.nonce), (&begun.verifier, &begun.nonce));
        assert!(opened.verifier.len() >= 43, "RFC 7636, section 4.1");
        let other = AttemptSecret::of("", &environment);
        let last = NOW.after(VALIDITY - Duration::from_secs(1));
        assert!(open("google", secret.expose(), last).is_ok());
        assert!(open("google", secret.expose(), NOW.after(VALIDITY)).is_err(), "it has expired");
        assert!(open("gitlab", secret.expose(), NOW).is_err(), "it is of another provider");
        assert!(open("google", other.expose(), NOW).is_err(), "it began in another browser");
        assert!(open("google", "", NOW).is_err(), "the browser has no cookie");
        assert!(open_start(&sealer, "google", &state, NOW).is_none());
    }

    #[test]
    fn attempts_of_a_browser_share_its_secret_and_nothing_else() {
        let (environment, sealer) = parts();
        let secret = AttemptSecret::of("", &environment);
        assert_eq!(AttemptSecret::of(secret.expose(), &environment).expose(), secret.expose());
        for bad in ["short", "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCg=", &"a".repeat(100)] {
            assert_ne!(AttemptSecret::of(bad, &environment).expose(), bad);
        }
        let begin = || Attempt::begin(&environment, &sealer, "google", &secret, Purpose::SignIn, None);
        let ((first, one), (second, two)) = (begin(), begin());
        assert_ne!(one, two);
        assert_ne!((first.verifier, first.nonce), (second.verifier, second.nonce));
    }

    #[test]
    fn a_long_return_url_is_left_out() {
        let (environment, sealer) = parts();
        let secret = AttemptSecret::of("", &environment);
        let longest = format!("/{}", "a".repeat(LONGEST_NEXT - 1));
        let next =
            |next: &str| Attempt::begin(&environment, &sealer, "google", &secret, Purpose::SignIn, Some(next)).0.next;
        assert_eq!(next(&longest), Some(longest.clone()));
        assert_eq!(next(&format!("{longest}a")), None);
    }

    #[test]
    fn a_link_for_a_session_opens_at_its_provider_only() {
        let (environment, sealer) = parts();
        let purpose = Purpose::Connect(Uuid::from_u128(7));
        let start = seal_start(&environment, &sealer, "google", purpose);
        assert_eq!(open_start(&sealer, "google", &start, NOW), Some(purpose));
        assert_eq!(open_start(&sealer, "gitlab", &start, NOW), None);
        assert_eq!(open_start(&sealer, "google", &start, NOW.after(VALIDITY)), None);
        assert_eq!(open_start(&sealer, "google", "", NOW), None);
    }
}
