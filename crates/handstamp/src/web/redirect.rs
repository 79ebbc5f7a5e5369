//! Redirects, and page URLs that carry a return URL.

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use handstamp_core::ReturnTo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A 303 redirect: after a POST, and wherever else the next request has to be a GET.
pub(super) fn see_other(url: &str) -> Response {
    let url = HeaderValue::from_str(url).expect("redirect targets are visible ASCII");
    (StatusCode::SEE_OTHER, [(LOCATION, url)]).into_response()
}

/// Encodes everything in a query value but the unreserved characters (RFC 3986 §2.3).
pub(super) const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL of a page, which may have a query, with `next` as its return URL.
pub(super) fn url_with_next(page: &str, next: &ReturnTo) -> String {
    let separator = if page.contains('?') { '&' } else { '?' };
    format!("{page}{separator}next={}", utf8_percent_encode(next.as_str(), QUERY_VALUE))
}
