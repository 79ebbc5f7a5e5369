use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::USER_AGENT;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use handstamp_core::Network;
use tracing::Instrument;

use super::failure::Failure;
use super::{SharedSite, Site};
use crate::error::Fault;
use crate::sessions::Device;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const MAX_USER_AGENT_CHARACTERS: usize = 256;

/// What the log calls this request, and what a page tells somebody to report.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Gives every request an id, which all its lines in the log carry, and notes where it comes from.
pub(super) async fn identify(State(site): State<SharedSite>, mut request: Request, next: Next) -> Response {
    let id = format!("{:016x}", u64::from_be_bytes(site.accounts.world.random()));
    let device = device(&site, &request);
    let span = tracing::info_span!("request", id, address = device.address, method = %request.method());
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(device);
    let mut response = next.run(request).instrument(span).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn device(site: &Site, request: &Request) -> Device {
    let headers = request.headers();
    let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let address = client_address(site, request);
    Device {
        user_agent: user_agent.chars().take(MAX_USER_AGENT_CHARACTERS).collect(),
        address: address.map_or_else(String::new, |address| address.to_string()),
        network: address.map_or(Network::Unknown, Network::of),
        cookie: site.cookies.presented_device(headers).to_owned(),
    }
}

/// Where a request comes from, as far as we trust whoever says so.
fn client_address(site: &Site, request: &Request) -> Option<IpAddr> {
    static TOLD: Once = Once::new();
    let trusted = &site.accounts.config.trusted_proxies;
    let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
        TOLD.call_once(|| {
            tracing::warn!(
                event = "address_unknown",
                "requests come without the address of the peer: all count as one network"
            )
        });
        return None;
    };
    let forwarded_for = request.headers().get_all(FORWARDED_FOR);
    if forwarded_for.iter().next().is_some() && trusted.seems_to_miss(peer.ip()) {
        TOLD.call_once(|| {
            tracing::warn!(
                event = "proxy_not_trusted",
                "a request came with X-Forwarded-For from {}; if that is your proxy, name it in trusted_proxies: all who come through it count as one network",
                peer.ip()
            );
        });
    }
    Some(trusted.client(peer.ip(), forwarded_for.iter().map(HeaderValue::as_bytes)))
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
