//! The address of the user.

use axum::extract::State;
use axum::http::StatusCode;

use super::problems;
use super::types::{CodeBody, EmailBody};
use crate::context::Context;
use crate::web::SharedSite;
use crate::web::json_body::JsonBody;
use crate::web::user::SignedInUser;
use crate::web::web_error::WebError;

/// Has a link mailed to a new address, which becomes that of the account once the user has opened the link and confirmed it. The
/// response is the same if the address has another account.
#[utoipa::path(
    put,
    path = "/email",
    request_body = EmailBody,
    responses(
        (status = 202, description = "A link is mailed to the new address."),
        (status = 401, response = problems::Unauthorized),
        problems::WithABody,
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn change(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    JsonBody(given): JsonBody<EmailBody>,
) -> Result<StatusCode, WebError> {
    site.services.request_email_change(&context, &session, &given.email).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Verifies the address by the code of the mail.
#[utoipa::path(
    post,
    path = "/email/verify",
    request_body = CodeBody,
    responses(
        (status = 204, description = "Verified."),
        (status = 401, response = problems::Unauthorized),
        problems::WithABody,
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn verify(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    JsonBody(given): JsonBody<CodeBody>,
) -> Result<StatusCode, WebError> {
    site.services.verify_email_by_code(&context, &session, &given.code).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Mails another link and code to verify the address.
#[utoipa::path(
    post,
    path = "/email/verify/send",
    responses(
        (status = 202, description = "A mail is sent, unless the address is verified or has had three mails within an hour."),
        (status = 401, response = problems::Unauthorized),
        (status = 403, response = problems::CrossSite),
        (status = 429, response = problems::Throttled),
        (status = 503, response = problems::Unavailable),
    ),
    security(("session" = [])),
)]
pub(in crate::web) async fn send(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
) -> Result<StatusCode, WebError> {
    site.services.send_verification(&context, &session).await?;
    Ok(StatusCode::ACCEPTED)
}
