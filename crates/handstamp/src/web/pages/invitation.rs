//! The page that accepts an invitation.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use minijinja::context;

use super::{link, messages, see_other_with};
use crate::context::Context;
use crate::model::{Field, FieldErrors};
use crate::services::{AcceptInvitation, ActError};
use crate::sessions::PresentedSessions;
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
    form_page(&site, &visitor, token, StatusCode::OK, None, &FieldErrors::default()).await
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    presented: PresentedSessions,
    context: Context,
    headers: HeaderMap,
    fields: FormFields,
) -> Result<Response, WebError> {
    let token = site.cookies.presented_link(&headers);
    let name = fields.get("name")?;
    let policy = &site.services.config.password;
    let accepted = match AcceptInvitation::parse(name, fields.get("password")?, policy) {
        Ok(accept) => site.services.accept_invitation(&context, token, accept, &presented.sessions).await,
        Err(errors) => Err(errors.into()),
    };
    match accepted {
        Ok(cookies) => {
            let cookies = site.cookies.sign_in_cookies(&cookies).chain([site.cookies.remove_link()]);
            Ok(see_other_with(cookies, site.urls.account().as_str()))
        }
        Err(ActError::Fields(errors)) => {
            form_page(&site, &visitor, token, StatusCode::UNPROCESSABLE_ENTITY, Some(name), &errors).await
        }
        Err(error) => link::refused(&site, &visitor, error),
    }
}

async fn form_page(
    site: &SharedSite,
    visitor: &Visitor,
    token: &str,
    status: StatusCode,
    typed: Option<&str>,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let invited = match site.services.invited(token).await {
        Ok(invited) => invited,
        Err(error) => return link::refused(site, visitor, error),
    };
    let values = context! {
        email => invited.email.as_str(),
        values => context! { name => typed.unwrap_or(&invited.name) },
        errors => messages(errors, &[Field::Name, Field::Password]),
        min_length => site.services.config.password.min_length,
    };
    page(site, visitor, status, "authentication/invitation.html", values)
}
