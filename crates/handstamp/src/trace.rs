//! Spans for traces: of requests, statements, password hashes and deliveries.
//!
//! A span of a trace has the target [`TRACE_TARGET`] and the level TRACE. Logs leave it out by default. No span is made while no layer of
//! the subscriber enables that target: each place costs the comparison of one number in memory.
//!
//! No field holds what a client has sent or what identifies a user. So a request has the template of its route and not its path, which
//! in mailed links holds a token.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::{HeaderMap, Method, StatusCode};
use pin_project_lite::pin_project;
use tracing::field::Empty;
use tracing::{Level, Span};

use crate::config::PublicUrl;
use crate::environment::Environment;

/// The target of the spans for traces. Other crates of axum applications use it as well, so that one directive turns on the spans of
/// all of them: `otel::tracing=trace`.
pub const TRACE_TARGET: &str = "otel::tracing";

/// Makes a span of a trace.
macro_rules! span {
    (in $parent:expr, $($fields:tt)*) => { ::tracing::trace_span!(target: $crate::trace::TRACE_TARGET, parent: $parent, $($fields)*) };
    ($($fields:tt)*) => { ::tracing::trace_span!(target: $crate::trace::TRACE_TARGET, $($fields)*) };
}
pub(crate) use span;

/// Whether a layer of the subscriber wants the spans of traces.
pub(crate) fn is_on() -> bool {
    tracing::enabled!(target: TRACE_TARGET, Level::TRACE)
}

/// The span in which this runs, if there is a trace. Work that no trace has led to gets no span: a node reads its database ten times a
/// second by itself.
pub(crate) fn current() -> Option<Span> {
    if is_on() { Some(Span::current()).filter(|span| !span.is_disabled()) } else { None }
}

/// A span on the heap, since the futures of requests have to be small; none if no layer wants it.
pub(crate) fn boxed(span: Span) -> Option<Box<Span>> {
    (!span.is_disabled()).then(|| Box::new(span))
}

/// The span of a request to this server, by the semantic conventions of OpenTelemetry for HTTP. `url.path` is left out on purpose.
///
/// The trace of the client goes on only behind a trusted proxy. Any other client could otherwise have its requests recorded that
/// sampling leaves out, and could add its own to the trace of another user.
pub(crate) fn request(
    environment: &Environment,
    public_url: &PublicUrl,
    method: &Method,
    route: Option<&str>,
    headers_of_proxy: Option<&HeaderMap>,
) -> Option<Box<Span>> {
    if !is_on() {
        return None;
    }
    let name = match route {
        Some(route) => format!("{} {route}", method_in_name(method)),
        None => method_in_name(method).to_owned(),
    };
    let span = span!(
        "HTTP request",
        otel.name = name.as_str(),
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = known_method(method).unwrap_or("_OTHER"),
        http.route = route,
        http.response.status_code = Empty,
        url.scheme = public_url.scheme(),
        server.address = public_url.host(),
        "error.type" = Empty,
    );
    if let (Some(propagator), Some(headers)) = (&environment.traces, headers_of_proxy) {
        propagator.extract(headers, &span);
    }
    boxed(span)
}

/// The methods that the semantic conventions know. A client can make up any other.
fn known_method(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| method.as_str() == *known)
}

fn method_in_name(method: &Method) -> &'static str {
    known_method(method).unwrap_or("HTTP")
}

/// The span of a request that this server passes on to an app. `headers` get the trace.
#[cfg(feature = "proxy")]
pub(crate) fn sent_request(
    environment: &Environment,
    method: &Method,
    host: &str,
    port: Option<u16>,
    headers: &mut HeaderMap,
) -> Option<Box<Span>> {
    current()?;
    let span = boxed(span!(
        "HTTP request",
        otel.name = method_in_name(method),
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = known_method(method).unwrap_or("_OTHER"),
        http.response.status_code = Empty,
        server.address = host,
        server.port = port.map(i64::from),
        "error.type" = Empty,
    ))?;
    inject(environment, &span, headers);
    Some(span)
}

/// Writes the trace of a span into the headers of a request.
pub(crate) fn inject(environment: &Environment, span: &Span, headers: &mut HeaderMap) {
    if let Some(propagator) = &environment.traces {
        propagator.inject(span, headers);
    }
}

/// The id of the trace of a span, for the log.
pub(crate) fn id(environment: &Environment, span: &Span) -> Option<String> {
    environment.traces.as_ref()?.trace_id(span)
}

/// Records the status of a response. An error of the client is none of this server, and for a proxy an answer like any other.
pub(crate) fn record_status(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        record_error(span, status.as_str());
    }
}

/// Records that the work of a span has failed, by a word of a small set.
pub(crate) fn record_error(span: &Span, kind: &str) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", kind);
}

/// The span of an attempt to deliver a message of the outbox, which [`record_delivery`] completes.
pub(crate) fn delivery(channel: &'static str, attempt: u32) -> Option<Box<Span>> {
    boxed(span!(
        "delivery",
        otel.name = format_args!("deliver {channel}"),
        otel.kind = "client",
        otel.status_code = Empty,
        handstamp.delivery.channel = channel,
        handstamp.delivery.attempt = i64::from(attempt),
        handstamp.delivery.message = Empty,
        handstamp.delivery.outcome = Empty,
        "error.type" = Empty,
    ))
}

/// Records what became of the delivery whose span this runs in, and of which kind the message was. The outcomes are those of the metrics.
pub(crate) fn record_delivery(message: &str, outcome: &str) {
    let Some(span) = current() else { return };
    span.record("handstamp.delivery.message", message);
    span.record("handstamp.delivery.outcome", outcome);
    if outcome != "sent" {
        record_error(&span, outcome);
    }
}

/// The span of a background job that one node runs for all.
pub(crate) fn job(name: &'static str) -> Option<Box<Span>> {
    boxed(span!(
        "job",
        otel.name = format_args!("job {name}"),
        otel.status_code = Empty,
        handstamp.job.name = name,
        "error.type" = Empty,
    ))
}

/// Records that work has failed for an internal reason.
pub(crate) fn record_failure<T, E>(span: &Span, result: &Result<T, E>) {
    if result.is_err() {
        record_error(span, "internal_error");
    }
}

/// Runs a future within a span, which ends with it, and records its outcome. Without a span it only runs the future.
pub(crate) fn within<F: Future, R: FnOnce(&Span, &F::Output)>(
    span: Option<Box<Span>>,
    work: F,
    record: R,
) -> Traced<F, R> {
    Traced { work, span, record: Some(record) }
}

/// The same for a future that is spawned from the current span.
pub(crate) fn within_current<F: Future>(work: F) -> Traced<F, fn(&Span, &F::Output)> {
    Traced { work, span: current().map(Box::new), record: None }
}

pin_project! {
    /// A future within a span. `tracing`'s own takes forty bytes where there is no span.
    pub(crate) struct Traced<F, R> {
        #[pin]
        work: F,
        span: Option<Box<Span>>,
        record: Option<R>,
    }
}

impl<F: Future, R: FnOnce(&Span, &F::Output)> Future for Traced<F, R> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(span) = this.span else { return this.work.poll(context) };
        let polled = span.in_scope(|| this.work.poll(context));
        if let Poll::Ready(output) = &polled {
            if let Some(record) = this.record.take() {
                record(span, output);
            }
            // The future itself may be kept for longer.
            *this.span = None;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_layer_that_wants_them_no_span_is_made() {
        // Other tests of this process may have layers.
        tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
            assert!(!is_on() && current().is_none() && delivery("mail", 1).is_none());
        });
    }

    #[test]
    fn methods_that_a_client_has_made_up_are_in_no_name() {
        assert_eq!([Method::GET, Method::PATCH].map(|method| method_in_name(&method)), ["GET", "PATCH"]);
        let made_up = Method::from_bytes(b"ADA-EXAMPLE-COM").unwrap();
        assert_eq!((method_in_name(&made_up), known_method(&made_up)), ("HTTP", None));
    }

    #[tokio::test]
    async fn a_future_without_a_span_takes_a_pointer_and_a_flag_more() {
        let bare = async { 42 };
        let size = size_of_val(&bare);
        let traced = within(None, bare, |_, _| {});
        assert!(size_of_val(&traced) <= size + 2 * size_of::<usize>());
        assert_eq!(traced.await, 42);
    }
}
