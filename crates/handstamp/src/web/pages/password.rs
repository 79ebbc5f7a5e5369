//! The page to change the password.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use handstamp_core::Password;
use minijinja::context;

use super::{messages, see_other_with};
use crate::context::Context;
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, ChangePasswordRequest, SignInCookies};
use crate::sessions::PresentedSessions;
use crate::web::SharedSite;
use crate::web::authenticate::reject_anonymous;
use crate::web::endpoint::RequestContext;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::{SignedInUser, Visitor, original_uri};
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    sender: Sender,
) -> Result<Response, WebError> {
    match visitor {
        Visitor::Authenticated(session) => {
            form_page(&site, SignedInUser(session), StatusCode::OK, &FieldErrors::default())
        }
        Visitor::Anonymous => Ok(sender.reject_anonymous(&site)),
    }
}

/// Redirects the well-known URL to this page.
pub(in crate::web) async fn well_known(State(site): State<SharedSite>) -> Response {
    see_other(&site.urls.page("/account/password"))
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
    let policy = &site.services.config.password;
    let request = ChangePasswordRequest::parse(fields.get("current_password")?, fields.get("password")?, policy);
    let Visitor::Authenticated(session) = visitor else {
        return match request {
            Ok(request) => {
                sent_twice(&site, &sender, request.new).await.unwrap_or_else(|| Ok(sender.reject_anonymous(&site)))
            }
            Err(_) => Ok(sender.reject_anonymous(&site)),
        };
    };
    let errors = match request {
        Err(errors) => errors,
        Ok(request) => {
            let new = request.new.clone();
            match site.services.change_password(&sender.context, &session, request).await {
                Ok(cookies) => return Ok(changed(&site, &cookies)),
                Err(ActError::SignedOut) => {
                    let redirect_to_sign_in = || Ok(see_other(&site.urls.sign_in_url("/account/password")));
                    return sent_twice(&site, &sender, new).await.unwrap_or_else(redirect_to_sign_in);
                }
                Err(ActError::Fields(errors)) => {
                    if errors.get(Field::CurrentPassword).is_some()
                        && let Some(response) = sent_twice(&site, &sender, new).await
                    {
                        return response;
                    }
                    errors
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    form_page(&site, SignedInUser(session), StatusCode::UNPROCESSABLE_ENTITY, &errors)
}

/// The response to a form that was sent twice and has already changed the password; none otherwise.
async fn sent_twice(site: &SharedSite, sender: &Sender, new: Password) -> Option<Result<Response, WebError>> {
    match site.services.sign_in_after_change(&sender.context, &sender.presented, new).await {
        Ok(cookies) => cookies.map(|cookies| Ok(changed(site, &cookies))),
        Err(error) => Some(Err(error.into())),
    }
}

fn changed(site: &SharedSite, cookies: &SignInCookies) -> Response {
    see_other_with(site.cookies.sign_in_cookies(cookies), &site.urls.page("/account?done=password"))
}

/// The client that sent a form, whether it is still signed in or not.
pub(in crate::web) struct Sender {
    presented: PresentedSessions,
    context: Context,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Sender {
    fn reject_anonymous(&self, site: &SharedSite) -> Response {
        reject_anonymous(site, &self.method, &self.uri, &self.headers)
    }
}

impl FromRequestParts<RequestContext> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, context: &RequestContext) -> Result<Self, Infallible> {
        Ok(Self {
            presented: PresentedSessions::from_request_parts(parts, context).await?,
            context: Context::from_request_parts(parts, context).await?,
            method: parts.method.clone(),
            uri: original_uri(&parts.uri, &parts.extensions).clone(),
            headers: parts.headers.clone(),
        })
    }
}

fn form_page(
    site: &SharedSite,
    SignedInUser(session): SignedInUser,
    status: StatusCode,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let errors = messages(errors, &[Field::CurrentPassword, Field::Password]);
    let values = context! { errors, min_length => site.services.config.password.min_length };
    page(site, &Visitor::Authenticated(session), status, "password/change.html", values)
}
