//! The cookies of the framework that the site has left: which requests lead to their exchange, and how a browser forgets them.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue, Method};
use handstamp_core::cookie;

use super::Site;
use super::cookies::lines;
use super::negotiate::is_navigation;
use crate::model::PresentedLegacy;
use crate::services::LegacySessions;

/// The page on which sessions are exchanged, without the prefix.
pub(super) const RESUME: &str = "/account/resume";

const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

/// The values of the cookies of the former framework.
pub(super) fn cookies<'a>(legacy: &'a LegacySessions, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> + Send {
    legacy.cookie_names().iter().flat_map(move |name| cookie::all(lines(headers), name))
}

/// Whether a request of an anonymous visitor leads to the exchange of a former session. It is a navigation with a cookie that opens, in
/// a browser that has not been there before. No statement is needed, and without the section `legacy` nothing is done.
pub(super) fn leads_to_exchange(site: &Site, method: &Method, headers: &HeaderMap) -> bool {
    let Some(legacy) = &site.services.legacy else { return false };
    may_exchange(method, headers)
        && !site.cookies.was_exchanged(headers)
        && cookies(legacy, headers).any(|value| legacy.opens(value, site.services.sessions.now()))
}

/// Whether a request is one of a user who goes to a page. A prefetch is none: the user may never see the page.
pub(super) fn may_exchange(method: &Method, headers: &HeaderMap) -> bool {
    let prefetches = |name: HeaderName| {
        let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.to_ascii_lowercase().contains("prefetch"))
    };
    *method == Method::GET
        && is_navigation(method, headers)
        && ![SEC_PURPOSE, PURPOSE, X_MOZ].into_iter().any(prefetches)
}

/// Has the browser forget the cookies of the former framework, if the request has one that is authentic: host-only, and for each domain
/// that it may be set for. Another application may use a cookie of the same name.
pub(super) fn removal(site: &Site, headers: &HeaderMap) -> Vec<HeaderValue> {
    let Some(legacy) = &site.services.legacy else { return Vec::new() };
    if cookies(legacy, headers).any(|value| legacy.is_authentic(value)) { forget(site, legacy) } else { Vec::new() }
}

/// The sessions of the former framework whose cookies a request has, for a sign-out that does not see the request.
#[derive(Debug)]
pub(crate) struct FormerSessions {
    pub(crate) presented: Vec<PresentedLegacy>,
    pub(crate) removal: Vec<HeaderValue>,
}

impl FormerSessions {
    /// None if the request has no such cookie.
    pub(crate) fn of(site: &Site, headers: &HeaderMap) -> Option<Arc<Self>> {
        let legacy = site.services.legacy.as_ref()?;
        let presented = site.services.presented_legacy(cookies(legacy, headers));
        (!presented.is_empty()).then(|| Arc::new(Self { presented, removal: forget(site, legacy) }))
    }
}

fn forget(site: &Site, legacy: &LegacySessions) -> Vec<HeaderValue> {
    let public_url = &site.services.config.public_url;
    let secure = if public_url.is_https() { "; Secure" } else { "" };
    let domains: Vec<String> = domains_of(public_url.host()).map(|domain| format!("; Domain={domain}")).collect();
    let mut removed = Vec::new();
    for name in legacy.cookie_names() {
        for domain in std::iter::once("").chain(domains.iter().map(String::as_str)) {
            let text = format!("{name}=; Path=/{secure}{domain}; Max-Age=0");
            removed.push(HeaderValue::try_from(text).expect("names of cookies and hosts are visible ASCII"));
        }
    }
    removed
}

/// The host and its parent domains with a full stop, for which a page of the host can set cookies. Browsers ignore public suffixes.
fn domains_of(host: &str) -> impl Iterator<Item = &str> {
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let parents = std::iter::successors(Some(host), |domain| Some(domain.split_once('.')?.1));
    parents.filter(move |domain| !is_address && domain.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_removed_for_every_domain_that_it_can_be_set_for() {
        let domains = |host| domains_of(host).collect::<Vec<_>>();
        assert_eq!(domains("a.b.example.com"), ["a.b.example.com", "b.example.com", "example.com"]);
        assert_eq!(domains("example.com"), ["example.com"]);
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            assert_eq!(domains(host), [] as [&str; 0]);
        }
    }

    #[test]
    fn only_a_navigation_that_a_user_sees_exchanges_a_session() {
        let of = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
            fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect()
        };
        let navigation = of(&[("sec-fetch-mode", "navigate")]);
        assert!(may_exchange(&Method::GET, &navigation) && may_exchange(&Method::GET, &of(&[("accept", "text/html")])));
        assert!(!may_exchange(&Method::HEAD, &navigation) && !may_exchange(&Method::POST, &navigation));
        for fetch in [&[("sec-fetch-mode", "cors")][..], &[("accept", "application/json")], &[]] {
            assert!(!may_exchange(&Method::GET, &of(fetch)));
        }
        for (name, value) in [("sec-purpose", "prefetch;prerender"), ("purpose", "prefetch"), ("x-moz", "Prefetch")] {
            assert!(!may_exchange(&Method::GET, &of(&[("sec-fetch-mode", "navigate"), (name, value)])), "{name}");
        }
    }
}
