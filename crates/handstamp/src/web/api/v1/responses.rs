//! The responses that several actions of the API share.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::types::SignedInResponse;
use crate::services::SignInCookies;
use crate::sessions::SessionLookup;
use crate::web::SharedSite;
use crate::web::respond::with_cookies;
use crate::web::web_error::WebError;

/// The response after a sign-in: the user, the session and the cookies.
pub(in crate::web) async fn signed_in(site: &SharedSite, cookies: &SignInCookies) -> Result<Response, WebError> {
    let SessionLookup::Active(session) = site.services.sessions.find(cookies.token.text.expose()).await? else {
        // The session was revoked in the meantime.
        return Err(WebError::SignedOut);
    };
    let response = (StatusCode::CREATED, Json(SignedInResponse::from(&*session))).into_response();
    Ok(with_cookies(response, site.cookies.sign_in_cookies(cookies)))
}
