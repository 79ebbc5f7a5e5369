//! The types of the invalidation log, and the interface that the lease protocol needs of a database.
//!
//! The protocol is in `sessions/`; this module contains no SQL.

use std::time::Duration;

use handstamp_core::{SessionSecretHash, Timestamp, UserId};
use uuid::Uuid;

/// A position in the invalidation log. Positions are consecutive within an epoch, in the order of the commits. The upper 32 bits are the
/// number of the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) i64);

/// An invalidation: an entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalidation {
    pub(crate) position: Position,
    pub(crate) scope: InvalidationScope,
}

/// The sessions that an invalidation concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidationScope {
    /// One session, which has ended.
    Session(SessionSecretHash),
    /// The sessions of a user: some have ended, or the user has changed.
    User(UserId),
    /// All sessions that expire at this time or earlier, which were deleted.
    Expired(Timestamp),
    /// All sessions of all users.
    All,
}

/// The result of a committed transaction, and the position of its last invalidation. The change applies everywhere only once
/// every node has reached that position: `Sessions::wait_until_applied` waits for it and then returns the result.
#[must_use = "other nodes may still serve the old state from their caches"]
#[derive(Debug, PartialEq)]
pub(crate) struct Committed<T> {
    pub(crate) value: T,
    /// None where nothing changed that a node could have cached.
    pub(crate) position: Option<Position>,
}

/// The id of a node for one membership. Rejoining takes a new id, since a statement that timed out may still be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) Uuid);

/// The row of a node, as other nodes read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeRow {
    pub(crate) id: NodeId,
    /// The position up to which it has applied the invalidation log.
    pub(crate) position: Position,
    /// How many times it has renewed its lease.
    pub(crate) renewals: i64,
    pub(crate) lease: Duration,
}

/// The most invalidations that one statement reads.
pub(crate) const MAX_INVALIDATIONS: usize = 1000;

/// The database is behind what this node has read before: a deposed leader that has come back, or a promoted standby that
/// lacks confirmed transactions. The session in the row may have been revoked.
#[derive(Debug)]
pub(crate) struct StaleRead;

/// This node does not hold its lease, and the database may be a server that no longer leads: its rows are no authority.
#[derive(Debug)]
pub(crate) struct NoLease;

/// The change is committed, but some node may not have applied it yet.
#[derive(Debug)]
pub(crate) struct PropagationUnknown(pub(crate) String);

/// The database operations of the lease protocol. Every method is one statement or one transaction.
pub(crate) trait InvalidationLog: Send + Sync + 'static {
    type Error: std::fmt::Display + Send;

    /// Inserts a node at the newest position and returns that position.
    fn join(&self, node: NodeId, lease: Duration) -> impl Future<Output = Result<Position, Self::Error>> + Send;

    /// Renews the lease of a node that has reached `position`, and returns the newest position. None when its row is gone
    /// because another node has evicted it.
    fn renew(
        &self,
        node: NodeId,
        position: Position,
    ) -> impl Future<Output = Result<Option<Position>, Self::Error>> + Send;

    /// Deletes the row of a node that no longer caches.
    fn leave(&self, node: NodeId) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The invalidations after a position, the oldest first, at most [`MAX_INVALIDATIONS`].
    fn invalidations_after(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<Vec<Invalidation>, Self::Error>> + Send;

    /// The newest position and all nodes, read in one statement: a server that lacks a change may also lack nodes.
    fn nodes(&self) -> impl Future<Output = Result<(Position, Vec<NodeRow>), Self::Error>> + Send;

    /// Evicts a node, unless it has renewed since this row was read.
    fn evict(&self, node: NodeRow) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Deletes the invalidations up to a position, which no node needs any more.
    fn forget(&self, position: Position) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The time of the database's clock since the Unix epoch; none where that is the clock of this machine.
    fn clock(&self) -> impl Future<Output = Result<Option<Duration>, Self::Error>> + Send;

    /// The newest position, returned only after a commit has shown that the database leads.
    fn confirm(&self) -> impl Future<Output = Result<Position, Self::Error>> + Send;

    /// Whether a deposed leader may go on answering reads. If so, a row is trusted only while the lease holds.
    fn may_be_superseded(&self) -> bool;

    /// Notifies the nodes, where that is possible. They also poll, which takes longer.
    fn notify(&self) -> impl Future<Output = ()> + Send;
}
