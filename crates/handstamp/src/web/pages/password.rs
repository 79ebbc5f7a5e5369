//! The page to change the password, or to set the first one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::Password;
use minijinja::context;

use super::{messages, see_other_with};
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, ChangePasswordRequest, SignInCookies};
use crate::sessions::Session;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::sender::Sender;
use crate::web::user::Visitor;
use crate::web::web_error::WebError;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    visitor: Visitor,
    sender: Sender,
) -> Result<Response, WebError> {
    match visitor {
        Visitor::Authenticated(session) => {
            form_page(&site, session, &sender, StatusCode::OK, &FieldErrors::default()).await
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
                    if errors.get(Field::CurrentPassword).is_some() {
                        if let Some(response) = sent_twice(&site, &sender, new.clone()).await {
                            return response;
                        }
                        if site.services.has_just_changed_to(&sender.context, &session, new).await? {
                            return Ok(see_other(&site.urls.page("/account?done=password")));
                        }
                    }
                    errors
                }
                Err(ActError::ReauthenticationRequired) => return Ok(sender.require_confirmation(&site)),
                Err(error) => return Err(error.into()),
            }
        }
    };
    form_page(&site, session, &sender, StatusCode::UNPROCESSABLE_ENTITY, &errors).await
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

/// The form. A user who has no password yet has to have authenticated recently.
async fn form_page(
    site: &SharedSite,
    session: Arc<Session>,
    sender: &Sender,
    status: StatusCode,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let has_password = site.services.factors_of(session.user.id).await?.has_password;
    if !has_password && !site.services.is_fresh(&session) {
        return Ok(sender.require_confirmation(site));
    }
    let errors = messages(errors, &[Field::CurrentPassword, Field::Password]);
    let values = context! { errors, has_password, min_length => site.services.config.password.min_length };
    page(site, &Visitor::Authenticated(session), status, "password/change.html", values)
}
