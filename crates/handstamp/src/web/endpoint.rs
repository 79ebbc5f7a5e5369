//! Runs every handler behind its checks: host, CSRF, session, timeout and error rendering.

use std::convert::Infallible;
use std::future::poll_fn;
use std::mem::take;
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::extract::{FromRef, Request};
use axum::http::header::{CONTENT_SECURITY_POLICY, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::timeout;
use tracing::Span;

use super::access::{Access, ErrorFormat, SessionAccess};
use super::client_address::{client_address, comes_through_a_trusted_proxy};
use super::headers::{PagePolicy, REQUEST_ID};
use super::respond::ErrorPageVisitor;
use super::urls::WELL_KNOWN;
use super::user::{RequestedPage, Visitor, original_uri};
use super::web_error::WebError;
use super::{SharedSite, authenticate, csrf, host, mount, negotiate, respond};
use crate::internal_error::InternalError;
use crate::{log, trace};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The routes that are not traced: monitoring asks them every few seconds.
const HEALTH_CHECKS: [&str; 2] = ["/healthz", "/readyz"];

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

/// A handler behind its checks. All requests to a route share it.
#[derive(Clone)]
pub(super) struct Endpoint(Arc<Checked>);

/// The handler is boxed so that the pointer to this struct is a thin one, since the future of every request stores it.
struct Checked {
    site: SharedSite,
    access: Access,
    /// The template of its path in traces; none where many paths lead to it.
    route: Option<String>,
    /// Whether its requests are traced.
    is_traced: bool,
    /// The Content-Security-Policy of its pages, if it is not that of every page.
    own_policy: Option<HeaderValue>,
    handler: Box<dyn Fn(Request, RequestContext) -> ResponseFuture + Send + Sync>,
}

impl Endpoint {
    pub(super) fn new(
        site: &SharedSite,
        access: Access,
        route: Option<&str>,
        handler: impl Fn(Request, RequestContext) -> ResponseFuture + Send + Sync + 'static,
    ) -> Self {
        let own_policy = (access.policy != PagePolicy::STRICT).then(|| access.policy.header(&site.urls));
        let is_traced = !route.is_some_and(|route| HEALTH_CHECKS.contains(&route));
        // The application sees the path with the prefix, and `/.well-known` is beneath none.
        let route = route.map(|route| if route == WELL_KNOWN { route.to_owned() } else { site.urls.page(route) });
        let handler = Box::new(handler);
        Self(Arc::new(Checked { site: Arc::clone(site), access, route, is_traced, own_policy, handler }))
    }

    /// The access to the handler.
    #[cfg(test)]
    pub(super) fn access(&self) -> Access {
        self.0.access
    }

    /// Runs the checks and then the handler. Each request gets an id, which all its log lines contain; errors are rendered as
    /// pages or problem documents.
    ///
    /// A request is large, and an `async fn` stores its arguments twice in its future. So the request is owned by a block in this
    /// function and borrowed from there, until the handler takes it.
    pub(super) fn call(self, mut request: Request) -> impl Future<Output = Result<Response, Infallible>> + Send {
        let site = &self.0.site;
        let id = site.request_ids.next();
        let address = client_address(site, request.extensions(), request.headers());
        let span = self.span(&request);
        let mut for_log = log::Request::new(id, address, request.method().clone());
        if let Some(span) = &span {
            for_log = for_log.of_trace(trace::id(&site.services.environment, span).as_deref());
        }
        let is_program = match self.0.access.errors {
            ErrorFormat::Negotiated => negotiate::is_program(request.headers()),
            ErrorFormat::Problem => true,
        };
        let work = async move {
            let response = self.run_with_timeout(&mut request).await;
            let site = &self.0.site;
            let mut response = respond::render_error(site, response, is_program, Some(id));
            site.headers.add_to(response.headers_mut());
            let id = HeaderValue::from_bytes(id.as_bytes()).expect("digits are visible ASCII");
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response)
        };
        let work = trace::within(span, work, |span, done: &Result<Response, Infallible>| {
            if let Ok(response) = done {
                trace::record_status(span, response.status());
            }
        });
        log::within(for_log, work)
    }

    /// The span of a request, if it is traced.
    fn span(&self, request: &Request) -> Option<Box<Span>> {
        let Checked { site, route, is_traced, .. } = &*self.0;
        if !is_traced || !trace::is_on() {
            return None;
        }
        let services = &site.services;
        let headers = comes_through_a_trusted_proxy(site, request).then(|| request.headers());
        trace::request(&services.environment, &services.config.public_url, request.method(), route.as_deref(), headers)
    }

    /// The response to a request, also after a timeout or a panic.
    async fn run_with_timeout(&self, request: &mut Request) -> Response {
        // A sign-out waits for a crashed node, for as long as a lease.
        let limit = REQUEST_TIMEOUT + self.0.site.services.config.session.lease;
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
            match Box::pin(timeout(limit, tokio::spawn(log::within_current(trace::within_current(work))))).await {
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
        let knows_the_visitor = self.0.access.session != SessionAccess::Ignored;
        let error_page_visitor = knows_the_visitor.then(|| ErrorPageVisitor(visitor.clone()));
        let mut response = match self.0.access.refusal(&self.0.site, &visitor) {
            Some(WebError::ReauthenticationRequired) if self.0.access.errors == ErrorFormat::Negotiated => {
                let uri = original_uri(request.uri(), request.extensions());
                authenticate::require_confirmation(&self.0.site, request.method(), uri, request.headers())
            }
            Some(WebError::SecondFactorRequired) if self.0.access.errors == ErrorFormat::Negotiated => {
                let uri = original_uri(request.uri(), request.extensions());
                let requested = RequestedPage::of(request.method(), uri, request.headers());
                authenticate::require_second_factor(&self.0.site, &requested)
            }
            Some(refusal) => refusal.into_response(),
            None => {
                let context = RequestContext { site: Arc::clone(&self.0.site), visitor };
                (self.0.handler)(take(request), context).await
            }
        };
        // Only a page has the header already: everything else, and every error page, gets the strict policy.
        if let Some(own) = &self.0.own_policy
            && let Some(policy) = response.headers_mut().get_mut(CONTENT_SECURITY_POLICY)
        {
            policy.clone_from(own);
        }
        if let Some(error_page_visitor) = error_page_visitor.filter(|_| response.status().is_client_error()) {
            response.extensions_mut().insert(error_page_visitor);
        }
        if let Some(cookie) = reissued.filter(|_| !response.headers().contains_key(SET_COOKIE)) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }

    /// Authorizes the request: the visitor and, if the token needs re-signing, a new cookie; or an error response. The request
    /// stays as it is; it is `&mut Request` only because `&Request` is not `Send`.
    async fn authorize(&self, request: &mut Request) -> ControlFlow<Response, (Visitor, Option<HeaderValue>)> {
        let Checked { site, access, .. } = &*self.0;
        if let Some(refusal) = mount::refusal(site, request) {
            return Break(refusal.into_response());
        }
        if access.checks_host
            && let Some(refusal) = host::refusal(site, request)
        {
            return Break(refusal.into_response());
        }
        if access.checks_csrf
            && let Some(refusal) = csrf::refusal(site, request, access.errors)
        {
            return Break(Box::pin(with_visitor(site, request.headers(), refusal)).await);
        }
        if access.checks_host
            && let Some(redirect) = host::to_public_name(site, request)
        {
            return Break(redirect);
        }
        match access.session {
            SessionAccess::Ignored => Continue((Visitor::Anonymous, None)),
            SessionAccess::Optional => authenticate::authenticate(site, request).await,
            SessionAccess::Required => authenticate::require_session(site, request).await,
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
