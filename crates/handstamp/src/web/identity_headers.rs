//! The identity headers that tell an app behind a proxy which user a request comes from, and their cache.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::http::header::{CONTENT_LENGTH, COOKIE, HeaderName, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderValue};
use handstamp_core::{GroupName, SessionSecretHash, Timestamp};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Site;
use super::headers::{PLACEHOLDER, REQUEST_ID};
use super::urls::Origin;
use crate::events::Event;
use crate::log::OnceAMinute;
use crate::model::SessionUser;
use crate::sessions::Session;

/// The capacity of the cache in entries of the usual size; of larger entries it keeps fewer.
const CAPACITY: usize = 10_000;
const USUAL_BYTES: usize = 2_500;
/// The memory of an entry beside its texts: above all the map of its headers.
const BYTES_BESIDE_TEXTS: usize = 2_000;
/// Assertions are signed again at each multiple of this, in seconds; so a cached one stays valid for at least as long.
const REFRESH_SECONDS: u64 = 30;

const USER: HeaderName = HeaderName::from_static("remote-user");
const NAME: HeaderName = HeaderName::from_static("remote-name");
const EMAIL: HeaderName = HeaderName::from_static("remote-email");
const GROUPS: HeaderName = HeaderName::from_static("remote-groups");
const ASSERTION: HeaderName = HeaderName::from_static("handstamp-assertion");

/// All of them.
pub(super) const ALL: [HeaderName; 5] = [USER, NAME, EMAIL, GROUPS, ASSERTION];

/// The values of identity headers are visible ASCII and spaces. Everything else, and the percent sign, is percent-encoded as
/// UTF-8 (RFC 3986 §2.1).
const IDENTITY: &AsciiSet = &CONTROLS.add(b'%');

/// The cache of identity headers. Signing an assertion costs as much as the rest of a request. So the headers are built once for
/// a session, an origin with its required groups, and half a minute.
pub(crate) struct IdentityHeaderCache {
    kept: Cache<(SessionSecretHash, u64), Arc<CachedHeaders>, Bytes>,
    refused: OnceAMinute,
}

/// The identity headers for an app, with the inputs that they depend on.
struct CachedHeaders {
    user: SessionUser,
    audience: Box<str>,
    required_groups: Box<[GroupName]>,
    slot: Timestamp,
    headers: HeaderMap,
}

/// Weighs entries by their bytes, since a client can make origins and groups long.
#[derive(Clone)]
struct Bytes;

impl<K> Weighter<K, Arc<CachedHeaders>> for Bytes {
    fn weight(&self, _: &K, kept: &Arc<CachedHeaders>) -> u64 {
        let groups: usize = kept.required_groups.iter().map(|group| group.as_str().len()).sum();
        let headers: usize = kept.headers.values().map(HeaderValue::len).sum();
        let texts = headers + kept.audience.len() + groups + kept.user.text_bytes();
        u64::try_from(BYTES_BESIDE_TEXTS + texts).unwrap_or(u64::MAX)
    }
}

impl IdentityHeaderCache {
    pub(crate) fn new() -> Self {
        let kept = Cache::with_weighter(CAPACITY, (CAPACITY * USUAL_BYTES) as u64, Bytes);
        Self { kept, refused: OnceAMinute::default() }
    }

    /// The identity headers for the app at this origin, with an assertion that it can verify for at least half a minute. Every
    /// header is present, if need be empty: a proxy that copies a header overwrites one that the client may have sent under its
    /// name.
    ///
    /// For an origin of another site the assertion is empty and nothing is cached. Otherwise a client that reaches `/auth/…`
    /// could get an assertion for any app.
    ///
    /// # Errors
    /// When a value of the user is not a valid header value.
    pub(super) fn get_or_sign(
        &self,
        session: &Session,
        origin: &Origin,
        required_groups: &[GroupName],
        site: &Site,
    ) -> Result<HeaderMap, InvalidHeaderValue> {
        let slot = Timestamp::from_unix_seconds(
            site.services.sessions.now().unix_seconds() / REFRESH_SECONDS * REFRESH_SECONDS,
        );
        let audience = origin.as_str();
        let mut hasher = DefaultHasher::new();
        (audience, required_groups).hash(&mut hasher);
        let key = (session.secret_hash, hasher.finish());
        if let Some(kept) = self.kept.get(&key)
            && kept.slot == slot
            && *kept.audience == *audience
            && *kept.required_groups == *required_groups
            && kept.user.same_snapshot(&session.user)
        {
            return Ok(kept.headers.clone());
        }
        if !site.urls.serves(origin) {
            self.log_refusal(origin, site);
            return identity_headers(session, String::new(), site);
        }
        let assertion = site.services.assertions.sign(session, audience, required_groups, slot);
        let headers = identity_headers(session, assertion, site)?;
        let cached = CachedHeaders {
            user: session.user.clone(),
            audience: audience.into(),
            required_groups: required_groups.into(),
            slot,
            headers: headers.clone(),
        };
        self.kept.insert(key, Arc::new(cached));
        Ok(headers)
    }

    fn log_refusal(&self, origin: &Origin, site: &Site) {
        if let Some(unsaid) = self.refused.is_due(site.services.environment.clock_reading().monotonic) {
            Event::AssertionRefused { origin: origin.as_str(), unsaid }.record();
        }
    }
}

/// The identity headers of an anonymous visitor: all present and empty, so that none that the client may have sent is left.
pub(super) fn anonymous_identity_headers(site: &Site) -> HeaderMap {
    let mut headers = site.headers.copy();
    headers.extend(ALL.map(|name| (name, HeaderValue::from_static(""))));
    headers
}

fn identity_headers(session: &Session, assertion: String, site: &Site) -> Result<HeaderMap, InvalidHeaderValue> {
    let encoded = |text| utf8_percent_encode(text, IDENTITY).to_string();
    let user = &session.user;
    let email = site.services.assertions.email_of(session).unwrap_or_default();
    let mut headers = site.headers.copy();
    headers.insert(USER, user.id.to_string().try_into()?);
    headers.insert(NAME, encoded(user.name()).try_into()?);
    headers.insert(EMAIL, encoded(email).try_into()?);
    headers.insert(GROUPS, user.groups().try_into()?);
    headers.insert(ASSERTION, assertion.try_into()?);
    // Reserves the slots of the headers that the response adds, so that the cloned map never reallocates.
    headers.insert(CONTENT_LENGTH, 0.into());
    headers.extend([(COOKIE, PLACEHOLDER), (REQUEST_ID, PLACEHOLDER)]);
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use handstamp_core::UserId;
    use uuid::Uuid;

    use super::*;

    /// A cache entry whose assertion has this many characters.
    fn of_length(assertion: usize) -> Arc<CachedHeaders> {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let user = SessionUser::new(UserId::from_uuid(Uuid::nil()), "Ada", "ada@example.com", "", now);
        let headers = HeaderMap::from_iter([(ASSERTION, "a".repeat(assertion).try_into().unwrap())]);
        Arc::new(CachedHeaders { user, audience: "".into(), required_groups: [].into(), slot: now, headers })
    }

    #[test]
    fn the_identity_header_cache_is_bounded_by_bytes() {
        for (length, most) in
            [(USUAL_BYTES - BYTES_BESIDE_TEXTS - "Adaada@example.com".len(), CAPACITY), (20_000, CAPACITY / 8)]
        {
            let cache = IdentityHeaderCache::new();
            for number in 0..2 * CAPACITY as u64 {
                cache.kept.insert((SessionSecretHash::from_bytes([0; 32]), number), of_length(length));
            }
            let kept = cache.kept.len();
            assert!(kept <= most && kept > most * 8 / 10, "{kept} of {length} characters");
        }
    }
}
