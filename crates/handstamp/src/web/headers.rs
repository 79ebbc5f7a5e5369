//! The security and cache headers of every response.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};

use super::Urls;
use crate::config::Config;

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// Keeps account pages out of search engines.
const ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Reserves the slot of a header whose value is set later.
pub(super) const PLACEHOLDER: HeaderValue = HeaderValue::from_static("");

/// The capacity of a header map: at least the number of headers of any response.
const CAPACITY: usize = 20;

/// In seconds. Without `includeSubDomains`, since an account page must not decide for other hosts of the domain.
const TWO_YEARS: &str = "max-age=63072000";

/// The security and cache headers of every response.
pub(crate) struct SecurityHeaders {
    all: HeaderMap,
    /// The same plus the headers that every page adds, so that the cloned map never reallocates.
    for_html: HeaderMap,
}

impl SecurityHeaders {
    pub(crate) fn new(config: &Config, urls: &Urls) -> Self {
        let careful = [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            // Not no-referrer: browsers would then send `Origin: null` with our own forms.
            (REFERRER_POLICY, "same-origin"),
            (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
            (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        ];
        let security = config.public_url.is_https().then_some((STRICT_TRANSPORT_SECURITY, TWO_YEARS));
        let all = careful.into_iter().chain(security).map(|(name, value)| (name, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::with_capacity(CAPACITY);
        headers.extend(all.chain([(CONTENT_SECURITY_POLICY, urls.content_security_policy())]));
        set_no_store(&mut headers);
        let mut for_html = headers.clone();
        for_html.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        for_html.insert(ROBOTS_TAG, HeaderValue::from_static("noindex"));
        for_html.extend([(CONTENT_LENGTH, PLACEHOLDER), (REQUEST_ID, PLACEHOLDER)]);
        Self { all: headers, for_html }
    }

    /// The initial headers of a response that must not be cached. Cloning them takes a third of the instructions of inserting
    /// them one by one.
    pub(super) fn copy(&self) -> HeaderMap {
        self.all.clone()
    }

    /// The same for an HTML page of `length` bytes.
    pub(super) fn for_html(&self, length: usize) -> HeaderMap {
        let mut headers = self.for_html.clone();
        headers.insert(CONTENT_LENGTH, length.into());
        headers
    }

    /// Adds the headers to a response that was not built from a clone of them.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        if headers.contains_key(X_CONTENT_TYPE_OPTIONS) {
            return;
        }
        for (name, value) in &self.all {
            if *name != CACHE_CONTROL && *name != VARY {
                headers.insert(name, value.clone());
            }
        }
        set_no_store(headers);
    }
}

/// Sets `no-store` and `Vary: Cookie`, since a response depends on the session cookie. A handler that allows caching has set
/// `Cache-Control` itself.
pub(super) fn set_no_store(headers: &mut HeaderMap) {
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("Cookie"));
    }
}
