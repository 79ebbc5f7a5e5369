//! Runs every handler behind its checks: host, CSRF, authentication, timeout and error rendering.

use std::convert::Infallible;
use std::future::poll_fn;
use std::mem::take;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts, Request};
use axum::http::header::{SET_COOKIE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use handstamp_core::Network;
use tokio::time::timeout;

use super::headers::REQUEST_ID;
use super::respond::ErrorPageVisitor;
use super::user::Visitor;
use super::web_error::WebError;
use super::{SharedSite, Site, authenticate, csrf, host, mount, respond};
use crate::context::{Actor, ClientInfo, Context};
use crate::error::InternalError;
use crate::events::Event;
use crate::log;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const MAX_USER_AGENT_CHARACTERS: usize = 256;

/// The access that a handler requires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Any request, whatever host it names.
    Unchecked,
    /// A request that names this site, and that no other site made a browser send.
    SameSite,
    /// The same, and the handler gets the visitor.
    OptionalSession,
    /// The same, and an anonymous visitor is redirected to the sign-in page or gets 401.
    SessionRequired,
}

/// The router state of a handler: the site, and the visitor.
#[derive(Clone)]
pub(super) struct RequestContext {
    pub(super) site: SharedSite,
    /// An anonymous one where the session was not looked up.
    pub(super) visitor: Visitor,
}

impl FromRef<RequestContext> for SharedSite {
    fn from_ref(context: &RequestContext) -> Self {
        Arc::clone(&context.site)
    }
}

/// The future of a response: the type that axum makes of handler functions.
pub(super) type ResponseFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

/// A handler behind its checks.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) site: SharedSite,
    pub(super) access: Access,
    pub(super) handler: Arc<dyn Fn(Request, RequestContext) -> ResponseFuture + Send + Sync>,
}

impl Endpoint {
    /// Runs the checks and then the handler. Each request gets an id, which all its log lines contain; errors are rendered as
    /// pages or problem documents.
    ///
    /// A request is large, and an `async fn` stores its arguments twice in its future. So the request is owned by a block in this
    /// function and borrowed from there, until the handler takes it.
    pub(super) fn call(self, mut request: Request) -> impl Future<Output = Result<Response, Infallible>> + Send {
        let id = self.site.request_ids.next();
        let address = client_address(&self.site, request.extensions(), request.headers());
        let for_log = log::Request::new(id, address, request.method().clone());
        let is_program = respond::is_program(&request);
        let work = async move {
            let response = self.run_with_timeout(&mut request).await;
            let mut response = respond::render_error(&self.site, response, is_program, id);
            self.site.headers.add_to(response.headers_mut());
            let id = HeaderValue::from_bytes(id.as_bytes()).expect("digits are visible ASCII");
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response)
        };
        log::within(for_log, work)
    }

    /// The response to a request, also after a timeout or a panic.
    async fn run_with_timeout(&self, request: &mut Request) -> Response {
        // A sign-out waits for a crashed node, for as long as a lease.
        let limit = REQUEST_TIMEOUT + self.site.services.config.session.lease;
        let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let done = if only_reads {
            let mut work = pin!(AssertUnwindSafe(self.run(request)).catch_unwind());
            // Most requests finish at the first poll, and need neither a timer nor memory for one.
            match poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
                Poll::Ready(done) => Ok(done),
                Poll::Pending => Box::pin(timeout(limit, work)).await,
            }
        } else {
            // A write that has begun is finished, even if the client disconnects: if it were dropped half-way, its outcome would
            // be unknown.
            let (endpoint, mut request) = (self.clone(), take(request));
            let work = AssertUnwindSafe(Box::pin(async move { endpoint.run(&mut request).await })).catch_unwind();
            match Box::pin(timeout(limit, tokio::spawn(log::within_current(work)))).await {
                Ok(Err(error)) => return WebError::from(InternalError::from(error)).into_response(),
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

    /// The response of the handler, or an error response if a check fails.
    async fn run(&self, request: &mut Request) -> Response {
        let (visitor, reissued) = match self.authorize(request).await {
            Continue(authorized) => authorized,
            Break(refusal) => return refusal,
        };
        let error_page_visitor = self.knows_the_visitor().then(|| ErrorPageVisitor(visitor.clone()));
        let context = RequestContext { site: Arc::clone(&self.site), visitor };
        let mut response = (self.handler)(take(request), context).await;
        if let Some(error_page_visitor) = error_page_visitor.filter(|_| response.status().is_client_error()) {
            response.extensions_mut().insert(error_page_visitor);
        }
        if let Some(cookie) = reissued.filter(|_| !response.headers().contains_key(SET_COOKIE)) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }

    fn knows_the_visitor(&self) -> bool {
        matches!(self.access, Access::OptionalSession | Access::SessionRequired)
    }

    /// Authorizes the request: the visitor and, if the token needs re-signing, a new cookie; or an error response. The request
    /// stays as it is; it is `&mut Request` only because `&Request` is not `Send`.
    async fn authorize(&self, request: &mut Request) -> ControlFlow<Response, (Visitor, Option<HeaderValue>)> {
        let Self { site, access, .. } = self;
        if let Some(refusal) = mount::refusal(site, request) {
            return Break(refusal.into_response());
        }
        if *access != Access::Unchecked {
            if let Some(refusal) = host::refusal(site, request) {
                return Break(refusal.into_response());
            }
            if let Some(refusal) = csrf::refusal(site, request) {
                return Break(Box::pin(with_visitor(site, request.headers(), refusal)).await);
            }
            if let Some(redirect) = host::to_public_name(site, request) {
                return Break(redirect);
            }
        }
        match access {
            Access::Unchecked | Access::SameSite => Continue((Visitor::Anonymous, None)),
            Access::OptionalSession => authenticate::authenticate(site, request).await,
            Access::SessionRequired => authenticate::require_session(site, request).await,
        }
    }
}

/// An error response, with the visitor whom its page is for; without one if the database is needed and unavailable.
async fn with_visitor(site: &SharedSite, headers: &HeaderMap, refusal: WebError) -> Response {
    let mut response = refusal.into_response();
    if let Ok(visitor) = authenticate::look_up(site, headers).await {
        response.extensions_mut().insert(ErrorPageVisitor(visitor));
    }
    response
}

/// Who acts and from where, for handlers of acts.
impl FromRequestParts<RequestContext> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, context: &RequestContext) -> Result<Self, Infallible> {
        let site = &context.site;
        let user_agent = parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let address = client_address(site, &parts.extensions, &parts.headers);
        let client = ClientInfo {
            user_agent: user_agent.chars().take(MAX_USER_AGENT_CHARACTERS).collect(),
            address: address.map_or_else(String::new, |address| address.to_string()),
            network: address.map_or(Network::Unknown, Network::of),
            device_cookie: site.cookies.presented_device(&parts.headers).to_owned(),
        };
        let actor = context
            .visitor
            .session()
            .map_or(Actor::Visitor, |session| Actor::User { id: session.user.id, session_id: session.session_id });
        Ok(Self { actor, client })
    }
}

/// Whether the peer is a trusted proxy.
pub(super) fn comes_through_a_trusted_proxy(site: &Site, request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| site.services.config.trusted_proxies.contain(peer.ip()))
}

/// The address of the client: that of the peer, or the one that trusted proxies name.
fn client_address(site: &Site, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let trusted = &site.services.config.trusted_proxies;
    let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
        if !site.warned.address_unknown.swap(true, Ordering::Relaxed) {
            warn_of_unknown_addresses();
        }
        return None;
    };
    let forwarded_for = headers.get_all(FORWARDED_FOR);
    if forwarded_for.iter().next().is_some()
        && trusted.looks_untrusted(peer.ip())
        && !site.warned.proxy_not_trusted.swap(true, Ordering::Relaxed)
    {
        Event::ProxyNotTrusted { peer: &peer.ip() }.record();
    }
    Some(trusted.client(peer.ip(), forwarded_for.iter().map(HeaderValue::as_bytes)))
}

/// The warnings about requests that have been logged: each is logged once, whatever the number of requests.
#[derive(Default)]
pub(crate) struct Warned {
    address_unknown: AtomicBool,
    proxy_not_trusted: AtomicBool,
}

/// Without the addresses of peers, one attacker who guesses passwords keeps all other visitors from signing in. An application
/// without a subscriber of `tracing` would not show that in a log.
#[expect(clippy::print_stderr, reason = "there may be no log")]
fn warn_of_unknown_addresses() {
    const WHAT: &str = "requests come without the address of the peer, so all visitors count as one network, and one attacker \
                        who guesses passwords keeps the others from signing in. Serve the application with \
                        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())";
    Event::AddressUnknown {}.record();
    if !tracing::dispatcher::has_been_set() {
        eprintln!("handstamp: {WHAT}");
    }
}
