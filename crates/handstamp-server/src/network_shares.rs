//! The limit on the connections of one network, so that no network holds all connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use handstamp::{Network, TrustedProxies};
use metrics::{counter, describe_counter};

const REFUSED: &str = "handstamp_connections_refused_per_network_total";

/// The number of connections of each network. A network is in the map only while it has a connection, so the map has at most
/// as many entries as there are connections.
pub(crate) struct NetworkShares {
    /// The limit for each network; None allows any number.
    limit: Option<usize>,
    /// Proxies without a limit, since all clients behind one share its address.
    proxies: TrustedProxies,
    held: Mutex<HashMap<Network, Held>>,
}

#[derive(Default)]
struct Held {
    connections: usize,
    /// Connections refused since this network reached its limit; 0 means that none were.
    refused: usize,
}

/// One counted connection of a network. Dropping it ends the count.
pub(crate) struct Share {
    counted: Option<(Arc<NetworkShares>, IpAddr)>,
}

impl NetworkShares {
    pub(crate) fn without_limit() -> Self {
        Self::new(0, TrustedProxies::default())
    }

    /// At most `limit` connections for each network; 0 allows any number.
    pub(crate) fn new(limit: usize, proxies: TrustedProxies) -> Self {
        describe_counter!(REFUSED, "Connections closed at once because the limit of their network was reached");
        Self { limit: (limit > 0).then_some(limit), proxies, held: Mutex::default() }
    }

    /// Counts one more connection from this address; None if its network has reached the limit.
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
        // Only below half of the limit: at the limit, a flood would begin and end with every connection.
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
                "accepting new connections from this network again"
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
    fn a_network_at_its_limit_gets_a_connection_when_another_ends() {
        let shares = shares(2, &[]);
        let (first, second) = (take(&shares, "192.0.2.1"), take(&shares, "::ffff:192.0.2.1"));
        assert!(first.is_some() && second.is_some() && take(&shares, "192.0.2.1").is_none());
        assert!(take(&shares, "192.0.2.2").is_some(), "another address is another network");
        drop(first);
        assert!(take(&shares, "192.0.2.1").is_some());
    }

    #[test]
    fn ipv6_addresses_of_one_64_share_a_limit() {
        let shares = shares(1, &[]);
        let _held = take(&shares, "2001:db8::1");
        assert!(take(&shares, "2001:db8::ffff").is_none() && take(&shares, "2001:db8:0:1::1").is_some());
    }

    #[test]
    fn trusted_proxies_are_unlimited_and_a_limit_of_0_limits_no_network() {
        let (proxy, open) = (shares(1, &["10.0.0.0/8"]), shares(0, &[]));
        let held: Vec<_> = (0..5).map(|_| (take(&proxy, "::ffff:10.1.2.3"), take(&open, "192.0.2.1"))).collect();
        assert!(held.iter().all(|(proxied, any)| proxied.is_some() && any.is_some()));
    }

    #[test]
    fn a_network_without_connections_is_removed_from_the_map() {
        let shares = shares(1, &[]);
        let held = take(&shares, "192.0.2.1");
        assert!(take(&shares, "192.0.2.1").is_none());
        drop(held);
        assert!(shares.held().is_empty());
    }
}
