//! The queue of spans, and the exporter behind it. Both lose spans rather than make a request wait, and count those that they lose.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{counter, describe_counter};
use opentelemetry::Context;
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};

use super::OtlpUrl;
use super::client::CollectorClient;
use crate::CliError;

/// How many spans wait for the export at most: those of some 200 requests. A span takes about a kilobyte.
const QUEUE: usize = 2048;

const SPANS: &str = "handstamp_trace_spans_total";

/// Describes the metric of the export, once a recorder is installed.
pub(crate) fn describe_metrics() {
    describe_counter!(SPANS, "Spans of traces, by what became of them");
}

fn count(outcome: &'static str, spans: usize) {
    counter!(SPANS, "outcome" => outcome).increment(spans as u64);
}

/// The exporter of OTLP, with what it does about a collector that is away.
#[derive(Debug)]
pub(super) struct Exporter {
    inner: OtlpExporter,
    client: CollectorClient,
    waiting: Arc<AtomicUsize>,
    is_away: AtomicBool,
}

/// # Errors
/// When the certificates of this machine cannot be read, or a variable of OpenTelemetry's is invalid.
pub(super) fn exporter(url: &OtlpUrl) -> Result<Exporter, CliError> {
    let client = CollectorClient::new(url)?;
    let inner = OtlpExporter::builder()
        .with_http()
        .with_http_client(client.clone())
        .with_endpoint(url.as_str())
        .build()
        .map_err(|error| CliError::usage(format!("telemetry.otlp cannot be used: {error}")))?;
    Ok(Exporter { inner, client, waiting: Arc::default(), is_away: AtomicBool::new(false) })
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let exported = self.inner.export(batch).await;
        if exported.is_ok() {
            count("exported", spans);
            if self.is_away.swap(false, Ordering::Relaxed) {
                tracing::info!(event = "telemetry_available", "the collector takes traces again");
            }
        } else {
            count("failed", spans);
            // Once an outage: the metric counts the rest.
            if !self.is_away.swap(true, Ordering::Relaxed) {
                let error = self.client.failure();
                tracing::warn!(event = "telemetry_unavailable", error, "the collector does not take traces");
            }
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// The SDK's processor, which exports in batches on a thread of its own, behind a queue that counts what it leaves out.
#[derive(Debug)]
pub(super) struct BoundedProcessor {
    inner: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn processor(exporter: Exporter) -> BoundedProcessor {
    let waiting = Arc::clone(&exporter.waiting);
    // Its own queue is never full before ours, so nothing is lost without being counted.
    let config = BatchConfigBuilder::default().with_max_queue_size(QUEUE).build();
    BoundedProcessor { inner: BatchSpanProcessor::new(exporter, config), waiting }
}

impl SpanProcessor for BoundedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        let has_room = |waiting| if waiting < QUEUE { Some(waiting + 1) } else { None };
        match self.waiting.try_update(Ordering::Relaxed, Ordering::Relaxed, has_room) {
            Ok(_) => self.inner.on_end(span),
            Err(_) => count("queue_full", 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
