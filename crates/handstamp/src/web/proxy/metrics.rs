//! Metrics of the apps behind this site.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// The metrics of one app.
pub(super) struct AppMetrics {
    /// Responses by the first digit of their status, from 1.
    requests: [Counter; 5],
    /// Requests that Handstamp answered itself.
    refused: Counter,
    /// Requests that the app did not answer.
    unavailable: Counter,
    latency: Histogram,
    open: Gauge,
    cut: Counter,
}

impl AppMetrics {
    pub(super) fn new(app: &str) -> Self {
        describe_counter!("handstamp_app_requests_total", "Requests for an app, by the class of the response");
        describe_histogram!(
            "handstamp_app_response_seconds",
            "Seconds from a request until the head of the app's response"
        );
        describe_gauge!(
            "handstamp_app_open_streams",
            "Responses of an app that are not finished, and upgraded connections"
        );
        describe_counter!("handstamp_app_cut_streams_total", "Streams that were cut, as their session had ended");
        let requests =
            |class: &'static str| counter!("handstamp_app_requests_total", "app" => app.to_owned(), "class" => class);
        Self {
            requests: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(requests),
            refused: requests("refused"),
            unavailable: requests("unavailable"),
            latency: histogram!("handstamp_app_response_seconds", "app" => app.to_owned()),
            open: gauge!("handstamp_app_open_streams", "app" => app.to_owned()),
            cut: counter!("handstamp_app_cut_streams_total", "app" => app.to_owned()),
        }
    }

    pub(super) fn answered(&self, status: StatusCode, after: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, self.requests.len());
        self.requests[class - 1].increment(1);
        self.latency.record(after);
    }

    pub(super) fn refused(&self) {
        self.refused.increment(1);
    }

    pub(super) fn unavailable(&self) {
        self.unavailable.increment(1);
    }

    /// Counts one more open stream, until the result is dropped.
    pub(super) fn opened(&self) -> OpenStream {
        self.open.increment(1.0);
        OpenStream { open: self.open.clone(), cut: self.cut.clone(), was_cut: AtomicBool::new(false) }
    }
}

/// A stream that is counted as open.
pub(super) struct OpenStream {
    open: Gauge,
    cut: Counter,
    was_cut: AtomicBool,
}

impl OpenStream {
    /// Counts the stream as cut, once.
    pub(super) fn was_cut(&self) {
        if !self.was_cut.swap(true, Ordering::Relaxed) {
            self.cut.increment(1);
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}
