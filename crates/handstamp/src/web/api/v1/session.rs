//! The session of a request: who is signed in, sign-in and sign-out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::problems;
use super::responses::{signed_in, with_cookies};
use super::types::{ConfirmBody, CredentialsBody, SignedInResponse};
use crate::context::Context;
use crate::services::SignInRequest;
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::authenticate::end_presented;
use crate::web::json_body::JsonBody;
use crate::web::user::SignedInUser;
use crate::web::web_error::WebError;

/// Shows the signed-in user. If the session is cached in memory, this needs no database statement.
#[utoipa::path(
    get,
    path = "/session",
    responses(
        (status = 200, description = "The user is signed in.", body = SignedInResponse),
        (status = 401, response = problems::Unauthorized),
        (status = 503, response = problems::Unavailable),
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn show(SignedInUser(session): SignedInUser) -> Json<SignedInResponse> {
    Json(SignedInResponse::from(&*session))
}

/// Signs in, and revokes the sessions whose tokens came with the request. The response sets the cookies.
#[utoipa::path(
    post,
    path = "/session",
    request_body = CredentialsBody,
    responses(
        (status = 201, description = "Signed in.", body = SignedInResponse, headers(("Set-Cookie", description = "The session cookie, and the device cookie."))),
        problems::WithABody,
    ),
)]
pub(in crate::web) async fn sign_in(
    State(site): State<SharedSite>,
    presented: PresentedSessions,
    context: Context,
    JsonBody(given): JsonBody<CredentialsBody>,
) -> Result<Response, WebError> {
    let request = SignInRequest::parse(&given.email, &given.password, given.remember)?;
    let cookies = site.services.sign_in(&context, request, &presented.sessions).await?;
    signed_in(&site, &cookies).await
}

/// Signs out: before the response, the session is revoked on every node.
#[utoipa::path(
    delete,
    path = "/session",
    responses(
        (status = 204, description = "No user is signed in any more.", headers(("Set-Cookie", description = "Removes the session cookie."))),
        (status = 403, response = problems::CrossSite),
        (status = 503, response = problems::Unavailable),
    ),
)]
pub(in crate::web) async fn sign_out(
    State(site): State<SharedSite>,
    context: Context,
    presented: PresentedSessions,
) -> Result<Response, WebError> {
    end_presented(&site, &context, &presented).await?;
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), site.cookies.remove_session()))
}

/// Authenticates the signed-in user again, and gives the session a new token. Sensitive actions need it some time after the sign-in.
#[utoipa::path(
    post,
    path = "/session/confirm",
    request_body = ConfirmBody,
    responses(
        (status = 204, description = "Authenticated.", headers(("Set-Cookie", description = "The session cookie, with a new token."))),
        (status = 401, response = problems::Unauthorized),
        problems::WithABody,
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn confirm(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    JsonBody(given): JsonBody<ConfirmBody>,
) -> Result<Response, WebError> {
    let token = site.services.reauthenticate(&context, &session, &given.password).await?;
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), [site.cookies.session(&token)]))
}
