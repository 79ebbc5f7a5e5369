//! The responses that several actions of the API share.

use axum::Json;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::types::SignedInResponse;
use crate::services::SignInCookies;
use crate::sessions::SessionLookup;
use crate::web::SharedSite;
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

/// Adds cookies to a response.
pub(super) fn with_cookies(mut response: Response, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    response.headers_mut().extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
    response
}
