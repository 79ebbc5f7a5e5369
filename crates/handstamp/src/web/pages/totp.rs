//! The page on which a user sets up an authenticator app, and removes it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;
use minijinja::{Value, context};

use super::recovery_codes::codes_page;
use super::sign_in::APP_IS_SET_UP;
use super::{messages, next_from_form, next_from_query, next_value, see_other_with};
use crate::context::Context;
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, NewTotp, TotpConfirmed};
use crate::sessions::Session;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::qr_code;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::sender::Sender;
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

const SECURITY: &str = "/account/security";
/// The same page, with the notice that the recovery codes were shown once.
const CODES_SHOWN_ONCE: &str = "/account/security?notice=codes-shown-once";

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    uri: Uri,
) -> Result<Response, WebError> {
    let next = next_from_query(&site, &uri);
    set_up_page(&site, session, StatusCode::OK, next.as_ref(), &FieldErrors::default()).await
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    sender: Sender,
    fields: Result<FormFields, WebError>,
) -> Result<Response, WebError> {
    let (fields, session) = match (fields, visitor) {
        (Ok(fields), Visitor::Authenticated(session)) => (fields, session),
        (Ok(fields), Visitor::Anonymous) => return sent_twice(&site, &sender, next_from_form(&site, &fields)?).await,
        (Err(_), Visitor::Anonymous) => return Ok(sender.reject_anonymous(&site)),
        (Err(error), Visitor::Authenticated(_)) => return Err(error),
    };
    let (code, next) = (fields.get("code")?, next_from_form(&site, &fields)?);
    if !site.services.is_fresh(&session) {
        return Ok(sender.require_confirmation_with_next(&site, next));
    }
    match site.services.confirm_totp(&sender.context, &session, code).await {
        Ok(TotpConfirmed { cookies, recovery_codes }) => {
            let cookies = cookies.iter().flat_map(|cookies| site.cookies.sign_in_cookies(cookies));
            codes_page(&site, session, &recovery_codes, true, next.as_ref(), cookies)
        }
        Err(ActError::Fields(errors)) => {
            set_up_page(&site, session, StatusCode::UNPROCESSABLE_ENTITY, next.as_ref(), &errors).await
        }
        Err(ActError::SignedOut) => sent_twice(&site, &sender, next).await,
        Err(error) => Err(error.into()),
    }
}

/// The response to a form whose session has ended. Of a form that is sent twice, the first has set the app up and given the session
/// another secret, and the browser has not shown its codes.
async fn sent_twice(site: &SharedSite, sender: &Sender, next: Option<ReturnTo>) -> Result<Response, WebError> {
    let is_set_up = match *sender.presented.sessions.as_slice() {
        [former] => site.services.has_just_set_up_totp(former.user_id).await?,
        _ => false,
    };
    if !is_set_up {
        return Ok(sender.reject_anonymous_with_next(site, next));
    }
    let security = ReturnTo::parse(&site.urls.page(CODES_SHOWN_ONCE)).expect("a prefix is a path");
    Ok(see_other(&site.urls.page_with_next(&format!("/account/login?notice={APP_IS_SET_UP}"), Some(&security))))
}

pub(in crate::web) async fn remove(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
) -> Result<Response, WebError> {
    Ok(match site.services.remove_totp(&context, &session).await? {
        Some(cookies) => see_other_with(
            site.cookies.sign_in_cookies(&cookies),
            &site.urls.page("/account/security?notice=totp-removed"),
        ),
        // A form that is sent twice finds the app removed.
        None => see_other(&site.urls.page(SECURITY)),
    })
}

/// The page with the QR code. Where an app is set up already, there is nothing to do here.
async fn set_up_page(
    site: &SharedSite,
    session: Arc<Session>,
    status: StatusCode,
    next: Option<&ReturnTo>,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let Some(NewTotp { text, url }) = site.services.begin_totp(&session).await? else {
        return Ok(see_other(&site.urls.page(CODES_SHOWN_ONCE)));
    };
    let is_required = !site.services.has_required_assurance(&session.user, session.authentication);
    let values = context! {
        errors => messages(errors, &[Field::Code]),
        next => next_value(next),
        secret => text.as_str(),
        otpauth_url => url.as_str(),
        qr_code => Value::from_safe_string(qr_code::svg(&url)),
        is_required,
    };
    page(site, &Visitor::Authenticated(session), status, "factors/totp.html", values)
}
