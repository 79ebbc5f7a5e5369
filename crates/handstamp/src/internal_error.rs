//! The internal errors: what goes wrong without a fault of the caller.

use std::error::Error;
use std::fmt;

use handstamp_core::InvalidHashError;

use crate::blocklist::BlocklistError;
use crate::store::{self, NoLease, PropagationUnknown, StaleRead};

/// An internal error: the caller could not have avoided it.
#[derive(Debug)]
pub(crate) enum InternalError {
    /// The database did not answer, or a write failed.
    Store(store::Error),
    /// A stale read: the database lacks changes that this node has seen already.
    StaleRead,
    /// This node does not hold its lease, and the database server may no longer be the leader.
    NoLease,
    /// The change is committed, but some node may not have applied it yet.
    PropagationUnknown(PropagationUnknown),
    /// The queue of passwords to hash is full.
    Overloaded,
    /// The filter of breached passwords cannot be read, so a new password cannot be checked.
    Blocklist(BlocklistError),
    /// A stored password hash cannot be parsed.
    Hash(InvalidHashError),
    /// A page cannot be rendered.
    Template(minijinja::Error),
    /// A background task panicked or was cancelled.
    Task(tokio::task::JoinError),
}

impl From<store::Error> for InternalError {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<StaleRead> for InternalError {
    fn from(_: StaleRead) -> Self {
        Self::StaleRead
    }
}

impl From<NoLease> for InternalError {
    fn from(_: NoLease) -> Self {
        Self::NoLease
    }
}

impl From<PropagationUnknown> for InternalError {
    fn from(error: PropagationUnknown) -> Self {
        Self::PropagationUnknown(error)
    }
}

impl From<BlocklistError> for InternalError {
    fn from(error: BlocklistError) -> Self {
        Self::Blocklist(error)
    }
}

impl From<InvalidHashError> for InternalError {
    fn from(error: InvalidHashError) -> Self {
        Self::Hash(error)
    }
}

impl From<minijinja::Error> for InternalError {
    fn from(error: minijinja::Error) -> Self {
        Self::Template(error)
    }
}

impl From<tokio::task::JoinError> for InternalError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Task(error)
    }
}

impl fmt::Display for InternalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => write!(f, "the database: {error}"),
            Self::StaleRead => f.write_str("the database: it lacks changes that this node has seen"),
            Self::NoLease => {
                f.write_str("this node holds no lease, so the database server may no longer be the leader")
            }
            Self::PropagationUnknown(PropagationUnknown(reason)) => {
                write!(f, "the change is committed, but some node may not have applied it: {reason}")
            }
            Self::Overloaded => f.write_str("too many passwords are waiting to be hashed"),
            Self::Blocklist(error) => write!(f, "password.blocklist: {error}"),
            Self::Hash(error) => error.fmt(f),
            Self::Template(error) => write!(f, "a template: {error:#}"),
            Self::Task(error) => write!(f, "a task: {error}"),
        }
    }
}

impl Error for InternalError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Store(error) => Some(error),
            Self::Blocklist(error) => Some(error),
            Self::Hash(error) => Some(error),
            Self::Template(error) => Some(error),
            Self::Task(error) => Some(error),
            Self::StaleRead | Self::NoLease | Self::PropagationUnknown(_) | Self::Overloaded => None,
        }
    }
}
