use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use handstamp_core::ReturnTo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A redirect after a POST, and wherever else the method does not carry over.
pub(super) fn see_other(place: &str) -> Response {
    let place = HeaderValue::from_str(place).expect("places to go next are visible ASCII");
    (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response()
}

/// What a query value keeps unencoded: the unreserved characters of RFC 3986 §2.3.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A link to a page that leads on to `next`.
pub(super) fn leading_to(page: &str, next: &ReturnTo) -> String {
    format!("{page}?next={}", utf8_percent_encode(next.as_str(), QUERY_VALUE))
}
