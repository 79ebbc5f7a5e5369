//! The session of a request: who is signed in, sign-in and sign-out.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::problems;
use super::responses::signed_in;
use super::types::{ConfirmBody, CredentialsBody, FactorCodeBody, SignedInResponse};
use crate::context::Context;
use crate::services::{Proof, SignInRequest, SignedIn};
use crate::sessions::PresentedSessions;
use crate::web::authenticate::end_presented;
use crate::web::json_body::JsonBody;
use crate::web::respond::with_cookies;
use crate::web::user::SignedInUser;
use crate::web::web_error::WebError;
use crate::web::{SharedSite, legacy};

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
        (status = 401, description = "The password is right, and the user has a second factor: the type is `second-factor-required`. Complete the sign-in with the cookie of this response.", body = problems::Problem, content_type = "application/problem+json", headers(("Set-Cookie", description = "The cookie of the sign-in that waits, for ten minutes."))),
        problems::WithABody,
    ),
)]
pub(in crate::web) async fn sign_in(
    State(site): State<SharedSite>,
    presented: PresentedSessions,
    context: Context,
    headers: HeaderMap,
    JsonBody(given): JsonBody<CredentialsBody>,
) -> Result<Response, WebError> {
    let request = SignInRequest::parse(&given.email, &given.password, given.remember)?;
    let pending = site.cookies.presented_pending_sign_in(&headers);
    match site.services.sign_in(&context, request, &presented.sessions, pending).await? {
        SignedIn::Begun(cookies) => signed_in(&site, &cookies).await,
        SignedIn::NeedsSecondFactor(pending) => {
            let refusal = WebError::SignInNeedsSecondFactor.into_response();
            Ok(with_cookies(refusal, [site.cookies.pending_sign_in(&pending)]))
        }
    }
}

/// Completes a sign-in that waits for its second factor, by a code of the authenticator app or a recovery code.
#[utoipa::path(
    post,
    path = "/session/second-factor",
    request_body = FactorCodeBody,
    responses(
        (status = 201, description = "Signed in.", body = SignedInResponse, headers(("Set-Cookie", description = "The session cookie, and the device cookie."))),
        (status = 401, description = "No sign-in waits for a second factor: send the password first.", body = problems::Problem, content_type = "application/problem+json"),
        problems::WithABody,
    ),
)]
pub(in crate::web) async fn complete_sign_in(
    State(site): State<SharedSite>,
    presented: PresentedSessions,
    context: Context,
    headers: HeaderMap,
    JsonBody(given): JsonBody<FactorCodeBody>,
) -> Result<Response, WebError> {
    let pending = site.cookies.presented_pending_sign_in(&headers);
    let cookies = site.services.complete_sign_in_by_code(&context, pending, &given.code, &presented.sessions).await?;
    let response = signed_in(&site, &cookies).await?;
    Ok(with_cookies(response, [site.cookies.remove_pending()]))
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
    headers: HeaderMap,
) -> Result<Response, WebError> {
    end_presented(&site, &context, &presented).await?;
    let removed = site.cookies.remove_session().chain(legacy::removal(&site, &headers));
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), removed))
}

/// Authenticates the signed-in user again, by the password or by a code of the second factor, and gives the session a new token. Sensitive actions need it some time after the sign-in.
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
    let proof = match &given.code {
        Some(code) => Proof::Code(code),
        None => Proof::Password(given.password.as_deref().unwrap_or_default()),
    };
    let token = site.services.reauthenticate(&context, &session, proof).await?;
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), [site.cookies.session(&token)]))
}
