//! The page that shows recovery codes, once.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use handstamp_core::ReturnTo;
use minijinja::context;

use super::next_value;
use crate::context::Context;
use crate::sessions::Session;
use crate::web::SharedSite;
use crate::web::respond::{page, with_cookies};
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
) -> Result<Response, WebError> {
    let codes = site.services.replace_recovery_codes(&context, &session).await?;
    codes_page(&site, session, &codes, false, None, [])
}

/// The page with new codes. `after_set_up` is whether an authenticator app has just been set up.
pub(super) fn codes_page(
    site: &SharedSite,
    session: Arc<Session>,
    codes: &[String],
    after_set_up: bool,
    next: Option<&ReturnTo>,
    cookies: impl IntoIterator<Item = HeaderValue>,
) -> Result<Response, WebError> {
    let values = context! { codes => codes.to_vec(), after_set_up, next => next_value(next) };
    let visitor = Visitor::Authenticated(session);
    let response = page(site, &visitor, StatusCode::OK, "factors/recovery_codes.html", values)?;
    Ok(with_cookies(response, cookies))
}
