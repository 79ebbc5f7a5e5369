//! The users of the site: registration.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::problems;
use super::responses::signed_in;
use super::types::{NewUserBody, SignedInResponse};
use crate::context::Context;
use crate::services::{RegisterRequest, Registered};
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::json_body::JsonBody;
use crate::web::respond::with_cookies;
use crate::web::web_error::WebError;

/// Creates an account, and signs its user in. Where addresses must be confirmed first, a link and a code are mailed instead, and the
/// account exists once one of them was used.
#[utoipa::path(
    post,
    path = "/users",
    request_body = NewUserBody,
    responses(
        (status = 201, description = "Registered, and signed in.", body = SignedInResponse, headers(("Set-Cookie", description = "The session cookie, and the device cookie."))),
        (status = 202, description = "A link was mailed to the address. The code beside it works in this browser.", headers(("Set-Cookie", description = "The cookie of the browser that may use the code."))),
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
    match site.services.register(&context, request, &presented.sessions).await? {
        Registered::SignedIn(cookies) => signed_in(&site, &cookies).await,
        Registered::Pending(browser) => {
            Ok(with_cookies(StatusCode::ACCEPTED.into_response(), [site.cookies.pending(&browser)]))
        }
    }
}
