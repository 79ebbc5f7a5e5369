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

/// The Content-Security-Policy of a page, as the directives in which it differs from the strict one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PagePolicy(pub(super) &'static [Directive]);

/// A directive of a Content-Security-Policy: its name and its sources.
type Directive = (&'static str, &'static str);

const FORM_ACTION: &str = "form-action";
const STRICT_DIRECTIVES: [Directive; 6] = [
    ("default-src", "'none'"),
    ("style-src", "'self'"),
    ("img-src", "'self'"),
    (FORM_ACTION, "'self'"),
    ("base-uri", "'none'"),
    ("frame-ancestors", "'none'"),
];

impl PagePolicy {
    /// Our stylesheet, our icon and our forms, and nothing else.
    pub(super) const STRICT: Self = Self(&[]);
    /// The same, and our script of passkeys, which sends to this site only.
    pub(super) const PASSKEYS: Self = if cfg!(feature = "passkeys") {
        Self(&[("script-src", "'self'"), ("connect-src", "'self'")])
    } else {
        Self::STRICT
    };

    /// The header. Each of its own directives replaces the strict one of that name as a whole.
    pub(super) fn header(self, urls: &Urls) -> HeaderValue {
        let Self(own) = self;
        let is_replaced = |name| own.iter().any(|(own, _)| *own == name);
        let strict = STRICT_DIRECTIVES.iter().filter(|(name, _)| !is_replaced(*name)).map(|(name, sources)| {
            // Chromium applies form-action to the redirects after a form as well: a sign-in may lead to an app on another host.
            let hosts = if *name == FORM_ACTION { urls.csp_sources() } else { String::new() };
            format!("{name} {sources}{hosts}")
        });
        let own = own.iter().map(|(name, sources)| format!("{name} {sources}"));
        let policy = strict.chain(own).collect::<Vec<_>>().join("; ");
        HeaderValue::from_str(&policy).expect("directives and hosts are visible ASCII")
    }
}

/// For pages of the application in our layout, whose scripts and images are its own business.
const APPLICATION_POLICY: HeaderValue =
    HeaderValue::from_static("base-uri 'none'; form-action 'self'; frame-ancestors 'none'");

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
        headers.extend(all.chain([(CONTENT_SECURITY_POLICY, PagePolicy::STRICT.header(urls))]));
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

    /// Adds them to a page of the application, with a policy that leaves scripts and images to it.
    pub(crate) fn add_to_page_of_application(&self, headers: &mut HeaderMap) {
        self.add_to(headers);
        headers.insert(CONTENT_SECURITY_POLICY, APPLICATION_POLICY);
    }
}

/// Sets `no-store` and `Vary: Cookie`, since a response depends on the session cookie. A handler that allows caching has set
/// `Cache-Control` itself.
pub(crate) fn set_no_store(headers: &mut HeaderMap) {
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("Cookie"));
    }
}

/// The same for a response of an application, which may vary by other headers, or allow caching, already.
pub(crate) fn add_no_store(headers: &mut HeaderMap) {
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let names_cookie =
        |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().windows(6).any(|part| part == b"cookie");
    if !headers.get_all(VARY).iter().any(|value| names_cookie(value) || value == "*") {
        headers.append(VARY, HeaderValue::from_static("Cookie"));
    }
}
