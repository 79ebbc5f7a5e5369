use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;

use super::Site;
use super::failure::Failure;

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
