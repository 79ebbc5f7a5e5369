//! The JSON bodies of requests.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::form::{has_type, read_body};
use super::web_error::WebError;

/// The JSON body of a request.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = WebError;

    async fn from_request(request: Request, _: &S) -> Result<Self, WebError> {
        if !has_type(request.headers(), "application/json") {
            return Err(WebError::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json."));
        }
        let body = read_body(request).await?;
        // The messages of serde may repeat the value, which may be a password.
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            let (status, message) = match error.is_data() {
                true => (
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "A field is missing, or is not of the type that openapi.json describes.",
                ),
                false => (StatusCode::BAD_REQUEST, "The body is not JSON."),
            };
            WebError::refused(status, format!("{message} (Line {}, column {}.)", error.line(), error.column()))
        })
    }
}
