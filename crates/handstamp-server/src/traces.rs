//! Traces: exports the spans of requests, statements and deliveries to a collector, by the protocol of OpenTelemetry (OTLP) over HTTP.
//!
//! The library makes the spans, see `handstamp::TRACE_TARGET`. Without the setting `telemetry.otlp` nothing here runs, and no span is
//! made.

mod client;
mod export;

use std::str::FromStr;
use std::time::Duration;

use axum::http::HeaderMap;
use handstamp::environment::{Environment, Rng, SystemRng, TracePropagator};
use handstamp::{InvalidSetting, TRACE_TARGET};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::CliError;
pub(crate) use export::describe_metrics;

/// The path at which collectors take traces, if the URL has none (OTLP 1.9, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// How long a stop waits for the last spans to be taken.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The URL of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtlpUrl(Url);

impl OtlpUrl {
    fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host, if it is an address.
    pub(crate) fn address(&self) -> Option<std::net::IpAddr> {
        match self.0.host()? {
            url::Host::Domain(_) => None,
            url::Host::Ipv4(address) => Some(address.into()),
            url::Host::Ipv6(address) => Some(address.into()),
        }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl FromStr for OtlpUrl {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let mut url = Url::parse(text).map_err(|error| InvalidSetting::new(format!("is not a URL: {error}")))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(InvalidSetting::new("must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidSetting::new("must have no credentials: OTEL_EXPORTER_OTLP_HEADERS holds those"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidSetting::new("must have no query and no fragment"));
        }
        if url.port() == Some(4317) {
            return Err(InvalidSetting::new(
                "must be the address for OTLP over HTTP, mostly port 4318: 4317 is for gRPC",
            ));
        }
        if url.path() == "/" {
            url.set_path(PATH);
        }
        Ok(Self(url))
    }
}

/// The running export of traces.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    /// The id of this process in traces.
    instance: String,
    url: OtlpUrl,
}

impl Traces {
    /// Starts to export spans. It must run within the runtime, which sends them.
    ///
    /// # Errors
    /// When the certificates of this machine cannot be read, or a variable of OpenTelemetry's is invalid.
    pub(crate) fn start(url: &OtlpUrl) -> Result<Self, CliError> {
        let mut id = [0; 16];
        SystemRng.fill(&mut id);
        let instance = uuid::Builder::from_random_bytes(id).into_uuid().to_string();
        let exporter = export::exporter(url)?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(&instance))
            .with_span_processor(export::processor(exporter))
            .build();
        Ok(Self { provider, instance, url: url.clone() })
    }

    /// The tracer for [`layer`].
    pub(crate) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("handstamp")
    }

    /// Logs where the spans go; the log must have started.
    pub(crate) fn announce(&self) {
        let (url, instance) = (self.url.as_str(), &self.instance);
        tracing::info!(event = "telemetry_started", url, instance, "sending traces to a collector");
    }

    /// Sends the last spans, unless the collector takes too long.
    pub(crate) async fn stop(self) {
        // It blocks until the thread of the export is done.
        let stopped = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        if !matches!(stopped, Ok(Ok(()))) {
            tracing::warn!(event = "telemetry_not_flushed", "the collector has not taken the last spans");
        }
    }
}

/// The attributes that all spans of this process have. The variables of OpenTelemetry's come first: OTEL_SERVICE_NAME and
/// OTEL_RESOURCE_ATTRIBUTES.
fn resource(instance: &str) -> Resource {
    let detected = Resource::builder().build();
    let is_given = |name: &'static str| {
        let value = detected.get(&Key::new(name));
        value.is_some_and(|value| !value.as_str().starts_with("unknown_service"))
    };
    let own = [
        ("service.name", "handstamp"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        // Not the id under which the node holds its lease: that one changes while the process runs.
        ("service.instance.id", instance),
    ];
    let missing = own.into_iter().filter(|(name, _)| !is_given(name));
    Resource::builder().with_attributes(missing.map(|(name, value)| KeyValue::new(name, value.to_owned()))).build()
}

/// The layer that makes spans of OpenTelemetry from the spans for traces, and from nothing else: log lines hold ids of users.
pub(crate) fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(TRACE_TARGET, LevelFilter::TRACE))
}

/// The environment of a server, whose traces continue those of proxies and go on in apps.
pub(crate) fn environment() -> Environment {
    Environment { traces: Some(std::sync::Arc::new(W3c(TraceContextPropagator::new()))), ..Environment::system() }
}

/// The headers `traceparent` and `tracestate` of W3C Trace Context.
struct W3c(TraceContextPropagator);

impl TracePropagator for W3c {
    fn extract(&self, headers: &HeaderMap, span: &Span) {
        let context = self.0.extract_with_context(&Context::new(), &HeaderExtractor(headers));
        if context.span().span_context().is_valid() {
            // It fails for a span that has been entered, and the span is new.
            let _ = span.set_parent(context);
        }
    }

    fn inject(&self, span: &Span, headers: &mut HeaderMap) {
        for name in self.0.fields() {
            headers.remove(name);
        }
        self.0.inject_context(&span.context(), &mut HeaderInjector(headers));
        // The propagator also writes an empty one.
        if headers.get("tracestate").is_some_and(|state| state.is_empty()) {
            headers.remove("tracestate");
        }
    }

    fn trace_id(&self, span: &Span) -> Option<String> {
        let context = span.context();
        let span = context.span().span_context().clone();
        span.is_sampled().then(|| span.trace_id().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        text.parse::<OtlpUrl>().map(|url| url.as_str().to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_standard_path_is_added_to_a_url_without_one() {
        assert_eq!(parsed("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(parsed("https://otel.example.com/").unwrap(), "https://otel.example.com/v1/traces");
        assert_eq!(parsed("http://otel:4318/own/path").unwrap(), "http://otel:4318/own/path");
    }

    #[test]
    fn a_url_that_no_collector_has_is_refused() {
        for (text, reason) in [
            ("collector:4318", "must begin with http"),
            ("127.0.0.1:4318", "is not a URL"),
            ("grpc://127.0.0.1", "must begin with http"),
            ("http://127.0.0.1:4317", "4317 is for gRPC"),
            ("https://key:s3cret@otel.example.com", "OTEL_EXPORTER_OTLP_HEADERS"),
            ("https://otel.example.com/v1/traces?key=s3cret", "no query"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn the_service_has_a_name_a_version_and_an_id() {
        let resource = resource("an-id");
        let value = |name: &'static str| resource.get(&Key::new(name)).map(|value| value.to_string());
        assert_eq!(value("service.name").as_deref(), Some("handstamp"));
        assert_eq!(value("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(value("service.instance.id").as_deref(), Some("an-id"));
    }

    #[test]
    fn trace_headers_of_a_client_do_not_go_on() {
        let mut headers = HeaderMap::new();
        headers.insert("tracestate", "strangers=state".parse().unwrap());
        headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
        W3c(TraceContextPropagator::new()).inject(&Span::none(), &mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }
}
