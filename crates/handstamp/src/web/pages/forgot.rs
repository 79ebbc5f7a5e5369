//! The page for a lost password, which has a reset link mailed.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::context;

use super::messages;
use crate::context::Context;
use crate::format::lasting;
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, LinkValidity};
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(State(site): State<SharedSite>, visitor: Visitor) -> Result<Response, WebError> {
    form_page(&site, &visitor, StatusCode::OK, "", &FieldErrors::default())
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    context: Context,
    fields: FormFields,
) -> Result<Response, WebError> {
    let email = fields.get("email")?;
    match site.services.request_reset(&context, email).await {
        Ok(()) => Ok(see_other(&site.urls.page("/account/forgot/sent"))),
        Err(ActError::Fields(errors)) => form_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, email, &errors),
        // The page says that the site sends no mail.
        Err(ActError::Forbidden(_)) => {
            form_page(&site, &visitor, StatusCode::FORBIDDEN, email, &FieldErrors::default())
        }
        Err(error) => Err(error.into()),
    }
}

/// The same page whatever the address was.
pub(in crate::web) async fn sent(State(site): State<SharedSite>, visitor: Visitor) -> Result<Response, WebError> {
    let values = context! { valid_for => lasting(LinkValidity::RESET) };
    page(&site, &visitor, StatusCode::OK, "password/forgot_sent.html", values)
}

fn form_page(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    email: &str,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let values = context! {
        values => context! { email },
        errors => messages(errors, &[Field::Email]),
    };
    page(site, visitor, status, "password/forgot.html", values)
}
