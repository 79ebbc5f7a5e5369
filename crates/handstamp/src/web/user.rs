use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::header::{ACCEPT, HeaderName};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, Uri};
use axum::response::Response;
use handstamp_core::ReturnTo;

use super::Site;
use super::failure::Failure;
use super::redirect::see_other;
use super::request::Visit;
use crate::sessions::{Session, Shown};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Whoever asks for a page.
#[derive(Clone)]
pub(super) enum Visitor {
    Stranger,
    Member(Arc<Session>),
}

impl Visitor {
    /// Their session, if they are signed in.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Stranger => None,
            Self::Member(session) => Some(session),
        }
    }
}

impl FromRequestParts<Visit> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, visit: &Visit) -> Result<Self, Infallible> {
        Ok(visit.visitor.clone())
    }
}

/// Somebody who is signed in.
pub(super) struct Member(pub(super) Arc<Session>);

impl FromRequestParts<Visit> for Member {
    type Rejection = Failure;

    async fn from_request_parts(_: &mut Parts, visit: &Visit) -> Result<Self, Failure> {
        match &visit.visitor {
            Visitor::Member(session) => Ok(Self(Arc::clone(session))),
            Visitor::Stranger => Err(Failure::SignedOut),
        }
    }
}

/// The sessions that a request shows tokens of, for acts that end them.
impl FromRequestParts<Visit> for Shown {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, visit: &Visit) -> Result<Self, Infallible> {
        let site = &visit.site;
        Ok(site.accounts.sessions.shown(site.cookies.all_sessions(&parts.headers)))
    }
}

/// What was asked for. Where an application nests its routes, the rest of the path that they see would lead nowhere.
pub(super) fn original_uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    extensions.get::<OriginalUri>().map_or(uri, |OriginalUri(uri)| uri)
}

/// To the sign-in page, and on from there to what was asked for.
pub(super) fn to_sign_in(site: &Site, method: &Method, uri: &Uri) -> Response {
    see_other(&site.places.sign_in(&wanted(site, method, uri)))
}

/// Where somebody wants to be once they are signed in: on the page they asked for, or on the one whose form they sent.
fn wanted(site: &Site, method: &Method, uri: &Uri) -> ReturnTo {
    let place = match *method {
        Method::GET | Method::HEAD => uri.path_and_query().map_or("", |place| place.as_str()),
        _ => uri.path().split("/revoke").next().unwrap_or_default(),
    };
    ReturnTo::parse(place).unwrap_or_else(|| site.places.account().clone())
}

/// Whether a browser goes to a page, rather than a script or a program fetching something.
pub(super) fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let seems_so = || matches!(*method, Method::GET | Method::HEAD) && accepts(headers, "text/html");
    says_navigation(headers).unwrap_or_else(seems_so)
}

/// The same by the word of the browser, if it says anything.
pub(super) fn says_navigation(headers: &HeaderMap) -> Option<bool> {
    headers.get(SEC_FETCH_MODE).map(|mode| mode == "navigate")
}

pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(media_type)))
}
