//! The limit on concurrent connections: each holds a permit.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use handstamp::TrustedProxies;
use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::network_shares::{NetworkShares, Share};

/// Open files that are not counted connections: of the database, the log and the runtime, and connections about to be closed.
const OTHER_FILES: usize = 256;

/// The default limit on the connections of one network.
const PER_NETWORK: usize = 256;

/// The permits for the connections of a listener. A connection that gets none is closed at once.
#[derive(Clone)]
pub(crate) struct ConnectionLimit(Arc<State>);

struct State {
    limit: usize,
    permits: Arc<Semaphore>,
    shares: Arc<NetworkShares>,
    /// Connections refused since the current flood began; 0 means that there is no flood.
    refused: AtomicUsize,
    out_of_files: AtomicBool,
    refusals: Counter,
}

/// The permit of one connection. Dropping it releases the permit.
pub(crate) struct ConnectionPermit {
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

impl ConnectionLimit {
    /// At most `limit` connections, without a limit for each network.
    pub(crate) fn at_most(limit: usize) -> Self {
        Self::shared(limit, NetworkShares::without_limit())
    }

    fn shared(limit: usize, shares: NetworkShares) -> Self {
        describe_gauge!("handstamp_connections", "Connections that are open");
        describe_counter!(
            "handstamp_connections_refused_total",
            "Connections closed at once because the limit was reached"
        );
        Self(Arc::new(State {
            limit,
            permits: Arc::new(Semaphore::new(limit)),
            shares: Arc::new(shares),
            refused: AtomicUsize::new(0),
            out_of_files: AtomicBool::new(false),
            refusals: counter!("handstamp_connections_refused_total"),
        }))
    }

    /// At most `limit` connections, or as many as the system's limit on open files allows, which is raised first if possible. A connection
    /// takes `files_each`: in front of an app a WebSocket has a connection to the app as well.
    ///
    /// One network has at most `per_network` of them; 0 means no limit. By default one network has at most half of them, so
    /// that one address cannot hold them all when the limit is low.
    pub(crate) fn capped_by_open_files(
        limit: usize,
        files_each: usize,
        per_network: Option<usize>,
        proxies: TrustedProxies,
    ) -> Self {
        let files = allow_files(limit.saturating_mul(files_each).saturating_add(OTHER_FILES));
        let affordable = limit.min(connections_with(files) / files_each);
        if affordable < limit {
            tracing::warn!(
                event = "open_file_limit_low",
                files,
                "limits.connections is {limit}, but the system allows {files} open files, enough for {affordable}"
            );
        }
        let per_network = per_network.unwrap_or_else(|| PER_NETWORK.min(affordable / 2));
        Self::shared(affordable, NetworkShares::new(per_network, proxies))
    }

    /// Updates the gauge, since connections do not update it one by one.
    pub(crate) fn measure(&self) {
        gauge!("handstamp_connections").set((self.0.limit - self.0.permits.available_permits()) as f64);
    }

    /// Logs once that the system gave no connection, since the server retries continuously.
    pub(crate) fn accept_failed(&self, error: &io::Error) {
        if !self.0.out_of_files.swap(true, Ordering::Relaxed) {
            tracing::warn!(event = "accept_failed", %error, "cannot accept new connections; they wait in the backlog");
        }
    }

    /// A permit for a connection from this address.
    ///
    /// # Errors
    /// When the limit of its network or the limit of all connections is reached.
    pub(crate) fn acquire(&self, peer: IpAddr) -> io::Result<ConnectionPermit> {
        let Some(share) = self.0.shares.take(peer) else {
            self.0.refusals.increment(1);
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let Ok(permit) = Arc::clone(&self.0.permits).try_acquire_owned() else {
            self.refuse();
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        // Only below half of the limit: at the limit, a flood would begin and end with every connection.
        if self.0.permits.available_permits() > self.0.limit / 2 {
            self.flood_over();
        }
        Ok(ConnectionPermit { _permit: permit, _share: share })
    }

    fn refuse(&self) {
        self.0.refusals.increment(1);
        if self.0.refused.fetch_add(1, Ordering::Relaxed) == 0 {
            let limit = self.0.limit;
            tracing::warn!(event = "too_many_connections", limit, "closing new connections until others end");
        }
    }

    /// Ends the current flood, if there is one, and logs that.
    fn flood_over(&self) {
        self.0.out_of_files.store(false, Ordering::Relaxed);
        if self.0.refused.load(Ordering::Relaxed) > 0 {
            let refused = self.0.refused.swap(0, Ordering::Relaxed);
            tracing::info!(event = "connection_limit_cleared", refused, "accepting new connections again");
        }
    }
}

/// Raises the limit on open files to `requested` if the system permits it, and gives the limit in force. Most processes start
/// with a soft limit of 1,024 and may raise it.
fn allow_files(requested: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let requested = requested as u64;
    if limit.current.is_some_and(|current| current < requested) {
        let raised = limit.maximum.map_or(requested, |maximum| maximum.min(requested));
        // The limit is read again below, which shows whether this succeeded.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit });
    }
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// The number of open files that this limit leaves to connections.
fn connections_with(files: usize) -> usize {
    files.saturating_sub(OTHER_FILES).max(files / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_on_open_files_is_shared_between_connections_and_other_files() {
        assert_eq!(connections_with(20_000), 20_000 - OTHER_FILES);
        assert_eq!(connections_with(64), 32);
        assert_eq!(connections_with(usize::MAX), usize::MAX - OTHER_FILES);
    }

    #[test]
    fn one_network_gets_half_of_a_low_connection_limit_unless_the_operator_sets_a_share() {
        for (per_network, most) in [(None, 5), (Some(8), 8), (Some(0), 10)] {
            let connections = ConnectionLimit::capped_by_open_files(10, 1, per_network, TrustedProxies::default());
            let permits: Vec<_> = (0..20).flat_map(|_| connections.acquire([192, 0, 2, 1].into())).collect();
            assert_eq!(permits.len(), most, "{per_network:?}");
        }
    }
}
