//! The password of the user.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use handstamp_core::Password;

use super::body::{Invalid, JsonBody, Refusal};
use super::problems;
use super::responses::with_cookies;
use super::types::ChangePasswordBody;
use crate::services::{ChangePasswordError, ChangePasswordRequest};
use crate::sessions::ClientInfo;
use crate::web::SharedSite;
use crate::web::messages::{WRONG_CURRENT_PASSWORD, parse_new_password};
use crate::web::user::SignedInUser;
use crate::web::web_error::WebError;

/// Changes the password, revokes all other sessions and gives this one a new token.
#[utoipa::path(
    put,
    path = "/password",
    request_body = ChangePasswordBody,
    responses(
        (status = 204, description = "Changed.", headers(("Set-Cookie", description = "The session cookie, with a new token, and the device cookie."))),
        (status = 401, response = problems::Unauthorized),
        problems::WithABody,
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn change(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    client: ClientInfo,
    JsonBody(given): JsonBody<ChangePasswordBody>,
) -> Result<Response, Refusal> {
    let mut invalid = Invalid::default();
    let current =
        invalid.parse("current_password", Password::parse(&given.current_password).map_err(|_| WRONG_CURRENT_PASSWORD));
    let new = invalid.parse("password", parse_new_password(&given.password, &site.services.config.password));
    let (Some(current), Some(new)) = (current, new) else { return Err(invalid.into()) };
    match site.services.change_password(&session, &client, ChangePasswordRequest { current, new }).await {
        Ok(cookies) => Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), site.cookies.sign_in_cookies(&cookies))),
        Err(ChangePasswordError::WrongPassword) => Err(Invalid::of("current_password", WRONG_CURRENT_PASSWORD).into()),
        Err(ChangePasswordError::Password(refusal)) => Err(Invalid::of("password", refusal).into()),
        Err(ChangePasswordError::SignedOut) => Err(WebError::SignedOut.into()),
        Err(ChangePasswordError::Throttled(wait)) => Err(WebError::Throttled(wait).into()),
        Err(ChangePasswordError::Internal(error)) => Err(error.into()),
    }
}
