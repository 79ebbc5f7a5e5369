//! The password of the user.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::problems;
use super::types::{ChangePasswordBody, EmailBody};
use crate::context::Context;
use crate::services::ChangePasswordRequest;
use crate::web::SharedSite;
use crate::web::json_body::JsonBody;
use crate::web::respond::with_cookies;
use crate::web::user::SignedInUser;
use crate::web::web_error::WebError;

/// Changes the password, revokes all other sessions and gives this one a new token. A user who has no password yet sets one. If the
/// authentication is too old for that, the problem type is `reauthentication-required`.
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
    context: Context,
    JsonBody(given): JsonBody<ChangePasswordBody>,
) -> Result<Response, WebError> {
    let policy = &site.services.config.password;
    let current = given.current_password.as_deref().unwrap_or_default();
    let request = ChangePasswordRequest::parse(current, &given.password, policy)?;
    let cookies = site.services.change_password(&context, &session, request).await?;
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), site.cookies.sign_in_cookies(&cookies)))
}

/// Has a reset link mailed to the account with this address, if there is one. The response is the same if there is none.
#[utoipa::path(
    post,
    path = "/password/forgot",
    request_body = EmailBody,
    responses(
        (status = 202, description = "A link is mailed if the address has an account."),
        problems::WithABody,
    ),
)]
pub(in crate::web) async fn forgot(
    State(site): State<SharedSite>,
    context: Context,
    JsonBody(given): JsonBody<EmailBody>,
) -> Result<StatusCode, WebError> {
    site.services.request_reset(&context, &given.email).await?;
    Ok(StatusCode::ACCEPTED)
}
