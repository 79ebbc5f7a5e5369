//! Questions to providers, within limits of time, size and number. Redirects are not followed.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{ACCEPT, USER_AGENT};
use axum::http::request::Builder;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::environment::Environment;
use crate::services::outgoing_http::{self, OutgoingClient, summary};

/// How long a provider may take to answer a question.
const LIMIT: Duration = Duration::from_secs(8);
/// The longest answer.
const LONGEST_ANSWER: usize = 256 * 1024;
/// How many questions are under way at once, on this node. More are refused: a slow provider must not take all memory.
const AT_ONCE: usize = 256;

/// Asks providers.
pub(super) struct ProviderHttp {
    client: OutgoingClient,
    environment: Environment,
    permits: Semaphore,
}

impl ProviderHttp {
    /// # Errors
    /// When the certificates of the authorities that the system trusts cannot be read.
    pub(super) fn new(needs_tls: bool, environment: &Environment) -> std::io::Result<Self> {
        let client = outgoing_http::client(needs_tls)?;
        Ok(Self { client, environment: environment.clone(), permits: Semaphore::new(AT_ONCE) })
    }

    /// The monotonic clock.
    pub(super) fn clock(&self) -> Duration {
        self.environment.clock_reading().monotonic
    }

    /// Gets a document, which `what` names for the log. `complete` may add headers.
    pub(super) async fn get(
        &self,
        url: &str,
        what: &str,
        complete: impl FnOnce(Builder) -> Builder,
    ) -> Result<Bytes, Refusal> {
        let request = complete(Request::get(url).header(ACCEPT, "application/json")).body(Full::default());
        let request = request.map_err(|error| Refusal::Unavailable(format!("{what}: {error}")))?;
        let response = self.ask(request, what).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => Err(Refusal::Unavailable(format!("{what}: the provider answered {}", status.as_u16()))),
        }
    }

    /// Posts a form, and returns the answer also of the status 400 or 401, by which OAuth 2 tells errors.
    pub(super) async fn post(&self, request: Request<Full<Bytes>>, what: &str) -> Result<Bytes, Refusal> {
        let response = self.ask(request, what).await?;
        match response.status() {
            StatusCode::OK | StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => Ok(response.into_body()),
            status => Err(Refusal::Unavailable(format!("{what}: the provider answered {}", status.as_u16()))),
        }
    }

    /// Sends a request, and returns the response whatever its status is.
    pub(super) async fn ask(&self, mut request: Request<Full<Bytes>>, what: &str) -> Result<Response<Bytes>, Refusal> {
        let name = HeaderValue::from_static(concat!("Handstamp/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, name);
        let unavailable = |text: String| Refusal::Unavailable(format!("{what}: {text}"));
        let permit = self.permits.try_acquire();
        let _permit = permit.map_err(|_| unavailable("too many questions are under way".to_owned()))?;
        let exchange = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| unavailable(summary(&error, "the provider")))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, LONGEST_ANSWER).collect().await.map_err(|error| {
                let is_long = error.is::<LengthLimitError>();
                unavailable(if is_long { "the answer is too long".to_owned() } else { error.to_string() })
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let late = || unavailable(format!("the provider did not answer within {} seconds", LIMIT.as_secs()));
        timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(late()))
    }
}
