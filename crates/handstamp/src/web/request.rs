use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::header::{SET_COOKIE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use futures_util::FutureExt;
use handstamp_core::Network;
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;
use tracing::{Instrument, field};

use super::failure::Failure;
use super::{SharedSite, Site, cross_site, host, respond, session};
use crate::error::Fault;
use crate::sessions::Device;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const MAX_USER_AGENT_CHARACTERS: usize = 256;

/// What the log calls requests, and what a page tells somebody to report: numbers that nobody can tell from random ones,
/// of which none comes twice in some billions.
#[derive(Default)]
pub(crate) struct RequestIds {
    count: AtomicU64,
    key: RandomState,
}

impl RequestIds {
    fn next(&self) -> HeaderValue {
        let number = self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(format!("{number:016x}")).expect("digits are visible ASCII")
    }
}

/// Whose requests pass through a door.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Admits {
    /// Those of anybody, by whatever name they call us.
    Anybody,
    /// Those that were meant for this site, and not sent by another one.
    ForThisSite,
    /// The same, and the handler is told who asks.
    Visitors,
    /// The same, but strangers are sent to sign in.
    Members,
}

/// The way of a request to some of our routes.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) site: SharedSite,
    pub(super) admits: Admits,
}

impl Layer<Route> for Door {
    type Service = Guarded;

    fn layer(&self, route: Route) -> Guarded {
        Guarded { door: self.clone(), route }
    }
}

/// A route behind a door.
#[derive(Clone)]
pub(super) struct Guarded {
    door: Door,
    route: Route,
}

impl Service<Request> for Guarded {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    /// As axum's routes always are.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(receive(self.clone(), request))
    }
}

impl Guarded {
    /// The answer of what is behind the door, or why it stays shut.
    async fn pass(mut self, mut request: Request) -> Response {
        let renewed = match self.door.admit(&mut request).await {
            Continue(renewed) => renewed,
            Break(refusal) => return refusal,
        };
        let Ok(mut response) = self.route.call(request).await;
        if let Some(cookie) = renewed.filter(|_| !response.headers().contains_key(SET_COOKIE)) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }
}

impl Door {
    /// Lets a request in, told who asks, with another cookie for them if they need one; or says why not.
    async fn admit(&self, request: &mut Request) -> ControlFlow<Response, Option<HeaderValue>> {
        let Self { site, admits } = self;
        if *admits != Admits::Anybody
            && let Some(refusal) = host::refusal(site, request).or_else(|| cross_site::refusal(site, request))
        {
            return Break(refusal.into_response());
        }
        match admits {
            Admits::Anybody | Admits::ForThisSite => Continue(None),
            Admits::Visitors => session::load(site, request).await,
            Admits::Members => session::load_member(site, request).await,
        }
    }
}

/// What every request passes through, whoever is to answer it. It gets an id, which all its lines in the log carry; and
/// whatever comes of it is dressed for people or for programs.
///
/// A request is large, and every asynchronous function that it passes through keeps it twice: so these are few.
fn receive(guarded: Guarded, request: Request) -> impl Future<Output = Result<Response, Infallible>> {
    let site = Arc::clone(&guarded.door.site);
    let request_id = site.request_ids.next();
    let span = {
        let id = request_id.to_str().unwrap_or_default();
        let address = client_address(&site, request.extensions(), request.headers()).map(field::display);
        tracing::info_span!("request", id, address, method = request.method().as_str())
    };
    let is_program = respond::is_program(&request);
    let work = async move {
        let response = answer(guarded, request).await;
        let mut response = respond::dress(&site, response, is_program, &request_id);
        site.headers.add_to(response.headers_mut());
        response.headers_mut().insert(REQUEST_ID, request_id);
        Ok(response)
    };
    work.instrument(span)
}

/// What comes of a request, whatever happens on its way.
async fn answer(guarded: Guarded, request: Request) -> Response {
    // A sign-out waits for a node that has died, and that takes a lease.
    let limit = REQUEST_TIMEOUT + guarded.door.site.accounts.config.session.lease;
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let work = AssertUnwindSafe(guarded.pass(request)).catch_unwind();
    let done = if only_reads {
        timeout(limit, work).await
    } else {
        // What was begun is finished, even when the client does not wait for it: an act that is dropped half-way leaves
        // nobody knowing whether it was done.
        match timeout(limit, tokio::spawn(work.in_current_span())).await {
            Ok(Err(error)) => return Failure::from(Fault::from(error)).into_response(),
            Ok(Ok(done)) => Ok(done),
            Err(elapsed) => Err(elapsed),
        }
    };
    match done {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => respond::panicked(&*panic),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// The device at the other end, for handlers that keep note of it.
impl FromRequestParts<SharedSite> for Device {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &SharedSite) -> Result<Self, Infallible> {
        let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let address = client_address(site, &parts.extensions, &parts.headers);
        Ok(Self {
            user_agent: user_agent.chars().take(MAX_USER_AGENT_CHARACTERS).collect(),
            address: address.map_or_else(String::new, |address| address.to_string()),
            network: address.map_or(Network::Unknown, Network::of),
            cookie: site.cookies.presented_device(&parts.headers).to_owned(),
        })
    }
}

/// Where a request comes from, as far as we trust whoever says so.
fn client_address(site: &Site, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    static TOLD: Once = Once::new();
    let trusted = &site.accounts.config.trusted_proxies;
    let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
        TOLD.call_once(|| {
            tracing::warn!(
                event = "address_unknown",
                "requests come without the address of the peer: all count as one network"
            )
        });
        return None;
    };
    let forwarded_for = headers.get_all(FORWARDED_FOR);
    if forwarded_for.iter().next().is_some() && trusted.seems_to_miss(peer.ip()) {
        TOLD.call_once(|| {
            tracing::warn!(
                event = "proxy_not_trusted",
                "a request came with X-Forwarded-For from {}; if that is your proxy, name it in trusted_proxies: all who come through it count as one network",
                peer.ip()
            );
        });
    }
    Some(trusted.client(peer.ip(), forwarded_for.iter().map(HeaderValue::as_bytes)))
}
