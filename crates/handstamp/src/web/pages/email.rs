//! The pages to change the address of the account, to confirm the new one, and to undo the change.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use handstamp_core::OneTimePurpose;
use minijinja::context;

use super::{has_notice, link, messages, see_other_with};
use crate::context::Context;
use crate::format::lasting;
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, AfterLink, LinkValidity};
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    uri: Uri,
) -> Result<Response, WebError> {
    let sent = has_notice(&uri, "sent");
    form_page(&site, &Visitor::Authenticated(session), StatusCode::OK, sent, "", &FieldErrors::default())
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    context: Context,
    SignedInUser(session): SignedInUser,
    fields: FormFields,
) -> Result<Response, WebError> {
    let email = fields.get("email")?;
    let visitor = Visitor::Authenticated(session.clone());
    match site.services.request_email_change(&context, &session, email).await {
        Ok(()) => Ok(see_other(&site.urls.page("/account/email?notice=sent"))),
        Err(ActError::Fields(errors)) => {
            form_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, false, email, &errors)
        }
        // The page says that the site sends no mail.
        Err(ActError::Forbidden(_)) => {
            form_page(&site, &visitor, StatusCode::FORBIDDEN, false, email, &FieldErrors::default())
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks for the confirmation of the new address, whose link has led here.
pub(in crate::web) async fn show_confirmation(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let found = site.services.new_email_of_link(&session, site.cookies.presented_link(&headers)).await;
    let visitor = Visitor::Authenticated(session);
    match found {
        Ok(email) => {
            let values = context! { email => email.as_str() };
            page(&site, &visitor, StatusCode::OK, "email/confirm.html", values)
        }
        Err(error) => link::refused(&site, &visitor, error),
    }
}

pub(in crate::web) async fn confirm(
    State(site): State<SharedSite>,
    context: Context,
    SignedInUser(session): SignedInUser,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let token = site.cookies.presented_link(&headers);
    match site.services.confirm_email_change(&context, &session, token).await {
        Ok(cookies) => {
            let cookies = site.cookies.sign_in_cookies(&cookies).chain([site.cookies.remove_link()]);
            Ok(see_other_with(cookies, &site.urls.page("/account?done=email")))
        }
        Err(error) => link::refused(&site, &Visitor::Authenticated(session), error),
    }
}

/// Asks whether to undo a change of the address. Its link is in the notice to the former address.
pub(in crate::web) async fn show_undo(
    State(site): State<SharedSite>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let token = site.cookies.presented_link(&headers);
    match site.services.find_link(token, OneTimePurpose::UndoEmailChange).await {
        Ok(found) => {
            let values = context! { email => found.email.as_str() };
            page(&site, &visitor, StatusCode::OK, "email/undo.html", values)
        }
        Err(error) => link::refused(&site, &visitor, error),
    }
}

pub(in crate::web) async fn undo(
    State(site): State<SharedSite>,
    visitor: Visitor,
    context: Context,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    match site.services.undo_email_change(&context, site.cookies.presented_link(&headers)).await {
        Ok(AfterLink::ChoosePassword(token)) => Ok(link::choose_password(&site, &token)),
        Ok(AfterLink::Kept) => Ok(see_other(site.urls.account().as_str())),
        Err(error) => link::refused(&site, &visitor, error),
    }
}

fn form_page(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    sent: bool,
    email: &str,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let values = context! {
        values => context! { email },
        errors => messages(errors, &[Field::Email]),
        sent,
        valid_for => lasting(LinkValidity::CHANGE_EMAIL),
    };
    page(site, visitor, status, "email/change.html", values)
}
