//! Reads the bodies of requests, and parses forms and queries.

use std::time::Duration;

use axum::body::{Bytes, HttpBody, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use handstamp_core::{Form, FormError};

use super::web_error::WebError;

/// The size limit of a body.
const MAX_BODY_BYTES: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The fields of a form. As an extractor it rejects other bodies.
pub(super) struct FormFields(Form);

impl FormFields {
    /// Parses a body or a query.
    pub(super) fn parse(text: &[u8]) -> Result<Self, WebError> {
        Form::parse(text).map(Self).map_err(bad_request)
    }

    /// The value of a field; empty when it is not there.
    ///
    /// # Errors
    /// When the field is there twice.
    pub(super) fn get(&self, name: &str) -> Result<&str, WebError> {
        self.0.get(name).map_err(bad_request)
    }
}

fn bad_request(error: FormError) -> WebError {
    WebError::refused(StatusCode::BAD_REQUEST, error.to_string())
}

impl<S: Sync> FromRequest<S> for FormFields {
    type Rejection = WebError;

    async fn from_request(request: Request, _: &S) -> Result<Self, WebError> {
        if !has_type(request.headers(), "application/x-www-form-urlencoded") {
            let message = "Send the form as application/x-www-form-urlencoded.";
            return Err(WebError::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
        }
        Self::parse(&read_body(request).await?)
    }
}

/// The fields of a query.
pub(super) struct QueryFields(pub(super) FormFields);

impl<S: Sync> FromRequestParts<S> for QueryFields {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebError> {
        FormFields::parse(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
    }
}

/// Reads a whole body, within a size limit and a timeout.
pub(super) async fn read_body(request: Request) -> Result<Bytes, WebError> {
    let too_long = || WebError::refused(StatusCode::PAYLOAD_TOO_LARGE, "What was sent is longer than any form here.");
    let body = request.into_body();
    // A body whose declared length is too long is rejected without being read.
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_long());
    }
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if is_too_long(&error) => Err(too_long()),
        Ok(Err(_)) => Err(WebError::refused(StatusCode::BAD_REQUEST, "The form broke off.")),
        Err(_) => Err(WebError::refused(StatusCode::REQUEST_TIMEOUT, "The form took too long to arrive.")),
    }
}

/// Whether `Content-Type` names this media type, whatever its parameters.
pub(super) fn has_type(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<http_body_util::LengthLimitError>() || error.source().is_some_and(is_too_long)
}
