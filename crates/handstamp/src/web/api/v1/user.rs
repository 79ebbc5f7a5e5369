//! The account of the signed-in user as a whole: its export and its deletion.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::problems;
use crate::context::Context;
use crate::web::SharedSite;
use crate::web::respond::with_cookies;
use crate::web::user::SignedInUser;
use crate::web::web_error::WebError;

/// Exports all data that is stored about the user.
#[utoipa::path(
    get,
    path = "/export",
    responses(
        (status = 200, description = "All data of the account, as the reference of the export describes it.", body = serde_json::Value),
        (status = 401, response = problems::Unauthorized),
        (status = 403, response = problems::ReauthenticationRequired),
        (status = 503, response = problems::Unavailable),
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn export(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
) -> Result<Json<serde_json::Value>, WebError> {
    Ok(Json(site.services.export_account(&context, &session).await?))
}

/// Deletes the account with all of its data. Before the response, its sessions are revoked on every node.
#[utoipa::path(
    delete,
    path = "/user",
    responses(
        (status = 204, description = "Deleted.", headers(("Set-Cookie", description = "Removes the session cookie."))),
        (status = 401, response = problems::Unauthorized),
        (status = 403, response = problems::ReauthenticationRequired),
        (status = 503, response = problems::Unavailable),
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn delete(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
) -> Result<Response, WebError> {
    site.services.delete_account(&context, &session).await?;
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), site.cookies.remove_session()))
}
