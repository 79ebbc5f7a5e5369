//! CSRF protection: rejects writes and WebSocket handshakes from other sites.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::header::{HeaderName, ORIGIN, UPGRADE};
use axum::http::{HeaderValue, Method, StatusCode};

use super::access::ErrorFormat;
use super::web_error::WebError;
use super::{Site, host};
use crate::events::Event;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Rejects a write or a WebSocket handshake that another site makes a browser send.
///
/// Like Go's CrossOriginProtection, it checks `Sec-Fetch-Site`, and `Origin` where a browser does not send that. Unlike Go's, it
/// compares the scheme as well as the host. A request with neither header counts in Go as one of a program. Here it does so only
/// without a session cookie: a program that sends one has to send `Origin` too.
///
/// The message is for the program where errors are problem documents, and for the user otherwise.
pub(crate) fn refusal(site: &Site, request: &Request, errors: ErrorFormat) -> Option<WebError> {
    if only_reads(request) || comes_from_here(site, request) || comes_from_a_trusted_origin(site, request) {
        return None;
    }
    Event::CrossSiteRefused {}.record();
    let message = match errors {
        ErrorFormat::Problem => {
            let public_url = &site.services.config.public_url;
            format!(
                "Nothing was done: this request came from another site, or from a program that sends a session cookie \
                 without the header Origin: {public_url}"
            )
            .into()
        }
        ErrorFormat::Negotiated => {
            Cow::from("This request came from another site, so nothing was done. Please use the form on our own page.")
        }
    };
    Some(WebError::refused(StatusCode::FORBIDDEN, message))
}

fn comes_from_here(site: &Site, request: &Request) -> bool {
    let header = |name| request.headers().get(name).filter(|value| !value.is_empty());
    match (header(SEC_FETCH_SITE), request.headers().get(ORIGIN)) {
        (Some(fetch_site), _) => fetch_site == "same-origin" || fetch_site == "none",
        (None, Some(origin)) => {
            let public_url = &site.services.config.public_url;
            // On a laptop the site has several names, and `Host` is one of them.
            let asked_for = host::asked_for(request).map(|host| format!("{}://{host}", public_url.scheme()));
            *origin == *public_url.to_string() || asked_for.is_some_and(|asked_for| *origin == *asked_for)
        }
        (None, None) => !site.cookies.has_session(request.headers()),
    }
}

/// Whether `Origin` is exactly one of the trusted origins in the configuration, whatever `Sec-Fetch-Site` says.
fn comes_from_a_trusted_origin(site: &Site, request: &Request) -> bool {
    let origin = request.headers().get(ORIGIN);
    origin.is_some_and(|origin| site.services.config.trusted_origins.iter().any(|trusted| *origin == *trusted.as_str()))
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
