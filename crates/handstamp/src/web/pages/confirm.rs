//! The page on which a signed-in user authenticates again before something sensitive.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;
use minijinja::context;

use super::{messages, next_from_form, next_from_query, next_value, see_other_with};
use crate::model::{Field, FieldErrors};
use crate::services::ActError;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::respond::page;
use crate::web::sender::Sender;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    uri: Uri,
    sender: Sender,
) -> Result<Response, WebError> {
    if visitor.session().is_none() {
        return Ok(sender.reject_anonymous(&site));
    }
    let next = next_from_query(&site, &uri);
    form_page(&site, &visitor, StatusCode::OK, next.as_ref(), &FieldErrors::default())
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    sender: Sender,
    fields: Result<FormFields, WebError>,
) -> Result<Response, WebError> {
    let fields = match (fields, &visitor) {
        (Err(_), Visitor::Anonymous) => return Ok(sender.reject_anonymous(&site)),
        (fields, _) => fields?,
    };
    let (password, next) = (fields.get("password")?, next_from_form(&site, &fields)?);
    let done = |cookies: Vec<_>| see_other_with(cookies, next.as_ref().unwrap_or(site.urls.account()).as_str());
    let Visitor::Authenticated(session) = &visitor else {
        // Of a form that is sent twice, the first has given the session a new token.
        let again = site.services.sign_in_after_confirmation(&sender.context, &sender.presented, password).await?;
        return Ok(match again {
            Some(cookies) => done(site.cookies.sign_in_cookies(&cookies).collect()),
            None => sender.reject_anonymous(&site),
        });
    };
    match site.services.reauthenticate(&sender.context, session, password).await {
        Ok(token) => Ok(done(vec![site.cookies.session(&token)])),
        Err(ActError::Fields(errors)) => {
            form_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, next.as_ref(), &errors)
        }
        Err(error) => Err(error.into()),
    }
}

fn form_page(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    next: Option<&ReturnTo>,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let values = context! {
        errors => messages(errors, &[Field::Password]),
        next => next_value(next),
    };
    page(site, visitor, status, "authentication/confirm.html", values)
}
