//! The HTTP client of requests that this site sends: webhooks, and questions to providers. It follows no redirects.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};

/// How long a connection without a request is kept.
const KEPT: Duration = Duration::from_secs(30);

/// Sends requests, over TLS where the URL is one of https.
pub(super) type OutgoingClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A client, which trusts the authorities that the system trusts.
///
/// # Errors
/// When the certificates of the authorities cannot be read. They are not read where no URL needs TLS.
pub(super) fn client(needs_tls: bool) -> io::Result<OutgoingClient> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls_config(needs_tls)?).https_or_http().enable_http1();
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(KEPT)
        .build(connector.wrap_connector(http));
    Ok(client)
}

fn tls_config(needs_tls: bool) -> io::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder =
        if needs_tls { builder.with_native_roots()? } else { builder.with_root_certificates(RootCertStore::empty()) };
    Ok(builder.with_no_client_auth())
}

/// Why a request had no response, after the name of the server: the innermost cause. It does not contain the URL.
pub(super) fn summary(error: &Error, server: &str) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = if error.is_connect() { "no connection to" } else { "no answer of" };
    format!("{what} {server}: {cause}")
}
