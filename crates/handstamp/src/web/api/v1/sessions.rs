//! The live sessions of the user.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use uuid::Uuid;

use super::problems;
use super::types::ListedSessionResponse;
use crate::context::Context;
use crate::internal_error::InternalError;
use crate::model::RevokeOutcome;
use crate::web::SharedSite;
use crate::web::user::SignedInUser;
use crate::web::web_error::WebError;

/// Lists the live sessions of the user, the newest sign-in first.
#[utoipa::path(
    get,
    path = "/sessions",
    responses(
        (status = 200, description = "All live sessions of the account.", body = Vec<ListedSessionResponse>),
        (status = 401, response = problems::Unauthorized),
        (status = 503, response = problems::Unavailable),
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn list(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
) -> Result<Json<Vec<ListedSessionResponse>>, WebError> {
    let list = site.services.sessions.list(session.user.id).await.map_err(InternalError::from)?;
    let listed = list.into_iter().map(|listed| ListedSessionResponse::new(listed, &session));
    Ok(Json(listed.collect()))
}

/// Revokes one session of the user.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    params(("id" = String, Path, format = Uuid, description = "The session id, as in the list of sessions.")),
    responses(
        (status = 204, description = "The session is revoked on every node."),
        (status = 401, response = problems::Unauthorized),
        (status = 403, response = problems::CrossSite),
        (status = 404, response = problems::NotFound),
        (status = 503, response = problems::Unavailable),
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn revoke(
    State(site): State<SharedSite>,
    context: Context,
    SignedInUser(session): SignedInUser,
    Path(id): Path<String>,
) -> Result<StatusCode, WebError> {
    let session_id = Uuid::try_parse(&id).map_err(|_| WebError::not_found())?;
    match site.services.end_session(&context, &session, session_id).await? {
        RevokeOutcome::Revoked => Ok(StatusCode::NO_CONTENT),
        RevokeOutcome::AlreadyEnded | RevokeOutcome::OfAnotherUser => Err(WebError::not_found()),
    }
}

/// Revokes all sessions of the user but the one of this request.
#[utoipa::path(
    post,
    path = "/sessions/revoke-others",
    responses(
        (status = 204, description = "All other sessions are revoked on every node."),
        (status = 401, response = problems::Unauthorized),
        (status = 403, response = problems::CrossSite),
        (status = 503, response = problems::Unavailable),
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn revoke_others(
    State(site): State<SharedSite>,
    context: Context,
    SignedInUser(session): SignedInUser,
) -> Result<StatusCode, WebError> {
    site.services.end_other_sessions(&context, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}
