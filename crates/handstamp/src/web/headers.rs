use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};

use super::Places;
use crate::config::Config;

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// Pages about accounts are nothing to find by a search.
const ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What a header says that is to say something else.
pub(super) const NOT_YET: HeaderValue = HeaderValue::from_static("");

/// As many headers as a response has, or more.
const MOST: usize = 20;

/// In seconds. Without `includeSubDomains`: what other hosts of the domain do is not for an account page to decide.
const TWO_YEARS: &str = "max-age=63072000";

/// What tells browsers and caches to be careful with every response, whatever it is.
pub(crate) struct CarefulHeaders {
    all: HeaderMap,
    /// Those and what else a page has: a copied map has no room, and would be moved to get some.
    of_page: HeaderMap,
}

impl CarefulHeaders {
    pub(crate) fn new(config: &Config, places: &Places) -> Self {
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
        let mut headers = HeaderMap::with_capacity(MOST);
        headers.extend(all.chain([(CONTENT_SECURITY_POLICY, places.policy())]));
        keep_out_of_caches(&mut headers);
        let mut of_page = headers.clone();
        of_page.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        of_page.insert(ROBOTS_TAG, HeaderValue::from_static("noindex"));
        of_page.extend([(CONTENT_LENGTH, NOT_YET), (REQUEST_ID, NOT_YET)]);
        Self { all: headers, of_page }
    }

    /// The headers of a response to begin with that is for this request alone: to copy them takes a third of the instructions
    /// of adding one by one.
    pub(super) fn copy(&self) -> HeaderMap {
        self.all.clone()
    }

    /// The same for a page of so many bytes.
    pub(super) fn of_page(&self, length: usize) -> HeaderMap {
        let mut headers = self.of_page.clone();
        headers.insert(CONTENT_LENGTH, length.into());
        headers
    }

    /// Adds them to those of a response that did not begin with them.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        if headers.contains_key(X_CONTENT_TYPE_OPTIONS) {
            return;
        }
        for (name, value) in &self.all {
            if *name != CACHE_CONTROL && *name != VARY {
                headers.insert(name, value.clone());
            }
        }
        keep_out_of_caches(headers);
    }
}

/// Unless the handler said that it may be kept, a response is for this request and this cookie alone.
pub(super) fn keep_out_of_caches(headers: &mut HeaderMap) {
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("Cookie"));
    }
}
