use std::borrow::Cow;

use axum::extract::{Request, State};
use axum::http::header::{HeaderName, ORIGIN, UPGRADE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::failure::Failure;
use super::{SharedSite, Site, host, respond};
use crate::log;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a write, or a WebSocket, is refused that another site makes a browser send.
///
/// As Go's CrossOriginProtection does, it goes by `Sec-Fetch-Site`, and by `Origin` where a browser sends none; but it
/// compares the scheme as well as the host, and lets no origin pass whatever the browser says. With neither header Go takes
/// the request for one of a program; we do not when a session cookie comes along: then a program has to say where it is.
pub(super) fn refusal(site: &Site, request: &Request) -> Option<Failure> {
    if only_reads(request) || comes_from_here(site, request) || comes_from_a_trusted_origin(site, request) {
        return None;
    }
    log::warn!(event = "cross_site_refused", "refused a write from another site");
    let message = if request.uri().path().starts_with("/api/") {
        let public_url = &site.accounts.config.public_url;
        format!(
            "Nothing was done: this request came from another site, or from a program that sends a session cookie without \
             the header Origin: {public_url}"
        )
        .into()
    } else {
        Cow::from("This request came from another site, so nothing was done. Please use the form on our own page.")
    };
    Some(Failure::refused(StatusCode::FORBIDDEN, message))
}

/// [`refusal`] as a layer around an application's own routes, where no page of ours stands around it.
pub(super) async fn refuse(State(site): State<SharedSite>, request: Request, next: Next) -> Response {
    match refusal(&site, &request) {
        Some(refusal) => respond::problem_of(refusal),
        None => next.run(request).await,
    }
}

fn comes_from_here(site: &Site, request: &Request) -> bool {
    let header = |name| request.headers().get(name).filter(|value| !value.is_empty());
    match (header(SEC_FETCH_SITE), request.headers().get(ORIGIN)) {
        (Some(fetch_site), _) => fetch_site == "same-origin" || fetch_site == "none",
        (None, Some(origin)) => {
            let public_url = &site.accounts.config.public_url;
            // On a laptop the site has several names, and `Host` is one of them.
            let asked_for = host::asked_for(request).map(|host| format!("{}://{host}", public_url.scheme()));
            *origin == *public_url.to_string() || asked_for.is_some_and(|asked_for| *origin == *asked_for)
        }
        (None, None) => !site.cookies.has_session(request.headers()),
    }
}

/// Exactly as the application names it, whatever `Sec-Fetch-Site` says of it.
fn comes_from_a_trusted_origin(site: &Site, request: &Request) -> bool {
    let origin = request.headers().get(ORIGIN);
    origin.is_some_and(|origin| site.accounts.config.trusted_origins.iter().any(|trusted| *origin == *trusted.as_str()))
}

/// A WebSocket begins with a GET, may do anything afterwards, and is not subject to CORS.
fn only_reads(request: &Request) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) && !begins_a_websocket(request)
}

fn begins_a_websocket(request: &Request) -> bool {
    let is_websocket =
        |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().windows(9).any(|part| part == b"websocket");
    request.headers().get_all(UPGRADE).iter().any(is_websocket)
}
