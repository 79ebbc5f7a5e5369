//! The session of a request: who is signed in, sign-in and sign-out.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use handstamp_core::{EmailAddress, Password};

use super::body::{Invalid, JsonBody, Refusal};
use super::problems;
use super::responses::{signed_in, with_cookies};
use super::types::{CredentialsBody, SignedInResponse};
use crate::services::{SignInError, SignInRequest};
use crate::sessions::{ClientInfo, PresentedSessions};
use crate::web::SharedSite;
use crate::web::authenticate::end_presented;
use crate::web::messages::WRONG_CREDENTIALS;
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
    client: ClientInfo,
    JsonBody(given): JsonBody<CredentialsBody>,
) -> Result<Response, Refusal> {
    let mut invalid = Invalid::default();
    let email = invalid.parse("email", EmailAddress::parse(&given.email));
    let password = invalid.parse("password", Password::parse(&given.password).map_err(|_| WRONG_CREDENTIALS));
    let (Some(email), Some(password)) = (email, password) else { return Err(invalid.into()) };
    let request = SignInRequest { email, password, remember: given.remember };
    match site.services.sign_in(request, &presented.sessions, &client).await {
        Ok(cookies) => signed_in(&site, &cookies).await,
        Err(SignInError::Wrong) => Err(Invalid::of("password", WRONG_CREDENTIALS).into()),
        Err(SignInError::Throttled(wait)) => Err(WebError::Throttled(wait).into()),
        Err(SignInError::Internal(error)) => Err(error.into()),
    }
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
    presented: PresentedSessions,
) -> Result<Response, Refusal> {
    end_presented(&site, &presented).await?;
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), site.cookies.remove_session()))
}
