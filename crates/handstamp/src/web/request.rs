use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::SharedSite;
use super::failure::Failure;
use crate::error::Fault;
use crate::sessions::Device;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_USER_AGENT_CHARACTERS: usize = 256;

/// What the log calls this request, and what a page tells somebody to report.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Gives every request an id, which all its lines in the log carry, and notes where it comes from.
pub(super) async fn identify(State(site): State<SharedSite>, mut request: Request, next: Next) -> Response {
    let id = format!("{:016x}", u64::from_be_bytes(site.accounts.world.random()));
    let device = device(&request);
    let span = tracing::info_span!("request", id, address = device.address, method = %request.method());
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(device);
    let mut response = next.run(request).instrument(span).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn device(request: &Request) -> Device {
    let user_agent = request.headers().get("user-agent").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    Device {
        user_agent: user_agent.chars().take(MAX_USER_AGENT_CHARACTERS).collect(),
        address: peer.map_or_else(String::new, |ConnectInfo(peer)| peer.ip().to_canonical().to_string()),
    }
}

/// Finishes what was begun, even when the client does not wait for it: an act that is dropped half-way leaves nobody
/// knowing whether it was done.
pub(super) async fn see_it_through(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request).in_current_span()).await {
        Ok(response) => response,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Failure::from(Fault::from(error)).into_response(),
    }
}
