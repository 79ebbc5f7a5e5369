//! The check that a request names the host of this site, and the redirect to its public name.

use axum::extract::Request;
use axum::http::header::{HOST, LOCATION, SET_COOKIE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Site;
use super::negotiate::is_navigation;
use super::user::original_uri;
use super::web_error::WebError;

/// Rejects a request whose host is not a name of this site.
pub(super) fn refusal(site: &Site, request: &Request) -> Option<WebError> {
    let is_ours = asked_for(request).is_some_and(|host| site.services.config.public_url.answers_to(host));
    (!is_ours).then(|| misdirected(site))
}

/// The error for a host that is not a name of this site.
pub(super) fn misdirected(site: &Site) -> WebError {
    let message = format!(
        "This server answers for {}. If it stands behind a proxy, the proxy must pass on the Host header.",
        site.services.config.public_url
    );
    WebError::refused(StatusCode::MISDIRECTED_REQUEST, message)
}

/// On a laptop, redirects a page that was requested under another name of the machine to the same page at `public_url`. Cookies
/// and the assertions of apps are for one name only.
///
/// A proxy that does not pass on `Host` makes every request look like that, and a browser would be redirected in a loop. So the
/// redirect sets a short-lived cookie, and a browser that sends it is not redirected again.
pub(super) fn to_public_name(site: &Site, request: &Request) -> Option<Response> {
    let public_url = &site.services.config.public_url;
    let goes_to_a_page = *request.method() == Method::GET && is_navigation(request.method(), request.headers());
    let is_elsewhere = || asked_for(request).is_some_and(|host| public_url.is_other_name(host));
    if !goes_to_a_page || !is_elsewhere() || site.cookies.has_moved(request.headers()) {
        return None;
    }
    let uri = original_uri(request.uri(), request.extensions());
    let url = format!("{public_url}{}", uri.path_and_query().map_or("/", |url| url.as_str()));
    let headers = [(LOCATION, url.try_into().ok()?), (SET_COOKIE, site.cookies.moved())];
    Some((StatusCode::PERMANENT_REDIRECT, headers).into_response())
}

/// The one authority that a request names: in its target, or else in its only Host header (RFC 9112 §3.2).
pub(super) fn asked_for(request: &Request) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let header = hosts.next().map(|host| host.to_str().unwrap_or_default());
    match (request.uri().authority(), header, hosts.next()) {
        (Some(authority), None, None) => Some(authority.as_str()),
        (Some(authority), Some(host), None) if authority.as_str() == host => Some(host),
        (None, host, None) => host,
        _ => None,
    }
}
