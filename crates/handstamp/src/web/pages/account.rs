//! The account page.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::context;

use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::respond::{html_page, page};
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let done = query.and_then(|query| done(&query));
    if done.is_none() {
        return Ok(html_page(&site, StatusCode::OK, site.templates.account_page(&session)?));
    }
    let values = context! { done };
    page(&site, &Visitor::Authenticated(session), StatusCode::OK, "account/index.html", values)
}

/// The notice after a form has redirected here: one of our own sentences, never text from the URL.
fn done(query: &str) -> Option<&'static str> {
    let query = FormFields::parse(query.as_bytes()).ok()?;
    match query.get("done").ok()? {
        "email" => Some("Your e-mail address was changed, and your other devices were signed out."),
        "verified" => Some("Your e-mail address is confirmed."),
        "name" => Some("Your name was changed."),
        "password" => Some("Your new password is set, and your other devices were signed out."),
        _ => None,
    }
}
