//! Authenticates requests by their session cookies, and ends the sessions that a request presents.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use handstamp_core::AssuranceLevel;
use handstamp_core::cookie::CookieLookup;

use super::redirect::see_other;
use super::user::{RequestedPage, Visitor, original_uri, redirect_to_sign_in};
use super::web_error::WebError;
use super::{SharedSite, Site, legacy};
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::sessions::{PresentedSessions, Session, SessionLookup};

/// The number of session cookies of one request that are looked up, each of which may cost a database statement. Browsers keep
/// 180 cookies of a domain.
const MAX_COOKIES: usize = 200;

/// Authenticates a request: the visitor and, if the token needs re-signing, a new cookie. Anything ambiguous counts as signed
/// out. If the database is needed and unavailable, the response is 503.
pub(super) async fn authenticate(
    site: &SharedSite,
    request: &mut Request,
) -> ControlFlow<Response, (Visitor, Option<HeaderValue>)> {
    match look_up(site, request.headers()).await {
        Ok(visitor) => Continue(with_cookie(visitor, site)),
        Err(error) => Break(WebError::from(error).into_response()),
    }
}

/// The same for pages that require a session. A navigation of an anonymous visitor is redirected to the sign-in page, which leads
/// back afterwards; programs get 401.
pub(super) async fn require_session(
    site: &SharedSite,
    request: &mut Request,
) -> ControlFlow<Response, (Visitor, Option<HeaderValue>)> {
    match look_up(site, request.headers()).await {
        Ok(visitor @ Visitor::Authenticated(_)) => Continue(with_cookie(visitor, site)),
        Ok(_) => {
            let uri = original_uri(request.uri(), request.extensions());
            Break(reject_anonymous(site, request.method(), uri, request.headers()))
        }
        Err(error) => Break(WebError::from(error).into_response()),
    }
}

/// The response to an anonymous visitor: a redirect to the sign-in page for a navigation, and 401 otherwise. A browser with a session of
/// the former framework is led to its exchange.
pub(crate) fn reject_anonymous(site: &Site, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let requested = RequestedPage::of(method, uri, headers);
    if legacy::leads_to_exchange(site, method, headers) {
        return see_other(&site.urls.resume(&requested.return_page(site)));
    }
    to_sign_in(site, &requested)
}

/// The same for the page that was requested.
pub(super) fn to_sign_in(site: &Site, requested: &RequestedPage) -> Response {
    if requested.is_navigation() { redirect_to_sign_in(site, requested) } else { WebError::SignedOut.into_response() }
}

/// The response to a user who has to authenticate again: a redirect to the page for it, which leads back, for a navigation, and 403
/// otherwise.
pub(super) fn require_confirmation(site: &Site, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    confirmation_of(site, &RequestedPage::of(method, uri, headers), None)
}

/// The same for a user who also has to reach an assurance level, if there is one.
pub(crate) fn confirmation_of(site: &Site, requested: &RequestedPage, level: Option<AssuranceLevel>) -> Response {
    lead_to_confirmation(site, requested, level, WebError::ReauthenticationRequired)
}

/// The response to a user who needs a second factor in this session, by `second_factor.required`.
pub(crate) fn require_second_factor(site: &Site, requested: &RequestedPage) -> Response {
    lead_to_confirmation(site, requested, Some(AssuranceLevel::TWO_FACTORS), WebError::SecondFactorRequired)
}

fn lead_to_confirmation(
    site: &Site,
    requested: &RequestedPage,
    level: Option<AssuranceLevel>,
    refusal: WebError,
) -> Response {
    if requested.is_navigation() {
        see_other(&site.urls.confirm(level, &requested.return_page(site)))
    } else {
        refusal.into_response()
    }
}

fn with_cookie(visitor: Visitor, site: &SharedSite) -> (Visitor, Option<HeaderValue>) {
    let cookie = visitor.session().and_then(|session| reissued_cookie(site, session));
    (visitor, cookie)
}

/// A new cookie for a session whose token a fallback key has signed.
pub(crate) fn reissued_cookie(site: &SharedSite, session: &Session) -> Option<HeaderValue> {
    session.signed_by_fallback.then(|| {
        Event::SessionTokenReissued { user: session.user.id }.record();
        site.cookies.session(&site.services.sessions.reissue(session))
    })
}

/// The visitor of a request, by its session cookies.
pub(crate) async fn look_up(site: &SharedSite, headers: &HeaderMap) -> Result<Visitor, InternalError> {
    match site.cookies.presented_session(headers) {
        CookieLookup::Missing => Ok(Visitor::Anonymous),
        CookieLookup::Found(text) => look_up_one(site, text).await,
        CookieLookup::Ambiguous => Box::pin(look_up_several(site, headers)).await,
    }
}

async fn look_up_one(site: &SharedSite, text: &str) -> Result<Visitor, InternalError> {
    match site.services.sessions.find(text).await? {
        SessionLookup::Active(session) => return Ok(Visitor::Authenticated(session)),
        SessionLookup::InvalidToken(reason) => {
            Event::SessionTokenRefused { reason: &reason, count: None, live: None }.record()
        }
        SessionLookup::Revoked(user) => {
            Event::SessionUseAfterExpire { user }.record();
        }
    }
    Ok(Visitor::Anonymous)
}

/// Looks up all of several session cookies, and takes the one with a live session if there is exactly one. A host of the same
/// domain can add invalid cookies, and must not be able to sign users out with them. Two live sessions count as signed out, as
/// the order of the cookies does not tell which one the browser means.
async fn look_up_several(site: &SharedSite, headers: &HeaderMap) -> Result<Visitor, InternalError> {
    let (mut live, mut count) = (Vec::new(), 0);
    for text in site.cookies.all_sessions(headers).take(MAX_COOKIES) {
        count += 1;
        if let SessionLookup::Active(session) = site.services.sessions.find(text).await? {
            live.push(session);
        }
    }
    if let [session] = live.as_slice() {
        return Ok(Visitor::Authenticated(Arc::clone(session)));
    }
    let (count, live) = (Some(count), Some(live.len() as u64));
    Event::SessionTokenRefused { reason: &"several_cookies", count, live }.record();
    Ok(Visitor::Anonymous)
}

/// Revokes every session whose token a client presents, and those of the former framework. If no key of
/// this node opens a token of ours, and it can revoke none, it fails. Another node may know the key, and the session would stay live there.
pub(super) async fn end_presented(
    site: &Site,
    context: &Context,
    presented: &PresentedSessions,
) -> Result<(), WebError> {
    if !presented.sessions.is_empty() || !presented.legacy.is_empty() {
        site.services.sign_out(context, &presented.sessions, &presented.legacy).await?;
    }
    let ended_none = presented.sessions.is_empty() && presented.of_unknown_key;
    if ended_none { Err(WebError::unknown_key()) } else { Ok(()) }
}
