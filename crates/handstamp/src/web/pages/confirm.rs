//! The page on which a signed-in user authenticates again, before something sensitive or to reach a higher assurance level.

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use handstamp_core::{AssuranceLevel, ReturnTo};
use minijinja::context;

#[cfg(feature = "federation")]
use super::providers;
use super::{messages, next_from_form, next_from_query, next_value, see_other_with};
use crate::model::{Field, FieldErrors};
use crate::services::{ActError, Proof, WaysToConfirm};
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
    uri: Uri,
    sender: Sender,
) -> Result<Response, WebError> {
    let Visitor::Authenticated(session) = &visitor else { return Ok(sender.reject_anonymous(&site)) };
    let next = next_from_query(&site, &uri);
    let wanted = wanted_level(&uri)?;
    form_page(&site, &visitor, session, wanted, StatusCode::OK, next.as_ref(), &FieldErrors::default()).await
}

/// The assurance level that the query asks for; the least one if it asks for none.
fn wanted_level(uri: &Uri) -> Result<AssuranceLevel, WebError> {
    let query = FormFields::parse(uri.query().unwrap_or_default().as_bytes())?;
    match query.get("assurance")? {
        "" => Ok(AssuranceLevel::ONE_FACTOR),
        level => AssuranceLevel::parse(level)
            .map_err(|error| WebError::refused(StatusCode::BAD_REQUEST, format!("The field “assurance” {error}."))),
    }
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
    let (password, code) = (fields.get("password")?, fields.get("code")?);
    let next = next_from_form(&site, &fields)?;
    let done = |cookies: Vec<_>| see_other_with(cookies, next.as_ref().unwrap_or(site.urls.account()).as_str());
    let Visitor::Authenticated(session) = &visitor else {
        // Of a form that is sent twice, the first has given the session a new token.
        let again = site.services.sign_in_after_confirmation(&sender.context, &sender.presented, password).await?;
        return Ok(match again {
            Some(cookies) => done(site.cookies.sign_in_cookies(&cookies).collect()),
            None => sender.reject_anonymous_with_next(&site, next),
        });
    };
    let proof = if code.is_empty() { Proof::Password(password) } else { Proof::Code(code) };
    match site.services.reauthenticate(&sender.context, session, proof).await {
        Ok(token) => Ok(done(vec![site.cookies.session(&token)])),
        Err(ActError::Fields(errors)) => {
            let (status, wanted) = (StatusCode::UNPROCESSABLE_ENTITY, AssuranceLevel::ONE_FACTOR);
            form_page(&site, &visitor, session, wanted, status, next.as_ref(), &errors).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The form with what the user can confirm with. A user who has nothing of the wanted level is led to set it up first.
async fn form_page(
    site: &SharedSite,
    visitor: &Visitor,
    session: &Session,
    wanted: AssuranceLevel,
    status: StatusCode,
    next: Option<&ReturnTo>,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let WaysToConfirm { password, code, passkey } = site.services.ways_to_confirm(session, wanted).await?;
    if wanted > session.authentication.assurance() && !password && !code && !passkey {
        let page = match wanted {
            AssuranceLevel::TWO_FACTORS => "/account/totp",
            _ if cfg!(feature = "passkeys") => "/account/passkeys",
            _ => "/account/security",
        };
        return Ok(see_other(&site.urls.page_with_next(page, next)));
    }
    #[cfg(feature = "federation")]
    let providers =
        if password || code || passkey { ().into() } else { providers::of_confirmation(site, session, next).await? };
    #[cfg(not(feature = "federation"))]
    let providers = ();
    let values = context! {
        errors => messages(errors, &[Field::Password, Field::Code]),
        next => next_value(next),
        by_password => password,
        by_code => code,
        by_passkey => passkey,
        providers,
    };
    page(site, visitor, status, "authentication/confirm.html", values)
}
