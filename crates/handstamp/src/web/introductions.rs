use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use axum::http::header::{CONTENT_LENGTH, COOKIE, HeaderName, InvalidHeaderValue};
use axum::http::{HeaderMap, HeaderValue};
use handstamp_core::{SessionIdHash, Timestamp};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use quick_cache::sync::Cache;

use super::Site;
use super::headers::{NOT_YET, REQUEST_ID};
use crate::sessions::Session;
use crate::store::User;

/// So many introductions are kept, of some 2,500 bytes each.
const KEPT: usize = 10_000;
/// An assertion is signed anew when the clock comes to the next of these, in seconds: so it holds for as long at least.
const SLOT: u64 = 30;

const USER: HeaderName = HeaderName::from_static("remote-user");
const NAME: HeaderName = HeaderName::from_static("remote-name");
const EMAIL: HeaderName = HeaderName::from_static("remote-email");
const GROUPS: HeaderName = HeaderName::from_static("remote-groups");
const ASSERTION: HeaderName = HeaderName::from_static("handstamp-assertion");

/// What an app is told in headers is visible ASCII and spaces; all else, and the percent sign, is percent-encoded as UTF-8
/// (RFC 3986 §2.1).
const IDENTITY: &AsciiSet = &CONTROLS.add(b'%');

/// Tells apps who somebody is. To sign an assertion costs as much as all the rest of a request, so the headers are made once
/// for a session, an origin and half a minute.
pub(crate) struct Introductions(Cache<(SessionIdHash, u64), Arc<Introduction>>);

/// What an app is told, and of whom, which app and when it was signed.
struct Introduction {
    user: User,
    audience: Box<str>,
    slot: Timestamp,
    headers: HeaderMap,
}

impl Introductions {
    pub(crate) fn new() -> Self {
        Self(Cache::new(KEPT))
    }

    /// The headers that tell the app of this origin who has the session, with an assertion that it can verify for half a
    /// minute or longer. Each is there, empty if need be: a proxy that copies a header overwrites what the client may have
    /// sent under its name.
    ///
    /// # Errors
    /// When what somebody is called does not go into a header.
    pub(super) fn of(&self, session: &Session, audience: &str, site: &Site) -> Result<HeaderMap, InvalidHeaderValue> {
        let slot = Timestamp::from_unix_seconds(site.accounts.sessions.now().unix_seconds() / SLOT * SLOT);
        let mut hasher = DefaultHasher::new();
        audience.hash(&mut hasher);
        let key = (session.id_hash, hasher.finish());
        if let Some(kept) = self.0.get(&key)
            && kept.slot == slot
            && *kept.audience == *audience
            && kept.user.is_same_reading(&session.user)
        {
            return Ok(kept.headers.clone());
        }
        let user = session.user.clone();
        let headers = introduce(&user, audience, slot, site)?;
        let introduction = Introduction { user, audience: audience.into(), slot, headers: headers.clone() };
        self.0.insert(key, Arc::new(introduction));
        Ok(headers)
    }
}

/// The same headers for the request of a stranger: each is there and empty, so that none that the client may have sent is left.
pub(super) fn of_a_stranger(site: &Site) -> HeaderMap {
    let mut headers = site.headers.copy();
    headers.extend([USER, NAME, EMAIL, GROUPS, ASSERTION].map(|name| (name, HeaderValue::from_static(""))));
    headers
}

fn introduce(user: &User, audience: &str, slot: Timestamp, site: &Site) -> Result<HeaderMap, InvalidHeaderValue> {
    let encoded = |text| utf8_percent_encode(text, IDENTITY).to_string();
    let mut headers = site.headers.copy();
    headers.insert(USER, user.id.to_string().try_into()?);
    headers.insert(NAME, encoded(user.name()).try_into()?);
    headers.insert(EMAIL, encoded(user.email()).try_into()?);
    headers.insert(GROUPS, user.groups().try_into()?);
    headers.insert(ASSERTION, site.accounts.assertions.sign(user, audience, slot).try_into()?);
    // What else the response will have, as a copied map has no room, and would be moved to get some.
    headers.insert(CONTENT_LENGTH, 0.into());
    headers.extend([(COOKIE, NOT_YET), (REQUEST_ID, NOT_YET)]);
    Ok(headers)
}
