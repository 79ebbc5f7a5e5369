use axum::extract::Request;
use axum::http::header::{HOST, LOCATION, SET_COOKIE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Site;
use super::failure::Failure;
use super::user::{is_navigation, original_uri};

/// Why a request that was not meant for this site is refused.
pub(super) fn refusal(site: &Site, request: &Request) -> Option<Failure> {
    let public_url = &site.accounts.config.public_url;
    if asked_for(request).is_some_and(|host| public_url.answers_to(host)) {
        return None;
    }
    let message = format!(
        "This server answers for {public_url}. If it stands behind a proxy, the proxy must pass on the Host header."
    );
    Some(Failure::refused(StatusCode::MISDIRECTED_REQUEST, message))
}

/// On a laptop, the way to the same page at `public_url` for a browser that came by another name of the machine: its cookies
/// are for one name, and the assertions of an app too.
///
/// A proxy that does not pass on `Host` makes every request look so, and a browser would go in circles. So the redirect leaves
/// a cookie for a moment, and a browser that sends it stays.
pub(super) fn to_public_name(site: &Site, request: &Request) -> Option<Response> {
    let public_url = &site.accounts.config.public_url;
    let goes_to_a_page = *request.method() == Method::GET && is_navigation(request.method(), request.headers());
    let is_elsewhere = || asked_for(request).is_some_and(|host| public_url.is_other_name(host));
    if !goes_to_a_page || !is_elsewhere() || site.cookies.has_moved(request.headers()) {
        return None;
    }
    let uri = original_uri(request.uri(), request.extensions());
    let place = format!("{public_url}{}", uri.path_and_query().map_or("/", |place| place.as_str()));
    let headers = [(LOCATION, place.try_into().ok()?), (SET_COOKIE, site.cookies.moved())];
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
