//! The device cookie: a signed record of the accounts that have signed in in a browser.
//!
//! Attempts from a browser with the cookie are counted apart from those of other browsers. So an attacker who guesses cannot
//! lock out the owner (OWASP, "Slow Down Online Guessing Attacks with Device Cookies"). The cookie does not sign a user in.
//!
//! A token has 69 bytes, sent as 92 characters of base64url (RFC 4648 §5). A cookie holds one token for each account, the
//! latest first, separated by full stops.
//!
//! ```text
//! 0 version │ 1 key id │ 5 user id │ 21 device id │ 29 expires at │ 37 tag
//! ```
//!
//! Integers are big-endian. The tag is HMAC-SHA-256 over everything before it, under a key for this purpose alone. As 69 is
//! divisible by 3, a token has exactly one spelling.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::keyring::{KeyRing, KeyRingError, Purpose, SecretKey};
use crate::token::field;
use crate::{Timestamp, UserId};

const VERSION: u8 = 1;
const SIGNED_BYTES: usize = 37;
const TOKEN_BYTES: usize = 69;
const TEXT_CHARACTERS: usize = 92;
const SEPARATOR: char = '.';

/// The id of a browser in which a user has signed in. The attempts of the browser are counted by it; it is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceId([u8; 8]);

impl DeviceId {
    /// The id made of these random bytes.
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// Issues and reads device cookies.
pub struct DeviceTokens {
    ring: KeyRing,
    compared: AtomicU64,
}

impl DeviceTokens {
    /// How long a device is known after its last sign-in.
    pub const LIFETIME: Duration = Duration::from_secs(365 * 86_400);

    /// The most accounts that a cookie remembers, as more people rarely share a browser.
    pub const MAX_ACCOUNTS: usize = 4;

    /// Device cookies under keys that are derived from these secrets.
    ///
    /// # Errors
    /// When two of the secrets are the same.
    pub fn new(current: &SecretKey, fallbacks: &[SecretKey]) -> Result<Self, KeyRingError> {
        Ok(Self { ring: KeyRing::new(Purpose::Device, current, fallbacks)?, compared: AtomicU64::new(0) })
    }

    /// The valid claims of a cookie about accounts that have signed in in its browser. The cookie is opened before any account
    /// is looked up, so that the time it takes reveals nothing about one.
    pub fn open(&self, cookie: &str, now: Timestamp) -> KnownDevices {
        KnownDevices(self.valid_claims(cookie, now).map(|(known, _)| known).collect())
    }

    /// How many tags have been compared so far, as a measure of what cookies cost.
    pub fn compared(&self) -> u64 {
        self.compared.load(Ordering::Relaxed)
    }

    /// The cookie of a browser in which `user_id` has just signed in as the device `device_id`, with credentials that were
    /// changed at `changed_at`. Valid claims about other accounts are kept.
    pub fn remember(
        &self,
        cookie: &str,
        user_id: UserId,
        device_id: DeviceId,
        changed_at: Option<Timestamp>,
        now: Timestamp,
    ) -> String {
        // A token issued within the second of the change may have been earned with the old credentials.
        let issued_at = changed_at.map_or(now, |changed_at| now.max(changed_at.after(Duration::from_secs(1))));
        let newest = self.issue(&DeviceClaims { user_id, device_id, expires_at: issued_at.after(Self::LIFETIME) });
        let others = self.valid_claims(cookie, now).filter(|(known, _)| known.user_id != user_id).map(|(_, text)| text);
        others.take(Self::MAX_ACCOUNTS - 1).fold(newest, |cookie, text| format!("{cookie}{SEPARATOR}{text}"))
    }

    /// The valid claims of a cookie, each with its token. Of a long cookie only the first tokens are read.
    fn valid_claims<'a>(&'a self, cookie: &'a str, now: Timestamp) -> impl Iterator<Item = (DeviceClaims, &'a str)> {
        let texts = cookie.split(SEPARATOR).take(Self::MAX_ACCOUNTS);
        texts.filter_map(move |text| self.open_one(text, now).map(|known| (known, text)))
    }

    fn issue(&self, known: &DeviceClaims) -> String {
        let key = self.ring.current();
        let mut bytes = [0; TOKEN_BYTES];
        bytes[0] = VERSION;
        bytes[1..5].copy_from_slice(&key.id());
        bytes[5..21].copy_from_slice(known.user_id.as_uuid().as_bytes());
        bytes[21..29].copy_from_slice(known.device_id.as_bytes());
        bytes[29..37].copy_from_slice(&known.expires_at.unix_seconds().to_be_bytes());
        let tag = key.tag(&bytes[..SIGNED_BYTES]);
        bytes[SIGNED_BYTES..].copy_from_slice(&tag);
        URL_SAFE_NO_PAD.encode_to_string(bytes)
    }

    fn open_one(&self, text: &str, now: Timestamp) -> Option<DeviceClaims> {
        let mut bytes = [0; TOKEN_BYTES];
        if text.len() != TEXT_CHARACTERS {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text.as_bytes(), bytes.as_mut_slice().as_out()).ok()?;
        let key = self.ring.find(field(&bytes, 1)).filter(|_| bytes[0] == VERSION)?;
        self.compared.fetch_add(1, Ordering::Relaxed);
        if !key.verifies(&bytes[..SIGNED_BYTES], &bytes[SIGNED_BYTES..]) {
            return None;
        }
        let expires_at = Timestamp::from_unix_seconds(u64::from_be_bytes(field(&bytes, 29)));
        let user_id = UserId::from_uuid(Uuid::from_bytes(field(&bytes, 5)));
        let known = DeviceClaims { user_id, device_id: DeviceId::from_bytes(field(&bytes, 21)), expires_at };
        (now < expires_at).then_some(known)
    }
}

impl fmt::Debug for DeviceTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceTokens(…)")
    }
}

/// The accounts that have signed in in a browser.
#[derive(Debug, Default)]
pub struct KnownDevices(Vec<DeviceClaims>);

impl KnownDevices {
    /// The device of this account, if the account signed in there after its credentials were last changed: a claim ends with
    /// the credentials that earned it.
    pub fn find(&self, user_id: UserId, changed_at: Option<Timestamp>) -> Option<DeviceId> {
        let known = self.0.iter().find(|known| known.user_id == user_id)?;
        let still_counts = changed_at.is_none_or(|changed_at| known.issued_at() > changed_at);
        still_counts.then_some(known.device_id)
    }
}

/// The claim of one token: in this browser, a user signed in to this account.
#[derive(Debug)]
struct DeviceClaims {
    user_id: UserId,
    device_id: DeviceId,
    expires_at: Timestamp,
}

impl DeviceClaims {
    fn issued_at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.expires_at.unix_seconds().saturating_sub(DeviceTokens::LIFETIME.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claims, SessionSecret, SessionTokens};

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);
    const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
    const OTHER: &str = "9f86d081884c7d659a2feaa0c55ad015";

    fn secret(text: &str) -> SecretKey {
        SecretKey::parse(text).unwrap()
    }

    fn tokens() -> DeviceTokens {
        DeviceTokens::new(&secret(SECRET), &[]).unwrap()
    }

    fn user(number: u8) -> UserId {
        UserId::new(NOW, [number; 10])
    }

    fn device(number: u8) -> DeviceId {
        DeviceId::from_bytes([number; 8])
    }

    fn find(tokens: &DeviceTokens, cookie: &str, user: UserId, now: Timestamp) -> Option<DeviceId> {
        tokens.open(cookie, now).find(user, None)
    }

    #[test]
    fn a_device_cookie_is_void_once_the_credentials_were_changed() {
        let cookie = tokens().remember("", user(1), device(7), None, NOW);
        let changed_at = |at| tokens().open(&cookie, NOW).find(user(1), Some(at));
        assert_eq!(changed_at(Timestamp::from_unix_seconds(NOW.unix_seconds() - 1)), Some(device(7)));
        assert_eq!(changed_at(NOW), None, "it may have been earned earlier in the same second");
        assert_eq!(changed_at(NOW.after(Duration::from_secs(1))), None);
        let anew = tokens().remember(&cookie, user(1), device(7), Some(NOW), NOW);
        assert_eq!(
            tokens().open(&anew, NOW).find(user(1), Some(NOW)),
            Some(device(7)),
            "after a sign-in with the new credentials"
        );
    }

    #[test]
    fn a_device_is_known_for_a_year_after_a_sign_in() {
        let cookie = tokens().remember("", user(1), device(7), None, NOW);
        let last = NOW.after(DeviceTokens::LIFETIME - Duration::from_secs(1));
        assert_eq!(cookie.len(), 92);
        assert_eq!(find(&tokens(), &cookie, user(1), last), Some(device(7)));
        assert_eq!(find(&tokens(), &cookie, user(1), NOW.after(DeviceTokens::LIFETIME)), None);
        assert_eq!(find(&tokens(), &cookie, user(2), NOW), None);
    }

    #[test]
    fn a_device_cookie_remembers_the_last_four_accounts() {
        let cookie = (1..=5)
            .fold(String::new(), |cookie, number| tokens().remember(&cookie, user(number), device(number), None, NOW));
        let known = (1..=5).map(|number| find(&tokens(), &cookie, user(number), NOW));
        assert!(known.eq([None, Some(device(2)), Some(device(3)), Some(device(4)), Some(device(5))]));
        let again = tokens().remember(&cookie, user(3), device(3), None, NOW);
        assert_eq!(again.len(), cookie.len(), "no account is in it twice");
    }

    #[test]
    fn a_forged_device_cookie_is_neither_accepted_nor_kept() {
        let tokens = tokens();
        let cookie = tokens.remember("", user(1), device(7), None, NOW);
        for position in 0..cookie.len() {
            for bit in 0..7 {
                let mut bytes = cookie.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                let changed = String::from_utf8(bytes).unwrap();
                assert_eq!(find(&tokens, &changed, user(1), NOW), None, "{position} {bit}");
            }
        }
        for junk in ["", ".", "....", "x", &cookie[1..], &format!("{cookie}A"), &"A".repeat(92), &"é".repeat(46)] {
            assert_eq!(find(&tokens, junk, user(1), NOW), None, "{junk}");
            assert_eq!(tokens.remember(junk, user(2), device(1), None, NOW).len(), 92);
        }
        let hidden = format!("{}{cookie}", "x.".repeat(DeviceTokens::MAX_ACCOUNTS));
        assert_eq!(find(&tokens, &hidden, user(1), NOW), None, "only the first tokens are read");
    }

    #[test]
    fn a_fallback_key_verifies_a_device_cookie_and_a_removed_key_does_not() {
        let old = tokens().remember("", user(1), device(7), None, NOW);
        let rotated = DeviceTokens::new(&secret(OTHER), &[secret(SECRET)]).unwrap();
        assert_eq!(find(&rotated, &old, user(1), NOW), Some(device(7)));
        assert_eq!(find(&DeviceTokens::new(&secret(OTHER), &[]).unwrap(), &old, user(1), NOW), None);
        assert_ne!(rotated.remember(&old, user(1), device(7), None, NOW), old);
    }

    #[test]
    fn device_cookies_and_session_tokens_are_not_interchangeable() {
        let sessions = SessionTokens::new(&secret(SECRET), &[]).unwrap();
        let claims = Claims {
            user_id: user(1),
            session_secret: SessionSecret::from_bytes([9; 16]),
            issued_at: NOW,
            expires_at: NOW.after(Duration::from_secs(60)),
            remembered: true,
        };
        let session = sessions.issue(&claims);
        assert_eq!(find(&tokens(), session.expose(), user(1), NOW), None);
        assert_eq!(find(&tokens(), &session.expose()[..92], user(1), NOW), None);
        assert!(sessions.open(&tokens().remember("", user(1), device(7), None, NOW), NOW).is_err());
        let ring = |purpose| KeyRing::new(purpose, &secret(SECRET), &[]).unwrap();
        assert_ne!(ring(Purpose::Device).current().id(), ring(Purpose::Session).current().id());
    }

    #[test]
    fn a_device_cookie_matches_the_golden_vector() {
        let user = UserId::from_uuid("019aaf3c-5c00-7a11-8b22-c33d44e55f66".parse().unwrap());
        let cookie = tokens().remember("", user, DeviceId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7]), None, NOW);
        assert_eq!(cookie, GOLDEN);
    }

    /// Printed by golden_token.py, which shares no code with this crate.
    const GOLDEN: &str = "Ad0j-XMBmq88XAB6EYsiwz1E5V9mAAECAwQFBgcAAAAAbSsFgHM8gW9b2rBlGmoO8vG6NZy2mpMDDIjbJaGK43DXhiZ3";

    #[test]
    fn device_keys_are_not_printed() {
        assert_eq!(format!("{:?}", tokens()), "DeviceTokens(…)");
    }
}
