use axum::extract::{Request, State};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::SharedSite;
use super::failure::Failure;
use super::host;

/// Refuses writes that another site makes a browser send, where `tower_http::csrf`, which runs next, lets them pass.
///
/// That layer decides by `Sec-Fetch-Site`. Without that header it compares the host of `Origin` with `Host`; we compare
/// the scheme as well. With neither header it takes the request for one of a program; we do not when a session cookie
/// comes along, which programs have no reason to send.
pub(super) async fn refuse(State(site): State<SharedSite>, request: Request, next: Next) -> Response {
    if is_safe(request.method()) || has(request.headers(), "sec-fetch-site") {
        return next.run(request).await;
    }
    let allowed = match request.headers().get(ORIGIN) {
        Some(origin) => {
            let scheme = site.accounts.config.public_url.scheme();
            host::asked_for(&request).is_some_and(|host| *origin == *format!("{scheme}://{host}"))
        }
        None => !site.cookie.is_present(request.headers()),
    };
    if allowed { next.run(request).await } else { refused() }
}

/// What a cross-site write is told, here and by the layer that follows.
pub(super) fn refused() -> Response {
    tracing::warn!(event = "cross_site_refused", "refused a write from another site");
    Failure::refused(
        StatusCode::FORBIDDEN,
        "This request came from another site, so nothing was done. Please use the form on our own page.",
    )
    .into_response()
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn has(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).is_some_and(|value| !value.is_empty())
}
