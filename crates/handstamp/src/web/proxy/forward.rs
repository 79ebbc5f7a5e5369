//! Sends a request to an app, and gives its response back.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, RETRY_AFTER, TRANSFER_ENCODING, UPGRADE};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, request};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as _, Incoming};
use hyper::ext::{ReasonPhrase, on_informational};
use hyper::upgrade::OnUpgrade;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};

use super::apps::App;
use super::binding::{Binding, Bond, Cut, Gate};
use super::body::{Progress, RequestBody, ResponseBody};
use super::connections::{CONNECT_TIMEOUT, IDLE_CONNECTION, Received, SendError};
use super::headers;
use super::upgrade::Upgrade;
use crate::config::AppProxyConfig;
use crate::events::Event;
use crate::log::{self, OnceAMinute};
use crate::sessions::Session;
use crate::web::SharedSite;
use crate::web::forward_auth::SubrequestOptions;
use crate::web::respond::RetryByItself;
use crate::web::web_error::WebError;

/// How long a request without a body waits for an app that restarts, and how often it tries.
const RESTART_TIMEOUT: Duration = Duration::from_secs(2);
const RESTART_INTERVAL: Duration = Duration::from_millis(100);
/// The length of a head that hyper takes together with the body: a fourth of what it keeps for a client that does not read.
const SHORT_HEAD_BYTES: usize = 8 * 1024;
/// How soon a browser tries again by itself, in seconds.
const RETRY_SECONDS: u32 = 2;

/// The outcome of a request that was allowed.
pub(super) enum Passed {
    /// The response of the app, which stays as it is.
    ByApp(Response),
    /// A response of ours.
    Refused(Response),
}

/// The session of a request has ended before the app answered; with the head of the request.
pub(super) struct SessionEnded(pub(super) Box<request::Parts>);

/// Why an app has not answered.
enum Failure {
    NotSent(SendError),
    /// The client has not sent the rest of its request.
    SlowClient,
    /// The client has sent something else than the rest of its request.
    BrokenRequest,
    SessionEnded,
}

/// The HTTP client for all apps.
pub(super) struct AppClient {
    config: AppProxyConfig,
    failures: OnceAMinute,
}

impl AppClient {
    pub(super) fn new(config: AppProxyConfig) -> Self {
        Self { config, failures: OnceAMinute::default() }
    }

    /// Whether the app has a page at this path.
    pub(super) async fn has(&self, app: &App, path: &str) -> bool {
        let request = request::Builder::new().uri(path).header("host", app.authority.as_str());
        let progress = Arc::default();
        let body = RequestBody::new(Body::empty(), &Arc::default(), &progress, None);
        let request = request.body(body).expect("a path is an address");
        let asked = timeout(CONNECT_TIMEOUT, app.connections.send(request, &progress, CONNECT_TIMEOUT)).await;
        asked.is_ok_and(|answer| answer.is_ok_and(|answer| answer.response.status() != StatusCode::NOT_FOUND))
    }

    /// Passes a request on, with headers that are for the app already.
    #[expect(clippy::too_many_arguments, reason = "each is another part of one request")]
    pub(super) async fn pass(
        &self,
        site: &SharedSite,
        app: &App,
        options: &SubrequestOptions,
        session: Option<&Session>,
        request: Request,
        upgrade: Option<HeaderValue>,
        browser: OnUpgrade,
    ) -> Result<Passed, SessionEnded> {
        let Ok(Ok(permit)) = timeout(self.config.timeout, Arc::clone(&app.permits).acquire_owned()).await else {
            let message = "Too many requests wait for this page.";
            return Ok(Passed::Refused(unavailable(request.method(), StatusCode::SERVICE_UNAVAILABLE, message)));
        };
        let binding = session.map(|session| Binding::new(site, session, options));
        let begun = Instant::now();
        let cut = Arc::new(binding.as_ref().map(Binding::cut).unwrap_or_default());
        let (parts, body) = request.into_parts();
        let Received { response, is_whole } = match self.send(app, &parts, body, binding.as_ref(), &cut).await {
            Ok(received) => received,
            Err(failure) => return self.failed(site, app, parts, failure, binding.as_ref()),
        };
        app.metrics.answered(response.status(), begun.elapsed());
        // HTTP/1 takes a body that is here together with a short head. A client of HTTP/2 tells when it takes one.
        let is_taken_at_once =
            is_whole && parts.version <= Version::HTTP_11 && length(response.headers()) < SHORT_HEAD_BYTES;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(self.switch(app, &parts.method, response, upgrade, browser, binding, permit));
        }
        Ok(Passed::ByApp(respond(app, response, binding, cut, permit, is_taken_at_once)))
    }

    /// Waits until the session is found live. Nothing of it passes if that takes too long.
    async fn settled(
        &self,
        binding: Option<&Binding>,
        mut ended: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), Failure> {
        let Some(binding) = binding else { return Ok(()) };
        if binding.is_in_doubt() && poll_fn(|context| Poll::Ready(ended.as_mut().poll(context))).await.is_ready() {
            return Err(Failure::SessionEnded);
        }
        // It is cached as live nearly always, and no timer is needed.
        if !binding.is_in_doubt() && binding.may_pass() {
            return Ok(());
        }
        let settled = async {
            tokio::select! {
                biased;
                () = ended => Err(Failure::SessionEnded),
                () = binding.found_live() => Ok(()),
            }
        };
        timeout(self.config.timeout, settled).await.unwrap_or(Err(Failure::SessionEnded))
    }

    /// The response to a request that the app has not answered, unless its session has ended.
    fn failed(
        &self,
        site: &SharedSite,
        app: &App,
        parts: request::Parts,
        failure: Failure,
        binding: Option<&Binding>,
    ) -> Result<Passed, SessionEnded> {
        match failure {
            Failure::SessionEnded if binding.is_some_and(Binding::is_of_the_node) => {
                let message = "We cannot do this right now. Please try again in a moment.";
                Ok(Passed::Refused(unavailable(&parts.method, StatusCode::SERVICE_UNAVAILABLE, message)))
            }
            Failure::SessionEnded => Err(SessionEnded(Box::new(parts))),
            failure => Ok(Passed::Refused(self.explain(site, app, &parts.method, &failure))),
        }
    }

    /// Sends a request until there is a response, the app takes too long or the session ends.
    async fn send(
        &self,
        app: &App,
        parts: &request::Parts,
        body: Body,
        binding: Option<&Binding>,
        cut: &Arc<Cut>,
    ) -> Result<Received, Failure> {
        let begun = Instant::now();
        let progress = Arc::new(Progress::default());
        let is_repeatable =
            body.is_end_stream() && matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let mut is_repeated = false;
        let mut next = Some(body);
        let ended = async {
            match binding {
                Some(binding) => binding.ended().await,
                None => pending().await,
            }
        };
        let mut ended = std::pin::pin!(ended);
        // The session was looked up before it was watched, and the request may have waited in between.
        self.settled(binding, ended.as_mut()).await?;
        loop {
            let body = next.take().unwrap_or_default();
            let request = prepared(parts, body, cut, &progress);
            let error = tokio::select! {
                biased;
                () = &mut ended => return Err(Failure::SessionEnded),
                sent = app.connections.send(request, &progress, self.config.timeout) => match sent {
                    Ok(received) => {
                        self.settled(binding, ended.as_mut()).await?;
                        return Ok(received);
                    }
                    Err(SendError::Timeout) if !progress.has_ended() => return Err(Failure::SlowClient),
                    Err(error) => error,
                },
            };
            if progress.is_broken() {
                return Err(Failure::BrokenRequest);
            }
            // An app may close a connection that it has kept open just when a request is sent on it (RFC 9110 §9.2.2).
            let (was_closed, restarts) = match error {
                SendError::Broken(_) => (!is_repeated && begun.elapsed() < IDLE_CONNECTION, false),
                SendError::Unreachable(_) => (false, begun.elapsed() < RESTART_TIMEOUT),
                SendError::Timeout => (false, false),
            };
            if !is_repeatable || !(was_closed || restarts) {
                return Err(Failure::NotSent(error));
            }
            is_repeated |= was_closed;
            if restarts {
                sleep(RESTART_INTERVAL).await;
            }
        }
    }

    /// The response to a request that the app has not answered.
    fn explain(&self, site: &SharedSite, app: &App, method: &Method, failure: &Failure) -> Response {
        let (status, reason) = match failure {
            Failure::NotSent(SendError::Unreachable(error)) => (StatusCode::BAD_GATEWAY, explained(error.as_ref())),
            Failure::NotSent(SendError::Broken(error)) => (StatusCode::BAD_GATEWAY, explained(error)),
            Failure::NotSent(SendError::Timeout) => {
                (StatusCode::GATEWAY_TIMEOUT, "no head of a response in time".to_owned())
            }
            Failure::BrokenRequest | Failure::SlowClient | Failure::SessionEnded => {
                app.metrics.refused();
                let is_broken = matches!(failure, Failure::BrokenRequest);
                return if is_broken { StatusCode::BAD_REQUEST } else { StatusCode::REQUEST_TIMEOUT }.into_response();
            }
        };
        app.metrics.unavailable();
        if let Some(unsaid) = self.failures.is_due(site.services.environment.clock_reading().monotonic) {
            Event::AppUnavailable { address: app.authority.as_str(), reason: &reason, unsaid }.record();
        }
        unavailable(method, status, "The application behind this page does not answer. You are still signed in.")
    }

    /// Switches to the protocol that the app has accepted.
    #[expect(clippy::too_many_arguments, reason = "each is another part of one connection")]
    fn switch(
        &self,
        app: &App,
        method: &Method,
        mut response: axum::http::Response<Incoming>,
        offered: Option<HeaderValue>,
        browser: OnUpgrade,
        binding: Option<Binding>,
        permit: OwnedSemaphorePermit,
    ) -> Passed {
        let accepted = response.headers().get(UPGRADE).cloned();
        let is_same = |one: &HeaderValue, other: &HeaderValue| one.as_bytes().eq_ignore_ascii_case(other.as_bytes());
        let Some(protocol) = accepted.filter(|accepted| offered.is_some_and(|offered| is_same(accepted, &offered)))
        else {
            let message = "The application has switched to a protocol that was not offered.";
            return Passed::Refused(unavailable(method, StatusCode::BAD_GATEWAY, message));
        };
        let upgrade = Upgrade {
            browser,
            app: hyper::upgrade::on(&mut response),
            is_websocket: protocol.as_bytes().eq_ignore_ascii_case(b"websocket"),
            idle_timeout: self.config.idle_timeout,
            binding,
            stream: Arc::new(app.metrics.opened()),
            _permit: permit,
        };
        tokio::spawn(log::within_current(upgrade.run()));
        let mut switching = Response::default();
        *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *switching.headers_mut() = std::mem::take(response.headers_mut());
        headers::for_the_browser(switching.headers_mut());
        switching.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        switching.headers_mut().insert(UPGRADE, protocol);
        Passed::ByApp(switching)
    }
}

/// The length of the lines of these headers.
fn length(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

/// The request as it is sent to the app.
fn prepared(
    parts: &request::Parts,
    body: Body,
    cut: &Arc<Cut>,
    progress: &Arc<Progress>,
) -> axum::http::Request<RequestBody> {
    let has_body = !body.is_end_stream();
    let waits = has_body
        && parts.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let gate = waits.then(Arc::<Gate>::default);
    let mut request = axum::http::Request::new(RequestBody::new(body, cut, progress, gate.clone()));
    *request.method_mut() = parts.method.clone();
    // The bytes of the path and the query stay as they are.
    *request.uri_mut() = parts.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")).into();
    *request.headers_mut() = parts.headers.clone();
    // hyper would otherwise send a GET without its body.
    if has_body && !parts.headers.contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if let Some(gate) = gate {
        on_informational(&mut request, move |response| {
            if response.status() == StatusCode::CONTINUE {
                gate.open();
            }
        });
    }
    request
}

/// The response of an app for the browser.
fn respond(
    app: &App,
    response: axum::http::Response<Incoming>,
    binding: Option<Binding>,
    cut: Arc<Cut>,
    permit: OwnedSemaphorePermit,
    is_taken_at_once: bool,
) -> Response {
    let (mut parts, body) = response.into_parts();
    headers::for_the_browser(&mut parts.headers);
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        let stream = Arc::new(app.metrics.opened());
        let bond = binding.map(|binding| match is_taken_at_once {
            true => Bond::Held(binding),
            false => Bond::Guarded(binding.guard(&cut, &stream)),
        });
        Body::new(ResponseBody { body, cut, _bond: bond, stream, _permit: permit })
    };
    let mut passed = Response::new(body);
    *passed.status_mut() = parts.status;
    *passed.headers_mut() = parts.headers;
    if let Some(reason) = parts.extensions.remove::<ReasonPhrase>() {
        passed.extensions_mut().insert(reason);
    }
    passed
}

/// An error response whose page tries again by itself, where that repeats nothing.
fn unavailable(method: &Method, status: StatusCode, message: &'static str) -> Response {
    let mut response = WebError::refused(status, message).into_response();
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS.into());
    if *method == Method::GET {
        response.extensions_mut().insert(RetryByItself(RETRY_SECONDS));
    }
    response
}

/// An error with its causes.
fn explained(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
