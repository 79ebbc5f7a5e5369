//! Mailed links: each leaves the URL for a cookie, and leads to the page of its purpose.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use handstamp_core::OneTimePurpose;
use minijinja::context;

use super::see_other_with;
use crate::services::ActError;
use crate::web::SharedSite;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

/// Checks the token without a statement, moves it into a cookie, and redirects to the page of its purpose. It is not used by that: mail
/// scanners open links too.
pub(in crate::web) async fn open(
    State(site): State<SharedSite>,
    visitor: Visitor,
    Path(token): Path<String>,
) -> Result<Response, WebError> {
    let page = match site.services.purpose_of_link(&token) {
        Some(OneTimePurpose::ResetPassword) => "/account/reset",
        Some(OneTimePurpose::VerifyEmail | OneTimePurpose::ConfirmRegistration) => "/account/verify",
        Some(OneTimePurpose::ChangeEmail) => "/account/email/confirm",
        Some(OneTimePurpose::UndoEmailChange) => "/account/email/undo",
        Some(OneTimePurpose::AcceptInvitation) => "/account/invitation",
        // The mail of a sign-in has a code and no link, and the other tokens of a sign-in are in a cookie.
        Some(OneTimePurpose::SignIn | OneTimePurpose::PendingSignIn | OneTimePurpose::RepeatedSignIn) | None => {
            return invalid(&site, &visitor);
        }
    };
    Ok(see_other_with([site.cookies.link(&token)], &site.urls.page(page)))
}

/// The page of every link that cannot be used, whatever the reason.
fn invalid(site: &SharedSite, visitor: &Visitor) -> Result<Response, WebError> {
    let mut response = page(site, visitor, StatusCode::NOT_FOUND, "link/invalid.html", context! {})?;
    response.headers_mut().append(SET_COOKIE, site.cookies.remove_link());
    Ok(response)
}

/// The response to an act of a link that was not done.
pub(super) fn refused(site: &SharedSite, visitor: &Visitor, error: ActError) -> Result<Response, WebError> {
    match error {
        ActError::LinkInvalid => invalid(site, visitor),
        error => Err(error.into()),
    }
}

/// The redirect to the page that sets a new password, by this token.
pub(super) fn choose_password(site: &SharedSite, token: &str) -> Response {
    see_other_with([site.cookies.link(token)], &site.urls.page("/account/reset"))
}
