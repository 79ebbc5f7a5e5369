//! The page that confirms an address: by a mailed link, or by the code beside it.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use handstamp_core::{OneTimePurpose, ReturnTo};
use minijinja::context;

use super::{has_notice, link, messages, next_from_form, next_from_query, next_value, see_other_with};
use crate::context::Context;
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, AfterLink, ConfirmedRegistration};
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::sender::Sender;
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

/// Where to go once the address is confirmed.
const DONE: &str = "/account?done=verified";

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    uri: Uri,
    sender: Sender,
) -> Result<Response, WebError> {
    let token = site.cookies.presented_link(&sender.headers);
    if let Some(purpose) = site.services.purpose_of_link(token).filter(|purpose| is_ours(*purpose)) {
        return link_page(&site, &visitor, token, purpose).await;
    }
    if let Visitor::Authenticated(session) = &visitor {
        if session.user.email_verified {
            return Ok(see_other(site.urls.account().as_str()));
        }
    } else if site.cookies.presented_pending(&sender.headers).is_none() {
        return Ok(sender.reject_anonymous(&site));
    }
    let sent = has_notice(&uri, "sent");
    let next = next_from_query(&site, &uri);
    code_page(&site, &visitor, StatusCode::OK, sent, next.as_ref(), &FieldErrors::default())
}

fn is_ours(purpose: OneTimePurpose) -> bool {
    matches!(purpose, OneTimePurpose::VerifyEmail | OneTimePurpose::ConfirmRegistration)
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    sender: Sender,
    fields: FormFields,
) -> Result<Response, WebError> {
    let code = fields.get("code")?;
    let next = next_from_form(&site, &fields)?;
    let context = &sender.context;
    let token = site.cookies.presented_link(&sender.headers);
    let browser = site.cookies.presented_pending(&sender.headers);
    let previous = &sender.presented.sessions;
    let confirmed = match (&visitor, browser) {
        (Visitor::Authenticated(session), _) if !code.is_empty() => {
            site.services.verify_email_by_code(context, session, code).await.map(|()| Done::Verified)
        }
        (Visitor::Anonymous, Some(browser)) if !code.is_empty() => {
            let confirmed = site.services.confirm_registration_by_code(context, &browser, code, previous).await;
            confirmed.map(Done::Registered)
        }
        (Visitor::Anonymous, None) if !code.is_empty() => return Ok(sender.reject_anonymous(&site)),
        (_, browser) => match site.services.purpose_of_link(token) {
            Some(OneTimePurpose::ConfirmRegistration) => {
                let confirmed = site.services.confirm_registration(context, token, browser.as_ref(), previous).await;
                confirmed.map(Done::Registered)
            }
            _ => {
                let verified = site.services.verify_email(context, token, visitor.session()).await;
                verified.map(|after| match after {
                    AfterLink::Kept => Done::Verified,
                    AfterLink::ChoosePassword(reset) => Done::ChoosePassword(reset),
                })
            }
        },
    };
    match confirmed {
        Ok(done) => Ok(respond(&site, done, next.as_ref())),
        Err(ActError::Fields(errors)) => {
            code_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, false, next.as_ref(), &errors)
        }
        Err(error) => link::refused(&site, &visitor, error),
    }
}

/// The outcome of a confirmation.
enum Done {
    Verified,
    ChoosePassword(String),
    Registered(ConfirmedRegistration),
}

fn respond(site: &SharedSite, done: Done, next: Option<&ReturnTo>) -> Response {
    match done {
        Done::Verified => see_other_with([site.cookies.remove_link()], &site.urls.page(DONE)),
        Done::ChoosePassword(token) | Done::Registered(ConfirmedRegistration::ChoosePassword(token)) => {
            link::choose_password(site, &token)
        }
        Done::Registered(ConfirmedRegistration::SignedIn(cookies)) => {
            let removed = [site.cookies.remove_link(), site.cookies.remove_pending()];
            let account = site.urls.page(DONE);
            let to = next.map_or(account.as_str(), ReturnTo::as_str);
            see_other_with(site.cookies.sign_in_cookies(&cookies).chain(removed), to)
        }
    }
}

/// Mails another link and code.
pub(in crate::web) async fn send(
    State(site): State<SharedSite>,
    context: Context,
    SignedInUser(session): SignedInUser,
) -> Result<Response, WebError> {
    site.services.send_verification(&context, &session).await?;
    Ok(see_other(&site.urls.page("/account/verify?notice=sent")))
}

/// The page of a link, whose button confirms the address.
async fn link_page(
    site: &SharedSite,
    visitor: &Visitor,
    token: &str,
    purpose: OneTimePurpose,
) -> Result<Response, WebError> {
    let found = match site.services.find_link(token, purpose).await {
        Ok(found) => found,
        Err(error) => return link::refused(site, visitor, error),
    };
    let values = context! { email => found.email.as_str() };
    page(site, visitor, StatusCode::OK, "email/verify_link.html", values)
}

fn code_page(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    sent: bool,
    next: Option<&ReturnTo>,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let values = context! {
        errors => messages(errors, &[Field::Code]),
        next => next_value(next),
        sent,
    };
    page(site, visitor, status, "email/verify.html", values)
}
