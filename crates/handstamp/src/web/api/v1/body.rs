//! The JSON bodies of the API, and their errors.

use axum::Extension;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::InternalError;
use crate::web::form::{has_type, read_body};
use crate::web::respond::{NoErrorPage, problem_response, problem_with};
use crate::web::web_error::WebError;

/// The JSON body of a request.
pub(in crate::web) struct JsonBody<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        if !has_type(request.headers(), "application/json") {
            return Err(
                WebError::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json.").into()
            );
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
            WebError::refused(status, format!("{message} (Line {}, column {}.)", error.line(), error.column())).into()
        })
    }
}

/// The errors of the fields of a request.
#[derive(Default)]
pub(in crate::web) struct Invalid(Vec<FieldError>);

/// The error of one field.
#[derive(Serialize)]
struct FieldError {
    field: &'static str,
    message: String,
}

impl Invalid {
    pub(super) fn of(field: &'static str, message: impl ToString) -> Self {
        Self(vec![FieldError { field, message: message.to_string() }])
    }

    /// The parsed value; if parsing fails, the error is recorded.
    pub(super) fn parse<T>(&mut self, field: &'static str, parsed: Result<T, impl ToString>) -> Option<T> {
        parsed.map_err(|error| self.0.push(FieldError { field, message: error.to_string() })).ok()
    }
}

/// An error of the API, answered with a problem document.
pub(in crate::web) enum Refusal {
    Invalid(Invalid),
    WebError(WebError),
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<WebError> for Refusal {
    fn from(failure: WebError) -> Self {
        Self::WebError(failure)
    }
}

impl From<InternalError> for Refusal {
    fn from(error: InternalError) -> Self {
        Self::WebError(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let response = match self {
            Self::Invalid(Invalid(errors)) => {
                let message = errors.first().map_or_else(String::new, |error| error.message.clone());
                problem_with(StatusCode::UNPROCESSABLE_ENTITY, &message, &[("errors", serde_json::json!(errors))])
            }
            Self::WebError(failure) => problem_response(failure),
        };
        (Extension(NoErrorPage), response).into_response()
    }
}
