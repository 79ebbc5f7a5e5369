//! The pages to sign in with a mailed code, where the operator has turned that on.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;
use minijinja::context;

use super::{link_with_next, messages, next_from_form, next_from_query, next_value, second_factor, see_other_with};
use crate::context::Context;
use crate::format::lasting;
use crate::model::{Field, FieldErrors, Message};
use crate::services::{ActError, LinkValidity, SignedIn};
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

pub(in crate::web) async fn show_request(
    State(site): State<SharedSite>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, WebError> {
    require_setting(&site)?;
    let next = next_from_query(&site, &uri);
    request_page(&site, &visitor, StatusCode::OK, "", next.as_ref(), &FieldErrors::default())
}

pub(in crate::web) async fn request(
    State(site): State<SharedSite>,
    visitor: Visitor,
    context: Context,
    fields: FormFields,
) -> Result<Response, WebError> {
    require_setting(&site)?;
    let (email, next) = (fields.get("email")?, next_from_form(&site, &fields)?);
    match site.services.request_sign_in_code(&context, email).await {
        Ok(browser) => {
            let page = site.urls.page_with_next("/account/login/code", next.as_ref());
            Ok(see_other_with([site.cookies.pending(&browser)], &page))
        }
        Err(ActError::Fields(errors)) => {
            request_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, email, next.as_ref(), &errors)
        }
        Err(error) => Err(error.into()),
    }
}

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    require_setting(&site)?;
    let next = next_from_query(&site, &uri);
    if visitor.session().is_some() {
        return Ok(see_other(next.as_ref().unwrap_or(site.urls.account()).as_str()));
    }
    if site.cookies.presented_pending(&headers).is_none() {
        return Ok(see_other(&site.urls.page_with_next("/account/login/mail", next.as_ref())));
    }
    code_page(&site, &visitor, StatusCode::OK, next.as_ref(), &FieldErrors::default())
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    presented: PresentedSessions,
    context: Context,
    headers: HeaderMap,
    fields: FormFields,
) -> Result<Response, WebError> {
    require_setting(&site)?;
    let (code, next) = (fields.get("code")?, next_from_form(&site, &fields)?);
    let signed_in = match site.cookies.presented_pending(&headers) {
        Some(browser) => site.services.sign_in_by_code(&context, &browser, code, &presented.sessions).await,
        None => Err(FieldErrors::of(Field::Code, Message::WrongCode).into()),
    };
    match signed_in {
        Ok(SignedIn::NeedsSecondFactor(pending)) => Ok(second_factor::redirect_to(&site, &pending, next.as_ref())),
        Ok(SignedIn::Begun(cookies)) => {
            let cookies = site.cookies.sign_in_cookies(&cookies).chain([site.cookies.remove_pending()]);
            Ok(see_other_with(cookies, next.as_ref().unwrap_or(site.urls.account()).as_str()))
        }
        Err(ActError::Fields(errors)) => {
            code_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, next.as_ref(), &errors)
        }
        Err(error) => Err(error.into()),
    }
}

/// Without the setting there are no such pages.
fn require_setting(site: &SharedSite) -> Result<(), WebError> {
    if site.services.sign_in_by_code_is_on() { Ok(()) } else { Err(WebError::not_found()) }
}

fn request_page(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    email: &str,
    next: Option<&ReturnTo>,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let values = context! {
        values => context! { email },
        errors => messages(errors, &[Field::Email]),
        next => next_value(next),
        sign_in_url => link_with_next(site, "/account/login", next),
        register_url => link_with_next(site, "/account/register", next),
    };
    page(site, visitor, status, "authentication/code_request.html", values)
}

fn code_page(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    next: Option<&ReturnTo>,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let values = context! {
        errors => messages(errors, &[Field::Code]),
        next => next_value(next),
        valid_for => lasting(LinkValidity::SIGN_IN),
        again_url => link_with_next(site, "/account/login/mail", next),
        sign_in_url => link_with_next(site, "/account/login", next),
        register_url => link_with_next(site, "/account/register", next),
    };
    page(site, visitor, status, "authentication/code.html", values)
}
