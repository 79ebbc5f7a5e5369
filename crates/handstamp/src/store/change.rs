//! The log of changes, and the nodes that follow it: what the protocol of `sessions/` asks of a database. No SQL here.

use std::time::Duration;

use handstamp_core::{SessionIdHash, Timestamp, UserId};
use uuid::Uuid;

/// A place in the log. Each change has the next, in the order of the commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(pub(crate) i64);

/// Something that is no longer as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) position: Position,
    pub(crate) subject: Subject,
}

/// Whom a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A session has ended.
    Session(SessionIdHash),
    /// An account, or which sessions it has.
    User(UserId),
    /// All sessions that end at this time or earlier are gone.
    Expired(Timestamp),
    /// All sessions are gone.
    Everybody,
}

/// What was done, and the position of what it changed for others. It is in force everywhere only once every node has
/// come so far: `Sessions::in_force` waits for that and then hands over what was done.
#[must_use = "nodes may still believe what was"]
#[derive(Debug, PartialEq)]
pub(crate) struct Logged<T> {
    pub(crate) done: T,
    /// None where nothing changed that anybody could have cached.
    pub(crate) position: Option<Position>,
}

/// A node for the length of one membership. Joining anew takes another id, since a statement that was given up may still
/// be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) Uuid);

/// What others see of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeRow {
    pub(crate) id: NodeId,
    /// Up to where it has forgotten what changed.
    pub(crate) position: Position,
    /// How often it has renewed its lease.
    pub(crate) renewals: i64,
    pub(crate) lease: Duration,
}

/// The most changes that are read at once.
pub(crate) const CHANGES_AT_ONCE: usize = 1000;

/// What the protocol asks of a database. Every method is one statement or one transaction.
pub(crate) trait ChangeLog: Send + Sync + 'static {
    type Error: std::fmt::Display + Send;

    /// Inserts a node at the newest position, which it returns.
    fn join(&self, node: NodeId, lease: Duration) -> impl Future<Output = Result<Position, Self::Error>> + Send;

    /// Renews the lease of a node that has come as far as `position`, and returns the newest one. None when its row is
    /// gone: somebody has given it up.
    fn renew(
        &self,
        node: NodeId,
        position: Position,
    ) -> impl Future<Output = Result<Option<Position>, Self::Error>> + Send;

    /// Removes a node that caches no longer.
    fn leave(&self, node: NodeId) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The changes after a position, the oldest first, at most [`CHANGES_AT_ONCE`].
    fn changes_after(&self, position: Position) -> impl Future<Output = Result<Vec<Change>, Self::Error>> + Send;

    /// The newest position and all nodes, read at once: a server that does not know a change does not know who must hear of it.
    fn nodes(&self) -> impl Future<Output = Result<(Position, Vec<NodeRow>), Self::Error>> + Send;

    /// Removes a node that has not renewed since.
    fn give_up(&self, node: NodeRow) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes the changes up to a position, which no node needs any more.
    fn forget(&self, position: Position) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// What the database's clock shows, since the Unix epoch; none where that is the clock of this machine.
    fn clock(&self) -> impl Future<Output = Result<Option<Duration>, Self::Error>> + Send;

    /// The newest position, once a commit has shown that the database leads.
    fn confirm(&self) -> impl Future<Output = Result<Position, Self::Error>> + Send;

    /// Whether a server that no longer leads may go on answering reads. What it says is no authority then: a row counts only while
    /// the lease holds.
    fn may_be_superseded(&self) -> bool;

    /// Wakes the followers, where the database can. They find out by themselves as well, only later.
    fn announce(&self) -> impl Future<Output = ()> + Send;
}
