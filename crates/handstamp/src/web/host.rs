use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::SharedSite;
use super::failure::Failure;

/// Answers only what was meant for this site.
pub(super) async fn refuse_others(State(site): State<SharedSite>, request: Request, next: Next) -> Response {
    if asked_for(&request).is_some_and(|host| site.accounts.config.public_url.answers_to(host)) {
        return next.run(request).await;
    }
    Failure::refused(
        StatusCode::MISDIRECTED_REQUEST,
        format!(
            "This server answers for {}. If it stands behind a proxy, the proxy must pass on the Host header.",
            site.accounts.config.public_url
        ),
    )
    .into_response()
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
