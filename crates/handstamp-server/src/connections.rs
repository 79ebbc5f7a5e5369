//! How many connections there are at once.

use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum_server::accept::Accept;
use handstamp::TrustedProxies;
use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::{Answers, Connection};
use crate::network_shares::{NetworkShares, Share};

/// Files that are not connections: the database's, the log, those of the runtime, and connections about to be closed.
const OTHER_FILES: usize = 256;

/// The most connections of one network, where the operator has not set it.
const PER_NETWORK: usize = 256;

/// The places for the connections of a listener. A connection for which there is none is closed at once.
#[derive(Clone)]
pub(crate) struct Connections(Arc<State>);

struct State {
    limit: usize,
    places: Arc<Semaphore>,
    shares: Arc<NetworkShares>,
    /// Since the flood began. There is none while this is 0.
    refused: AtomicUsize,
    out_of_files: AtomicBool,
    refusals: Counter,
}

/// The place of one connection, which is free again when this is dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

impl Connections {
    /// At most so many, whatever networks they come from.
    pub(crate) fn at_most(limit: usize) -> Self {
        Self::shared(limit, NetworkShares::without_limit())
    }

    fn shared(limit: usize, shares: NetworkShares) -> Self {
        describe_gauge!("handstamp_connections", "Connections that are open");
        describe_counter!("handstamp_connections_refused_total", "Connections closed at once, for want of a place");
        Self(Arc::new(State {
            limit,
            places: Arc::new(Semaphore::new(limit)),
            shares: Arc::new(shares),
            refused: AtomicUsize::new(0),
            out_of_files: AtomicBool::new(false),
            refusals: counter!("handstamp_connections_refused_total"),
        }))
    }

    /// At most so many, or as many as the open files that the system allows us. Some of its limit we may raise ourselves.
    ///
    /// Of these, one network has at most `per_network`, or any number where that is 0. Where it is not set, one network has
    /// at most half of them, so that a low limit does not let one address hold them all.
    pub(crate) fn at_most_with_files(limit: usize, per_network: Option<usize>, proxies: TrustedProxies) -> Self {
        let files = allow_files(limit.saturating_add(OTHER_FILES));
        let affordable = limit.min(connections_with(files));
        if affordable < limit {
            tracing::warn!(
                event = "few_files",
                files,
                "limits.connections is {limit}, but the system allows {files} open files, enough for {affordable}"
            );
        }
        let per_network = per_network.unwrap_or_else(|| PER_NETWORK.min(affordable / 2));
        Self::shared(affordable, NetworkShares::new(per_network, proxies))
    }

    /// For a recorder that does not hear of each.
    pub(crate) fn measure(&self) {
        gauge!("handstamp_connections").set((self.0.limit - self.0.places.available_permits()) as f64);
    }

    /// Tells, once, that the system has no connection to give. It is asked again all the time.
    pub(crate) fn none_to_be_had(&self, error: &io::Error) {
        if !self.0.out_of_files.swap(true, Ordering::Relaxed) {
            tracing::warn!(event = "cannot_accept", %error, "new connections have to wait");
        }
    }

    /// A place for a connection from this address.
    ///
    /// # Errors
    /// When its network, or all together, have as many as they may.
    pub(crate) fn admit(&self, peer: IpAddr) -> io::Result<Place> {
        let Some(share) = self.0.shares.take(peer) else {
            self.0.refusals.increment(1);
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let Ok(permit) = Arc::clone(&self.0.places).try_acquire_owned() else {
            self.refuse();
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        // Only with room to spare: a flood on the brink would begin and end with every connection.
        if self.0.places.available_permits() > self.0.limit / 2 {
            self.breathe();
        }
        Ok(Place { _permit: permit, _share: share })
    }

    fn refuse(&self) {
        self.0.refusals.increment(1);
        if self.0.refused.fetch_add(1, Ordering::Relaxed) == 0 {
            let limit = self.0.limit;
            tracing::warn!(event = "too_many_connections", limit, "closing new connections until others end");
        }
    }

    /// The flood is over, if there was one.
    fn breathe(&self) {
        self.0.out_of_files.store(false, Ordering::Relaxed);
        if self.0.refused.load(Ordering::Relaxed) > 0 {
            let refused = self.0.refused.swap(0, Ordering::Relaxed);
            tracing::info!(event = "connections_fit_again", refused, "there is room for connections again");
        }
    }
}

impl<S> Accept<TcpStream, S> for Connections {
    type Stream = Connection;
    type Service = Answers<S>;
    type Future = Ready<io::Result<(Connection, Answers<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = stream.peer_addr().and_then(|peer| self.admit(peer.ip()));
        ready(place.map(|place| Connection::new(stream, service, place)))
    }
}

/// Has the system allow us so many open files, if it does, and says how many it allows. Most begin with 1,024 and may
/// have more for the asking.
fn allow_files(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = wanted as u64;
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        // Whether that was granted is seen below.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit });
    }
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// What is left of so many files for connections.
fn connections_with(files: usize) -> usize {
    files.saturating_sub(OTHER_FILES).max(files / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_leave_some_for_connections_and_some_for_the_rest() {
        assert_eq!(connections_with(20_000), 20_000 - OTHER_FILES);
        assert_eq!(connections_with(64), 32);
        assert_eq!(connections_with(usize::MAX), usize::MAX - OTHER_FILES);
    }

    #[test]
    fn of_few_places_one_network_has_half_unless_the_operator_says_otherwise() {
        for (per_network, most) in [(None, 5), (Some(8), 8), (Some(0), 10)] {
            let connections = Connections::at_most_with_files(10, per_network, TrustedProxies::default());
            let places: Vec<_> = (0..20).flat_map(|_| connections.admit([192, 0, 2, 1].into())).collect();
            assert_eq!(places.len(), most, "{per_network:?}");
        }
    }
}
