//! The extractors of our own handlers: the visitor, the presented sessions and the client of a request.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use handstamp_core::Network;

use super::client_address::client_address;
use super::endpoint::RequestContext;
use super::user::{SignedInUser, Visitor};
use super::web_error::WebError;
use super::{Site, legacy};
use crate::context::{Actor, ClientInfo, Context};
use crate::sessions::{PresentedSessions, Session};

const MAX_USER_AGENT_CHARACTERS: usize = 256;

impl FromRequestParts<RequestContext> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, context: &RequestContext) -> Result<Self, Infallible> {
        Ok(context.visitor.clone())
    }
}

impl FromRequestParts<RequestContext> for SignedInUser {
    type Rejection = WebError;

    async fn from_request_parts(_: &mut Parts, context: &RequestContext) -> Result<Self, WebError> {
        match &context.visitor {
            Visitor::Authenticated(session) => Ok(Self(Arc::clone(session))),
            Visitor::Anonymous => Err(WebError::SignedOut),
        }
    }
}

/// An operator at a page of administration. The access of its route has checked the group.
pub(super) struct Administrator {
    pub(super) session: Arc<Session>,
    pub(super) context: Context,
}

impl FromRequestParts<RequestContext> for Administrator {
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, context: &RequestContext) -> Result<Self, WebError> {
        let Visitor::Authenticated(session) = &context.visitor else { return Err(WebError::not_found()) };
        let client = client_info(&context.site, &parts.extensions, &parts.headers);
        let actor = Actor::Administrator { id: session.user.id, session_id: session.session_id };
        Ok(Self { session: Arc::clone(session), context: Context { actor, client } })
    }
}

/// The sessions whose tokens a request presents, for handlers that revoke them.
impl FromRequestParts<RequestContext> for PresentedSessions {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, context: &RequestContext) -> Result<Self, Infallible> {
        Ok(presented_sessions(&context.site, &parts.headers))
    }
}

/// The context of a request, for handlers of acts.
impl FromRequestParts<RequestContext> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, context: &RequestContext) -> Result<Self, Infallible> {
        let client = client_info(&context.site, &parts.extensions, &parts.headers);
        let actor = context
            .visitor
            .session()
            .map_or(Actor::Visitor, |session| Actor::User { id: session.user.id, session_id: session.session_id });
        Ok(Self { actor, client })
    }
}

/// The sessions whose tokens a request presents, and those of the former framework.
pub(crate) fn presented_sessions(site: &Site, headers: &HeaderMap) -> PresentedSessions {
    let mut presented = site.services.sessions.presented(site.cookies.all_sessions(headers));
    if let Some(former) = &site.services.legacy {
        presented.legacy = site.services.presented_legacy(legacy::cookies(former, headers));
    }
    presented
}

/// The client that sent a request.
pub(crate) fn client_info(site: &Site, extensions: &Extensions, headers: &HeaderMap) -> ClientInfo {
    let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address = client_address(site, extensions, headers);
    ClientInfo {
        user_agent: user_agent.chars().take(MAX_USER_AGENT_CHARACTERS).collect(),
        address: address.map_or_else(String::new, |address| address.to_string()),
        network: address.map_or(Network::Unknown, Network::of),
        device_cookie: site.cookies.presented_device(headers).to_owned(),
    }
}
