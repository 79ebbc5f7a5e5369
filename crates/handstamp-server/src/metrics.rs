//! Metrics in the format of Prometheus, served on an address of their own.

use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use handstamp::Handstamp;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::connection_limit::ConnectionLimit;
use crate::listener::{Protocols, listen, server};
use crate::{CliError, log, traces};

/// The buckets of the histograms in seconds: from a millisecond, when all nodes are healthy, to the longest lease.
const WAITS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0];

const BUILD: &str = "handstamp_build_info";

/// The limit on connections to the metrics, which have few clients.
const CONNECTIONS: usize = 64;

/// The recorder of the metrics, and the listener that serves them.
pub(crate) struct Exporter {
    handle: PrometheusHandle,
    listener: TcpListener,
}

impl Exporter {
    /// Starts to record metrics.
    ///
    /// # Errors
    /// When it cannot listen on that address.
    pub(crate) fn start(address: SocketAddr) -> Result<Self, CliError> {
        let listener = listen(address)?;
        let builder = PrometheusBuilder::new().set_buckets(&WAITS).map_err(CliError::failure)?;
        let handle = builder.install_recorder().map_err(CliError::failure)?;
        log::describe_metrics();
        traces::describe_metrics();
        describe_gauge!(BUILD, "Always 1; the label is the version of this node");
        gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Self { handle, listener })
    }

    /// Serves the metrics until the process ends, and the health checks where the site stands in front of an app.
    ///
    /// # Errors
    /// When it cannot listen.
    pub(crate) fn serve(
        self,
        handstamp: Handstamp,
        connections: ConnectionLimit,
        health_checks: bool,
    ) -> Result<(), CliError> {
        let address = self.listener.local_addr().map_err(CliError::failure)?;
        let handle = self.handle;
        let health = if health_checks { handstamp.health_router() } else { Router::new() };
        let show = async move || {
            handstamp.record_gauges();
            connections.measure();
            handle.run_upkeep();
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render())
        };
        let router = Router::new().route("/metrics", get(show)).merge(health);
        let server = server(self.listener, ConnectionLimit::at_most(CONNECTIONS), Protocols::Http1, None)?;
        tokio::spawn(server.serve(router.into_make_service()));
        tracing::info!(event = "metrics_listening", %address, "serving metrics at /metrics");
        Ok(())
    }
}
