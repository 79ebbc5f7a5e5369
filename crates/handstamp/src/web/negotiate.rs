//! Content negotiation: whether a request is a browser's navigation, a script's fetch or a program's request.

use axum::http::header::{ACCEPT, HeaderName};
use axum::http::{HeaderMap, Method};

use super::form::has_type;

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whether a browser navigates to a page, as opposed to a fetch by a script or a program.
pub(super) fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let seems_so = || matches!(*method, Method::GET | Method::HEAD) && accepts(headers, "text/html");
    sec_fetch_navigate(headers).unwrap_or_else(seems_so)
}

/// Whether the client is a program, which gets no error page: its `Sec-Fetch-Mode` is not `navigate`. Without that header it is
/// one if it sends JSON, which no form does, or accepts JSON and not HTML.
pub(super) fn is_program(headers: &HeaderMap) -> bool {
    let wants_json = || accepts(headers, "json") && !accepts(headers, "text/html");
    let seems_so = || has_type(headers, "application/json") || wants_json();
    sec_fetch_navigate(headers).map_or_else(seems_so, |navigates| !navigates)
}

/// Whether an error of an application's route is a page: a browser navigates, or an old one that does not say so accepts HTML.
/// A program that accepts anything gets a problem document.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    // The header of a browser begins so, and a search in it costs more.
    let accepts_html = || {
        headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
            || accepts(headers, "text/html")
    };
    sec_fetch_navigate(headers).unwrap_or_else(accepts_html)
}

/// Whether `Sec-Fetch-Mode` is `navigate`; none where the browser does not send it.
fn sec_fetch_navigate(headers: &HeaderMap) -> Option<bool> {
    headers.get(SEC_FETCH_MODE).map(|mode| mode == "navigate")
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(media_type)))
}
