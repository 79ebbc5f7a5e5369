//! The OpenAPI 3.1 description of the API, generated from the handlers.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::ServerBuilder;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi, ToResponse, ToSchema};

use super::super::SharedSite;

/// A problem document (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `respond::problem` makes")]
struct Problem {
    /// `about:blank`: the status says which kind of problem it is.
    r#type: String,
    /// The status in words.
    title: String,
    status: u16,
    /// A message for people.
    detail: String,
}

/// A problem document that lists the fields that cannot be accepted (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `body::Refusal` makes")]
struct InvalidProblem {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// The error of each field; absent where the body as a whole does not match the description.
    errors: Option<Vec<FieldError>>,
}

/// The error of one field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `body::Refusal` makes")]
struct FieldError {
    field: String,
    /// A message for the user who filled in the field.
    message: String,
}

macro_rules! problems {
    ($($(#[$attribute:meta])* $name:ident($body:ty);)*) => {
        $($(#[$attribute])*
        #[derive(ToResponse)]
        #[response(content_type = "application/problem+json")]
        #[expect(dead_code, reason = "it only describes")]
        pub(super) struct $name($body);)*
    };
}

problems! {
    /// The body is not JSON.
    Malformed(Problem);
    /// The request has no live session.
    Unauthorized(Problem);
    /// The request came from another site, or with a session cookie and without an `Origin`; or registration is closed.
    CrossSite(Problem);
    /// The account has no such session.
    NotFound(Problem);
    /// The body is longer than the server accepts.
    TooLong(Problem);
    /// The body is not sent as `application/json`.
    NotJson(Problem);
    /// A field cannot be accepted.
    Invalid(InvalidProblem);
    /// Too many attempts; `Retry-After` tells how many seconds to wait.
    Throttled(Problem);
    /// The database or this server is temporarily unavailable; `Retry-After` tells when to try again.
    Unavailable(Problem);
}

/// The error responses of a request with a body.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub(super) enum WithABody {
    #[response(status = 400)]
    Malformed(#[ref_response] Malformed),
    #[response(status = 403)]
    CrossSite(#[ref_response] CrossSite),
    #[response(status = 413)]
    TooLong(#[ref_response] TooLong),
    #[response(status = 415)]
    NotJson(#[ref_response] NotJson),
    #[response(status = 422)]
    Invalid(#[ref_response] Invalid),
    #[response(status = 429)]
    Throttled(#[ref_response] Throttled),
    #[response(status = 503)]
    Unavailable(#[ref_response] Unavailable),
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Handstamp",
        description = "Accounts and sessions. A session is a cookie. A program that sends it with anything but GET also sends the header \
                       `Origin` with the address of this site, as browsers do: requests that another site makes a browser send are refused.",
    ),
    paths(
        super::show_session,
        super::sign_in,
        super::sign_out,
        super::register,
        super::list_sessions,
        super::revoke_session,
        super::revoke_other_sessions,
        super::change_password,
    ),
    components(schemas(Problem, InvalidProblem, FieldError), responses(Malformed, Unauthorized, CrossSite, NotFound, TooLong, NotJson, Invalid, Throttled, Unavailable)),
    modifiers(&NoLicence),
)]
struct Description;

/// Removes the licence, since the description is of a site, whose content belongs to its operator.
struct NoLicence;

impl Modify for NoLicence {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        openapi.info.license = None;
    }
}

/// The OpenAPI document of this site.
pub(in crate::web) async fn openapi(State(site): State<SharedSite>) -> Response {
    let mut openapi = Description::openapi();
    openapi.servers = Some(vec![ServerBuilder::new().url(site.urls.page("/api/v1")).build()]);
    let cookie = ApiKey::Cookie(ApiKeyValue::new(site.cookies.session_name()));
    openapi.components.get_or_insert_default().add_security_scheme("session", SecurityScheme::ApiKey(cookie));
    Json(openapi).into_response()
}
