//! In front of an app: requests for our own pages are answered here, and all others are passed on with the identity of their user.

mod apps;
mod binding;
mod body;
mod connections;
mod forward;
mod headers;
mod metrics;
mod upgrade;
mod websocket;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tower::Service;
use tracing::Span;

use super::access::ErrorFormat;
use super::client_address::{client_address, comes_through_a_trusted_proxy};
use super::forward_auth::{self, OriginalRequest, SubrequestOptions, in_ascii};
use super::headers::REQUEST_ID;
use super::respond::ErrorPageVisitor;
use super::urls::Origin;
use super::user::Visitor;
use super::web_error::WebError;
use super::{SharedSite, authenticate, csrf, host, negotiate, respond, routes};
use crate::{log, trace};
use apps::{App, Apps, Owner};
use forward::{AppClient, Passed};

/// The service of a site that stands in front of apps: it answers our own pages, and passes everything else on. The settings
/// [`app`](crate::Config::app), [`apps`](crate::Config::apps) and [`app_proxy`](crate::Config::app_proxy) are its own.
///
/// Serve it as an axum application, with the addresses of the peers:
/// `axum::ServiceExt::into_make_service_with_connect_info::<SocketAddr>`.
///
/// A response, a WebSocket or another upgraded connection is bound to the session of its request. When the session ends, on any
/// node, it is cut before the end is reported.
#[derive(Clone)]
pub struct ReverseProxy(Arc<Inner>);

struct Inner {
    site: SharedSite,
    /// Our own pages.
    pages: Router,
    apps: Apps,
    client: AppClient,
}

/// An authorized request: its app, its rules, and the identity of its user.
struct Allowed<'a> {
    app: &'a App,
    options: SubrequestOptions,
    origin: Origin,
    visitor: Visitor,
    /// The host as the client has written it.
    host: HeaderValue,
    /// The response to the authorization subrequest.
    identity: Response,
}

impl ReverseProxy {
    pub(crate) fn new(site: &SharedSite) -> Self {
        let config = &site.services.config;
        Self(Arc::new(Inner {
            site: Arc::clone(site),
            pages: routes::in_front(site),
            apps: Apps::new(config, &site.urls),
            client: AppClient::new(config.app_proxy),
        }))
    }

    /// Asks each app for our account page, and returns the addresses of those that have a page there. It can never be reached.
    pub async fn apps_with_our_paths(&self) -> Vec<String> {
        let Inner { apps, client, .. } = &*self.0;
        let mut found = Vec::new();
        for app in apps.iter() {
            if client.has(app, apps.account()).await {
                found.push(app.authority.to_string());
            }
        }
        found
    }
}

impl fmt::Debug for ReverseProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReverseProxy").finish_non_exhaustive()
    }
}

impl<B> Service<axum::http::Request<B>> for ReverseProxy
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        let request = request.map(Body::new);
        Box::pin(async move { Ok(inner.respond(request).await) })
    }
}

impl Inner {
    async fn respond(&self, request: Request) -> Response {
        if self.apps.is_of_the_site(request.uri().path()) {
            let Ok(response) = self.pages.clone().call(request).await;
            return response;
        }
        let site = &self.site;
        let id = site.request_ids.next();
        let address = client_address(site, request.extensions(), request.headers());
        let span = self.span(&request);
        let mut for_log = log::Request::new(id, address, request.method().clone());
        if let Some(span) = &span {
            for_log = for_log.of_trace(trace::id(&site.services.environment, span).as_deref());
        }
        let is_program = negotiate::is_program(request.headers());
        let work = async move {
            let bare = match self.pass(request).await {
                Ok(Passed::ByApp(response)) => return response,
                Ok(Passed::Refused(refusal)) => refusal,
                Err(error) => error.into_response(),
            };
            let mut response = respond::render_error(site, bare, is_program, Some(id));
            site.headers.add_to(response.headers_mut());
            let id = HeaderValue::from_bytes(id.as_bytes()).expect("digits are visible ASCII");
            response.headers_mut().insert(REQUEST_ID, id);
            response
        };
        let work = trace::within(span, work, |span, response: &Response| trace::record_status(span, response.status()));
        log::within(for_log, work).await
    }

    /// The span of a request for an app, if it is traced. The app knows the route, and the path may hold a secret of its own.
    fn span(&self, request: &Request) -> Option<Box<Span>> {
        if !trace::is_on() {
            return None;
        }
        let services = &self.site.services;
        let headers = comes_through_a_trusted_proxy(&self.site, request).then(|| request.headers());
        trace::request(&services.environment, &services.config.public_url, request.method(), None, headers)
    }

    /// Passes a request on, if its app and its rules allow it.
    async fn pass(&self, mut request: Request) -> Result<Passed, WebError> {
        let mut allowed = match self.authorize(&mut request).await? {
            Ok(allowed) => allowed,
            Err(refusal) => return Ok(Passed::Refused(refusal)),
        };
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        let trusted = comes_through_a_trusted_proxy(&self.site, &request);
        let browser = hyper::upgrade::on(&mut request);
        let upgrade = headers::offered_protocol(request.headers());
        let origin = headers::Origin { peer, trusted, scheme: self.site.urls.scheme(), host: &allowed.host };
        headers::for_the_app(request.headers_mut(), &origin, allowed.identity.headers_mut(), upgrade.clone());
        let session = allowed.visitor.session();
        let (address, method) = (&allowed.app.authority, request.method().clone());
        let environment = &self.site.services.environment;
        let span = trace::sent_request(environment, &method, address.host(), address.port_u16(), request.headers_mut());
        let passed = self.client.pass(&self.site, allowed.app, &allowed.options, session, request, upgrade, browser);
        match trace::within(span, passed, record_passed).await {
            Ok(Passed::ByApp(mut response)) => {
                // A token that a fallback key had signed was signed anew.
                for cookie in allowed.identity.headers().get_all(SET_COOKIE) {
                    response.headers_mut().append(SET_COOKIE, cookie.clone());
                }
                Ok(Passed::ByApp(response))
            }
            Ok(refused) => Ok(refused),
            Err(forward::SessionEnded(asked)) => {
                allowed.app.metrics.refused();
                let original = original_request(&asked.method, &asked.uri, &allowed.origin);
                forward_auth::answer(
                    &self.site,
                    &asked.headers,
                    &Visitor::Anonymous,
                    &original,
                    &SubrequestOptions::default(),
                )
                .map(Passed::Refused)
            }
        }
    }

    /// Decides whether a request may pass: by its host, its path, its origin and its session. The request stays as it is; it is
    /// `&mut Request` only because `&Request` is not `Send`.
    async fn authorize(&self, request: &mut Request) -> Result<Result<Allowed<'_>, Response>, WebError> {
        let site = &self.site;
        let (host, origin) = self.requested_host(request)?;
        let public_url = &site.services.config.public_url;
        let (app, is_public) = match self.apps.owner(&origin, public_url.answers_to(host), request.uri().path()) {
            Owner::App { app, is_public } => (app, is_public),
            Owner::NoHost => return Err(host::misdirected(site)),
            Owner::Site | Owner::NoPath => return Err(WebError::not_found()),
            Owner::Ambiguous => return Err(malformed("This path can be read in two ways, so it leads nowhere.")),
        };
        let refused = |refusal: Response| {
            app.metrics.refused();
            Ok(Err(refusal))
        };
        let errors = match negotiate::is_program(request.headers()) {
            true => ErrorFormat::Problem,
            false => ErrorFormat::Negotiated,
        };
        if site.services.config.app_proxy.csrf
            && let Some(refusal) = csrf::refusal(site, request, errors)
        {
            return refused(refusal.into_response());
        }
        if let Some(redirect) = host::to_public_name(site, request) {
            return refused(redirect);
        }
        let visitor = authenticate::look_up(site, request.headers()).await?;
        let options = match is_public {
            true => SubrequestOptions { for_everybody: true, ..SubrequestOptions::default() },
            false => app.options.clone(),
        };
        let original = original_request(request.method(), request.uri(), &origin);
        let identity = match forward_auth::answer(site, request.headers(), &visitor, &original, &options) {
            Ok(identity) if identity.status() == StatusCode::OK => identity,
            Ok(redirect) => return refused(redirect),
            Err(error) => {
                let mut refusal = error.into_response();
                refusal.extensions_mut().insert(ErrorPageVisitor(visitor));
                return refused(refusal);
            }
        };
        let host = HeaderValue::from_str(host).map_err(|_| malformed("The host of this request is invalid."))?;
        Ok(Ok(Allowed { app, options, origin, visitor, host, identity }))
    }

    /// The host that a request names, and its origin as browsers write it. Only paths are passed on: a proxy that goes wherever a
    /// request wants would be one for everybody.
    fn requested_host<'a>(&self, request: &'a Request) -> Result<(&'a str, Origin), WebError> {
        if *request.method() == Method::CONNECT || !request.uri().path().starts_with('/') {
            return Err(malformed("This request names no page."));
        }
        let host = host::asked_for(request).ok_or_else(|| host::misdirected(&self.site))?;
        let origin = forward_auth::origin(self.site.urls.scheme(), host);
        Ok((host, origin.map_err(|_| host::misdirected(&self.site))?))
    }
}

/// Records the answer of an app in the span of the request to it.
fn record_passed(span: &Span, passed: &Result<Passed, forward::SessionEnded>) {
    match passed {
        Ok(Passed::ByApp(response)) => trace::record_status(span, response.status()),
        Ok(Passed::Refused(_)) => trace::record_error(span, "unavailable"),
        Err(forward::SessionEnded(_)) => trace::record_error(span, "session_ended"),
    }
}

/// The request as the access rules see it.
fn original_request<'a>(method: &Method, uri: &Uri, origin: &Origin) -> OriginalRequest<'a> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let target = in_ascii(target.as_bytes()).into_owned().into();
    OriginalRequest { method: method.clone(), origin: origin.clone(), target }
}

fn malformed(message: &'static str) -> WebError {
    WebError::refused(StatusCode::BAD_REQUEST, message)
}
