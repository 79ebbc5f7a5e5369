//! The visitor of a request: its extractors, and the redirect to the sign-in page.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::header::{ACCEPT, HOST, HeaderName, REFERER};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;

use super::Site;
use super::endpoint::RequestContext;
use super::redirect::see_other;
use super::web_error::WebError;
use crate::sessions::{PresentedSessions, Session};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The visitor that a request comes from.
#[derive(Clone)]
pub(super) enum Visitor {
    Anonymous,
    Authenticated(Arc<Session>),
}

impl Visitor {
    /// The session, if the visitor is signed in.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Anonymous => None,
            Self::Authenticated(session) => Some(session),
        }
    }
}

impl FromRequestParts<RequestContext> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, context: &RequestContext) -> Result<Self, Infallible> {
        Ok(context.visitor.clone())
    }
}

/// A signed-in user. As an extractor it rejects anonymous visitors.
pub(super) struct SignedInUser(pub(super) Arc<Session>);

impl FromRequestParts<RequestContext> for SignedInUser {
    type Rejection = WebError;

    async fn from_request_parts(_: &mut Parts, context: &RequestContext) -> Result<Self, WebError> {
        match &context.visitor {
            Visitor::Authenticated(session) => Ok(Self(Arc::clone(session))),
            Visitor::Anonymous => Err(WebError::SignedOut),
        }
    }
}

/// The sessions whose tokens a request presents, for handlers that revoke them.
impl FromRequestParts<RequestContext> for PresentedSessions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, context: &RequestContext) -> Result<Self, Infallible> {
        let site = &context.site;
        Ok(site.services.sessions.presented(site.cookies.all_sessions(&parts.headers)))
    }
}

/// The requested URI. Where an application nests its routes, its handlers see only the rest of the path, which would lead nowhere
/// as a link.
pub(super) fn original_uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    extensions.get::<OriginalUri>().map_or(uri, |OriginalUri(uri)| uri)
}

/// Redirects to the sign-in page. The return URL is the requested page, or for a form the page that contained it. The entered
/// data is lost, and the target of a form need not be a page.
pub(super) fn redirect_to_sign_in(site: &Site, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    if matches!(*method, Method::GET | Method::HEAD) {
        let return_target = uri.path_and_query().and_then(|url| ReturnTo::parse(url.as_str()));
        return see_other(&site.urls.sign_in(return_target.as_ref().unwrap_or(site.urls.account())));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let url = site.urls.sign_in_after_form(page_of_own_form(site, uri), text(REFERER), text(HOST));
    see_other(&url)
}

/// The page with the form that was sent to one of our URLs.
fn page_of_own_form(site: &Site, uri: &Uri) -> Option<ReturnTo> {
    let is_ours = uri.path().starts_with(&site.urls.page("/account/"));
    uri.path().split("/revoke").next().filter(|_| is_ours).and_then(ReturnTo::parse)
}

/// Whether a browser navigates to a page, as opposed to a fetch by a script or a program.
pub(super) fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let seems_so = || matches!(*method, Method::GET | Method::HEAD) && accepts(headers, "text/html");
    sec_fetch_navigate(headers).unwrap_or_else(seems_so)
}

/// The same according to `Sec-Fetch-Mode`; none where the browser does not send it.
pub(super) fn sec_fetch_navigate(headers: &HeaderMap) -> Option<bool> {
    headers.get(SEC_FETCH_MODE).map(|mode| mode == "navigate")
}

pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(media_type)))
}
