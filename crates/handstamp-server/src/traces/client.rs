//! The HTTP client of the export. The thread that exports has no runtime, so each request is a task of the server's.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::USER_AGENT;
use axum::http::{HeaderValue, Request, Response};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::OtlpUrl;
use crate::CliError;

/// How long the collector may take for one request. The export tries four times within ten seconds.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a connection without a request is kept.
const KEPT: Duration = Duration::from_secs(30);
/// The longest response that is read.
const LONGEST_RESPONSE: usize = 64 * 1024;

/// The client for one collector.
#[derive(Clone, Debug)]
pub(super) struct CollectorClient {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    runtime: Handle,
    /// Why the last request failed, which the exporter does not say.
    failure: Arc<Mutex<String>>,
}

impl CollectorClient {
    /// A client whose requests run in the current runtime.
    ///
    /// # Errors
    /// When the certificates of the authorities that the system trusts cannot be read.
    pub(super) fn new(url: &OtlpUrl) -> Result<Self, CliError> {
        let unreadable = |error| {
            CliError::failure(format!("telemetry.otlp: the certificates of this machine cannot be read: {error}"))
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CliError::failure)?;
        let builder = match url.is_https() {
            true => builder.with_native_roots().map_err(unreadable)?,
            false => builder.with_root_certificates(RootCertStore::empty()),
        };
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(builder.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .build(connector);
        Ok(Self { client, runtime: Handle::current(), failure: Arc::default() })
    }

    /// Why the last request failed.
    pub(super) fn failure(&self) -> String {
        self.failure.lock().expect("nothing panics while it holds the text").clone()
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let mut request = request.map(Body::from);
        const AGENT: &str = concat!("Handstamp/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| cause(&error))?;
            let (head, body) = response.into_parts();
            let body = to_bytes(Body::new(body), LONGEST_RESPONSE).await.map_err(|error| cause(&error))?;
            Ok(Response::from_parts(head, body))
        };
        timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {} seconds", LIMIT.as_secs())))
    }

    fn note(&self, outcome: &Result<Response<Bytes>, String>) {
        let failure = match outcome {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => format!("the collector answered {}", response.status().as_u16()),
            Err(error) => error.clone(),
        };
        *self.failure.lock().expect("nothing panics while it holds the text") = failure;
    }
}

impl HttpClient for CollectorClient {
    // The signature that the crate async-trait makes of an `async fn`.
    fn send_bytes<'client, 'future>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'client: 'future,
        Self: 'future,
    {
        let client = self.clone();
        let sent = self.runtime.spawn(async move {
            let outcome = client.send(request).await;
            client.note(&outcome);
            outcome
        });
        // The task is dropped unfinished when the runtime ends.
        Box::pin(async move { Ok(sent.await??) })
    }
}

/// The innermost cause of an error. It does not contain the URL.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
