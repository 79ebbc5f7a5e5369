//! The page on which a user types the code of a second factor, after the right password.

use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;
use minijinja::context;

use super::{link_with_next, messages, next_from_form, next_from_query, next_value, see_other_with};
use crate::context::Context;
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, PendingSignIn, WaysToComplete};
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

/// The redirect to this page after a first factor that was right.
pub(super) fn redirect_to(site: &SharedSite, pending: &PendingSignIn, next: Option<&ReturnTo>) -> Response {
    let page = site.urls.page_with_next("/account/login/second-factor", next);
    see_other_with([site.cookies.pending_sign_in(pending)], &page)
}

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let next = next_from_query(&site, &uri);
    let ways = match visitor.session() {
        Some(_) => None,
        None => site.services.ways_to_complete(site.cookies.presented_pending_sign_in(&headers)).await?,
    };
    match ways {
        Some(ways) => form_page(&site, &visitor, StatusCode::OK, ways, next.as_ref(), &FieldErrors::default()),
        None => Ok(to_sign_in(&site, next.as_ref())),
    }
}

pub(in crate::web) async fn submit(
    State(site): State<SharedSite>,
    visitor: Visitor,
    presented: PresentedSessions,
    context: Context,
    headers: HeaderMap,
    fields: FormFields,
) -> Result<Response, WebError> {
    let (code, next) = (fields.get("code")?, next_from_form(&site, &fields)?);
    let pending = site.cookies.presented_pending_sign_in(&headers);
    match site.services.complete_sign_in_by_code(&context, pending, code, &presented.sessions).await {
        Ok(cookies) => {
            let cookies = site.cookies.sign_in_cookies(&cookies).chain([site.cookies.remove_pending()]);
            Ok(see_other_with(cookies, next.as_ref().unwrap_or(site.urls.account()).as_str()))
        }
        Err(error) => match (site.services.token_to_repeat(pending, code).await?, error) {
            // Of a form that is sent twice, the first has signed the user in. The sign-in page leads on, with the cookie of either.
            (Some(repeated), _) => {
                let mut response = to_sign_in(&site, next.as_ref());
                response.headers_mut().append(SET_COOKIE, site.cookies.pending_sign_in(&repeated));
                Ok(response)
            }
            (None, ActError::SignedOut) => Ok(to_sign_in(&site, next.as_ref())),
            (None, ActError::Fields(errors)) => match site.services.ways_to_complete(pending).await? {
                Some(ways) => {
                    form_page(&site, &visitor, StatusCode::UNPROCESSABLE_ENTITY, ways, next.as_ref(), &errors)
                }
                None => Ok(to_sign_in(&site, next.as_ref())),
            },
            (None, error) => Err(error.into()),
        },
    }
}

/// The redirect to the sign-in page, which leads a signed-in user on.
fn to_sign_in(site: &SharedSite, next: Option<&ReturnTo>) -> Response {
    see_other(&site.urls.page_with_next("/account/login", next))
}

fn form_page(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    ways: WaysToComplete,
    next: Option<&ReturnTo>,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let values = context! {
        errors => messages(errors, &[Field::Code]),
        next => next_value(next),
        by_code => ways.code,
        by_passkey => ways.passkey,
        sign_in_url => link_with_next(site, "/account/login", next),
        register_url => link_with_next(site, "/account/register", next),
    };
    page(site, visitor, status, "authentication/second_factor.html", values)
}
