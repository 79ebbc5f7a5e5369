//! The users of the site: registration.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::{DisplayName, EmailAddress};

use super::body::{Invalid, JsonBody, Refusal};
use super::problems;
use super::responses::signed_in;
use super::types::{NewUserBody, SignedInResponse};
use crate::services::{RegisterError, RegisterRequest};
use crate::sessions::{ClientInfo, PresentedSessions};
use crate::web::SharedSite;
use crate::web::messages::parse_new_password;
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
    client: ClientInfo,
    JsonBody(given): JsonBody<NewUserBody>,
) -> Result<Response, Refusal> {
    let mut invalid = Invalid::default();
    let name = invalid.parse("name", DisplayName::parse(&given.name));
    let email = invalid.parse("email", EmailAddress::parse(&given.email));
    let password = invalid.parse("password", parse_new_password(&given.password, &site.services.config.password));
    let (Some(name), Some(email), Some(password)) = (name, email, password) else { return Err(invalid.into()) };
    match site.services.register(RegisterRequest { name, email, password }, &presented.sessions, &client).await {
        Ok(cookies) => signed_in(&site, &cookies).await,
        Err(RegisterError::Closed) => Err(WebError::refused(StatusCode::FORBIDDEN, "Registration is closed.").into()),
        Err(RegisterError::EmailTaken) => {
            Err(Invalid::of("email", "This e-mail address already has an account.").into())
        }
        Err(RegisterError::Password(refusal)) => Err(Invalid::of("password", refusal).into()),
        Err(RegisterError::Throttled(wait)) => Err(WebError::Throttled(wait).into()),
        Err(RegisterError::Internal(error)) => Err(error.into()),
    }
}
