//! The page that sets a new password by a mailed link.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use handstamp_core::OneTimePurpose;
use minijinja::context;

use super::{link, messages, see_other_with};
use crate::context::Context;
use crate::model::{Field, FieldErrors};
use crate::services::ActError;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let token = site.cookies.presented_link(&headers);
    form_page(&site, &visitor, token, StatusCode::OK, &FieldErrors::default()).await
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    context: Context,
    headers: HeaderMap,
    fields: FormFields,
) -> Result<Response, WebError> {
    let token = site.cookies.presented_link(&headers);
    let reset = match site.services.parse_reset(fields.get("password")?) {
        Ok(password) => site.services.reset_password(&context, token, password).await,
        Err(errors) => Err(errors.into()),
    };
    match reset {
        // The user signs in with the new password: a link alone is no sign-in.
        Ok(()) => {
            Ok(see_other_with([site.cookies.remove_link()], &site.urls.page("/account/login?notice=new-password")))
        }
        Err(ActError::Fields(errors)) => {
            form_page(&site, &visitor, token, StatusCode::UNPROCESSABLE_ENTITY, &errors).await
        }
        Err(error) => link::refused(&site, &visitor, error),
    }
}

async fn form_page(
    site: &SharedSite,
    visitor: &Visitor,
    token: &str,
    status: StatusCode,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let found = match site.services.find_link(token, OneTimePurpose::ResetPassword).await {
        Ok(found) => found,
        Err(error) => return link::refused(site, visitor, error),
    };
    let values = context! {
        email => found.email.as_str(),
        errors => messages(errors, &[Field::Password]),
        min_length => site.services.config.password.min_length,
    };
    page(site, visitor, status, "password/reset.html", values)
}
