//! The users of the site: registration.

use axum::extract::State;
use axum::response::Response;

use super::body::JsonBody;
use super::problems;
use super::responses::signed_in;
use super::types::{NewUserBody, SignedInResponse};
use crate::context::Context;
use crate::services::RegisterRequest;
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::web_error::WebError;

/// Creates an account, and signs its user in.
#[utoipa::path(
    post,
    path = "/users",
    request_body = NewUserBody,
    responses(
        (status = 201, description = "Registered, and signed in.", body = SignedInResponse, headers(("Set-Cookie", description = "The session cookie, and the device cookie."))),
        problems::WithABody,
    ),
)]
pub(in crate::web) async fn register(
    State(site): State<SharedSite>,
    presented: PresentedSessions,
    context: Context,
    JsonBody(given): JsonBody<NewUserBody>,
) -> Result<Response, WebError> {
    let policy = &site.services.config.password;
    let request = RegisterRequest::parse(&given.name, &given.email, &given.password, policy)?;
    let cookies = site.services.register(&context, request, &presented.sessions).await?;
    signed_in(&site, &cookies).await
}
