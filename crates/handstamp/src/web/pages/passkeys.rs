//! The page of passkeys, and the requests of its script: adding and removing passkeys, and what they are used for.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use handstamp_core::{AssuranceLevel, ReturnTo, Timestamp};
use minijinja::{Value, context};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{has_notice, see_other_with};
use crate::context::Context;
use crate::format::{format_date, format_relative, format_rfc3339};
use crate::model::{Field, Message, Passkey};
use crate::services::{ActError, AddPasskey, PasskeyAnswer, PasskeyAssertion, PasskeyAttestation};
use crate::sessions::{PresentedSessions, Session};
use crate::store::PASSKEYS_PER_USER;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::json_body::JsonBody;
use crate::web::redirect::see_other;
use crate::web::respond::{page, with_cookies};
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

const HERE: &str = "/account/passkeys";
/// The values of `notice` with which the acts lead back to the page.
const ADDED: &str = "added";
const REMOVED: &str = "removed";

/// The body of a request for options.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(in crate::web) struct OptionsBody {
    email: String,
}

/// The answer of the browser to a ceremony.
#[derive(Deserialize)]
pub(in crate::web) struct AnswerBody<T> {
    ceremony: String,
    credential: T,
    #[serde(default)]
    next: String,
    #[serde(default)]
    remember: bool,
    #[serde(default)]
    name: String,
}

/// The response to an act: where to go, with new cookies.
fn done(cookies: impl IntoIterator<Item = HeaderValue>, next: &str) -> Response {
    with_cookies(Json(json!({ "next": next })).into_response(), cookies)
}

/// Where a return URL leads, if redirects to it are allowed, and the account page otherwise.
fn destination(site: &SharedSite, next: &str) -> String {
    site.urls.parse(next).as_ref().unwrap_or(site.urls.account()).as_str().to_owned()
}

pub(in crate::web) async fn sign_in_options(
    State(site): State<SharedSite>,
    JsonBody(body): JsonBody<OptionsBody>,
) -> Result<Response, WebError> {
    let email = Some(body.email.as_str()).filter(|email| !email.trim().is_empty());
    Ok(Json(site.services.begin_passkey_sign_in(email).await?).into_response())
}

pub(in crate::web) async fn sign_in(
    State(site): State<SharedSite>,
    presented: PresentedSessions,
    context: Context,
    JsonBody(body): JsonBody<AnswerBody<PasskeyAssertion>>,
) -> Result<Response, WebError> {
    let AnswerBody { ceremony, credential, next, remember, .. } = body;
    let answer = PasskeyAnswer { ceremony, credential };
    let cookies = site.services.sign_in_by_passkey(&context, &answer, remember, &presented.sessions).await?;
    Ok(done(site.cookies.sign_in_cookies(&cookies), &destination(&site, &next)))
}

pub(in crate::web) async fn second_factor_options(
    State(site): State<SharedSite>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let pending = site.cookies.presented_pending_sign_in(&headers);
    Ok(Json(site.services.begin_passkey_second_factor(pending).await?).into_response())
}

pub(in crate::web) async fn second_factor(
    State(site): State<SharedSite>,
    presented: PresentedSessions,
    context: Context,
    headers: HeaderMap,
    JsonBody(body): JsonBody<AnswerBody<PasskeyAssertion>>,
) -> Result<Response, WebError> {
    let AnswerBody { ceremony, credential, next, .. } = body;
    let answer = PasskeyAnswer { ceremony, credential };
    let pending = site.cookies.presented_pending_sign_in(&headers);
    let cookies = site.services.complete_sign_in_by_passkey(&context, pending, &answer, &presented.sessions).await?;
    let cookies = site.cookies.sign_in_cookies(&cookies).chain([site.cookies.remove_pending()]);
    Ok(done(cookies, &destination(&site, &next)))
}

pub(in crate::web) async fn confirm_options(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
) -> Result<Response, WebError> {
    Ok(Json(site.services.begin_passkey_confirmation(&session).await?).into_response())
}

pub(in crate::web) async fn confirm(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    JsonBody(body): JsonBody<AnswerBody<PasskeyAssertion>>,
) -> Result<Response, WebError> {
    let AnswerBody { ceremony, credential, next, .. } = body;
    let token = site.services.confirm_by_passkey(&context, &session, &PasskeyAnswer { ceremony, credential }).await?;
    Ok(done([site.cookies.session(&token)], &destination(&site, &next)))
}

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    uri: Uri,
) -> Result<Response, WebError> {
    if !site.services.may_change_factors(&session).await? && !has_notice(&uri, ADDED) {
        let next = ReturnTo::parse(&site.urls.page(HERE));
        let next = next.as_ref().unwrap_or(site.urls.account());
        return Ok(see_other(&site.urls.confirm(Some(AssuranceLevel::TWO_FACTORS), next)));
    }
    let notice = if has_notice(&uri, ADDED) {
        Some("Your passkey is added. You can sign in with it from now on.")
    } else {
        has_notice(&uri, REMOVED).then_some("The passkey is removed.")
    };
    list(&site, &Visitor::Authenticated(session), StatusCode::OK, notice, None).await
}

pub(in crate::web) async fn add_options(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
) -> Result<Response, WebError> {
    Ok(Json(site.services.begin_passkey_registration(&session).await?).into_response())
}

pub(in crate::web) async fn add(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    JsonBody(body): JsonBody<AnswerBody<PasskeyAttestation>>,
) -> Result<Response, WebError> {
    let AnswerBody { ceremony, credential, name, .. } = body;
    let request = AddPasskey { ceremony, credential, name };
    let cookies = site.services.add_passkey(&context, &session, &request).await?;
    Ok(done(site.cookies.sign_in_cookies(&cookies), &site.urls.page(&with_notice(ADDED))))
}

pub(in crate::web) async fn remove(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    fields: FormFields,
) -> Result<Response, WebError> {
    let id = Uuid::try_parse(fields.get("passkey")?).map_err(|_| WebError::not_found())?;
    let here = site.urls.page(&with_notice(REMOVED));
    match site.services.remove_passkey(&context, &session, id).await {
        Ok(Some(cookies)) => Ok(see_other_with(site.cookies.sign_in_cookies(&cookies), &here)),
        // A form that is sent twice finds the passkey removed.
        Ok(None) => Ok(see_other(&here)),
        Err(ActError::Fields(errors)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            list(&site, &Visitor::Authenticated(session), status, None, errors.get(Field::Credential)).await
        }
        Err(error) => Err(error.into()),
    }
}

fn with_notice(notice: &str) -> String {
    format!("{HERE}?notice={notice}")
}

async fn list(
    site: &SharedSite,
    visitor: &Visitor,
    status: StatusCode,
    notice: Option<&str>,
    error: Option<&Message>,
) -> Result<Response, WebError> {
    let session: &Session = visitor.session().ok_or(WebError::SignedOut)?;
    let passkeys = site.services.store.passkeys_of(session.user.id).await?;
    let now = site.services.sessions.now();
    let values = context! {
        passkeys => passkeys.iter().map(|passkey| row(passkey, now)).collect::<Vec<_>>(),
        has_room => i64::try_from(passkeys.len()).is_ok_and(|count| count < PASSKEYS_PER_USER),
        done => notice,
        error => error.map(ToString::to_string),
    };
    page(site, visitor, status, "account/passkeys.html", values)
}

fn row(passkey: &Passkey, now: Timestamp) -> Value {
    context! {
        id => passkey.id.to_string(),
        name => passkey.name.as_str(),
        synced => passkey.backed_up,
        created => format_date(passkey.created_at),
        created_iso => format_rfc3339(passkey.created_at),
        used => passkey.used_at.map(|used| format_relative(used, now)),
        used_iso => passkey.used_at.map(format_rfc3339),
    }
}
