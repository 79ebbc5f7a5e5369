//! The problem documents of the API, as its OpenAPI description shows them.

use utoipa::{IntoResponses, ToResponse, ToSchema};

/// A problem document (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `respond::problem` makes")]
pub(super) struct Problem {
    /// `about:blank`: the status says which kind of problem it is. `reauthentication-required`: the user has to authenticate again first.
    /// `second-factor-required`: the user needs a second factor, at the sign-in or in this session.
    r#type: String,
    /// The status in words.
    title: String,
    status: u16,
    /// A message for people.
    detail: String,
}

/// A problem document that lists the fields that cannot be accepted (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `respond::problem` makes")]
pub(super) struct InvalidProblem {
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// The error of each field; absent where the body as a whole does not match the description.
    errors: Option<Vec<FieldError>>,
}

/// The error of one field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes what `respond::problem` makes")]
pub(super) struct FieldError {
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
    /// The user has not authenticated recently enough: the type is `reauthentication-required`. It is 403 for requests from other sites
    /// as well, whose type is `about:blank`.
    ReauthenticationRequired(Problem);
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
