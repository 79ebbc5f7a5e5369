//! The address of the client of a request, behind trusted proxies or not.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{ConnectInfo, Request};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::Site;
use crate::events::Event;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether the peer is a trusted proxy.
pub(super) fn comes_through_a_trusted_proxy(site: &Site, request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.is_some_and(|ConnectInfo(peer)| site.services.config.trusted_proxies.contain(peer.ip()))
}

/// The address of the client: that of the peer, or the one that trusted proxies name.
pub(super) fn client_address(site: &Site, extensions: &Extensions, headers: &HeaderMap) -> Option<IpAddr> {
    let trusted = &site.services.config.trusted_proxies;
    let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
        if !site.warned.address_unknown.swap(true, Ordering::Relaxed) {
            warn_of_unknown_addresses();
        }
        return None;
    };
    let forwarded_for = headers.get_all(FORWARDED_FOR);
    if forwarded_for.iter().next().is_some()
        && trusted.looks_untrusted(peer.ip())
        && !site.warned.proxy_not_trusted.swap(true, Ordering::Relaxed)
    {
        Event::ProxyNotTrusted { peer: &peer.ip() }.record();
    }
    Some(trusted.client(peer.ip(), forwarded_for.iter().map(HeaderValue::as_bytes)))
}

/// The warnings about requests that have been logged: each is logged once, whatever the number of requests.
#[derive(Default)]
pub(crate) struct Warned {
    address_unknown: AtomicBool,
    proxy_not_trusted: AtomicBool,
}

/// Without the addresses of peers, one attacker who guesses passwords keeps all other visitors from signing in. An application
/// without a subscriber of `tracing` would not show that in a log.
#[expect(clippy::print_stderr, reason = "there may be no log")]
fn warn_of_unknown_addresses() {
    const WHAT: &str = "requests come without the address of the peer, so all visitors count as one network, and one attacker \
                        who guesses passwords keeps the others from signing in. Serve the application with \
                        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())";
    Event::AddressUnknown {}.record();
    if !tracing::dispatcher::has_been_set() {
        eprintln!("handstamp: {WHAT}");
    }
}
