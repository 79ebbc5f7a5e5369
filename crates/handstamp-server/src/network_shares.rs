//! How many of the connections come from one network, so that no single one holds them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use handstamp::{Network, TrustedProxies};
use metrics::{counter, describe_counter};

const REFUSED: &str = "handstamp_connections_refused_per_network_total";

/// What each network holds. A network is in the map only while it has a connection, so there are never more of them than
/// connections.
pub(crate) struct NetworkShares {
    /// None where any number is allowed.
    limit: Option<usize>,
    /// All who come through one of these share its address, so it has no limit.
    proxies: TrustedProxies,
    held: Mutex<HashMap<Network, Held>>,
}

#[derive(Default)]
struct Held {
    connections: usize,
    /// Since this network began to ask for too many. It does not while this is 0.
    refused: usize,
}

/// One connection of a network. It no longer counts when this is dropped.
pub(crate) struct Share {
    counted: Option<(Arc<NetworkShares>, IpAddr)>,
}

impl NetworkShares {
    pub(crate) fn without_limit() -> Self {
        Self::new(0, TrustedProxies::default())
    }

    /// At most so many for each network, or any number where that is 0.
    pub(crate) fn new(limit: usize, proxies: TrustedProxies) -> Self {
        describe_counter!(REFUSED, "Connections closed at once, because their network holds as many as it may");
        Self { limit: (limit > 0).then_some(limit), proxies, held: Mutex::default() }
    }

    /// One connection more from this address; none where its network has as many as it may.
    pub(crate) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Share> {
        let Some(limit) = self.limit.filter(|_| !self.proxies.contain(peer)) else {
            return Some(Share { counted: None });
        };
        let mut networks = self.held();
        let held = networks.entry(Network::of(peer)).or_default();
        if held.connections < limit {
            held.connections += 1;
            return Some(Share { counted: Some((Arc::clone(self), peer)) });
        }
        held.refused += 1;
        let is_first = held.refused == 1;
        drop(networks);
        counter!(REFUSED).increment(1);
        if is_first {
            tracing::warn!(
                event = "too_many_connections_of_network",
                address = %peer.to_canonical(),
                limit,
                "closing new connections from this network until others of it end; if it is a proxy, name it in trusted_proxies"
            );
        }
        None
    }

    fn give_back(&self, peer: IpAddr) {
        let network = Network::of(peer);
        let mut networks = self.held();
        let Some(held) = networks.get_mut(&network) else { return };
        held.connections -= 1;
        // Only with room to spare: a flood on the brink would begin and end with every connection.
        let is_calm = held.connections <= self.limit.unwrap_or_default() / 2;
        let refused = if is_calm { std::mem::take(&mut held.refused) } else { 0 };
        if held.connections == 0 {
            networks.remove(&network);
        }
        drop(networks);
        if refused > 0 {
            let address = peer.to_canonical();
            tracing::info!(
                event = "connections_of_network_fit_again",
                %address,
                refused,
                "there is room for connections from this network again"
            );
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Network, Held>> {
        self.held.lock().expect("nothing panics while it holds the counts")
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some((shares, peer)) = self.counted.take() {
            shares.give_back(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(limit: usize, proxies: &[&str]) -> Arc<NetworkShares> {
        Arc::new(NetworkShares::new(limit, TrustedProxies::parse(proxies.iter().copied()).unwrap()))
    }

    fn take(shares: &Arc<NetworkShares>, peer: &str) -> Option<Share> {
        shares.take(peer.parse().unwrap())
    }

    #[test]
    fn a_network_has_its_share_and_no_more_until_it_gives_one_back() {
        let shares = shares(2, &[]);
        let (first, second) = (take(&shares, "192.0.2.1"), take(&shares, "::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some() && take(&shares, "192.0.2.1").is_none());
        assert!(take(&shares, "192.0.2.2").is_some(), "another address is another network");
        drop(first);
        assert!(take(&shares, "192.0.2.1").is_some());
    }

    #[test]
    fn addresses_of_one_64_share() {
        let shares = shares(1, &[]);
        let _held = take(&shares, "2001:db8::1");
        assert!(take(&shares, "2001:db8::ffff").is_none() && take(&shares, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn a_trusted_proxy_has_no_limit_and_neither_has_anybody_where_it_is_0() {
        let (proxy, open) = (shares(1, &["10.0.0.0/8"]), shares(0, &[]));
        let held: Vec<_> = (0..5).map(|_| (take(&proxy, "::ffff:10.1.2.3"), take(&open, "192.0.2.1"))).collect();
        assert!(held.iter().all(|(proxied, any)| proxied.is_some() && any.is_some()));
    }

    #[test]
    fn nothing_is_kept_of_a_network_that_has_gone() {
        let shares = shares(1, &[]);
        let held = take(&shares, "192.0.2.1");
        assert!(take(&shares, "192.0.2.1").is_none());
        drop(held);
        assert!(shares.held().is_empty());
    }
}
