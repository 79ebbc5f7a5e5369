//! The crate's opaque public error, and the internal errors behind it.

use std::fmt;

use handstamp_core::InvalidHashError;

use crate::store::{self, NoLease, OpenError, PropagationUnknown, StaleRead};

/// Why a [`Handstamp`](crate::Handstamp) could not be opened, or an operator's command failed. The message is for the operator.
#[derive(Debug)]
pub struct Error(Kind);

#[derive(Debug)]
enum Kind {
    Open(OpenError),
    Config(String),
    NoSuchAccount,
    Refused(String),
    Internal(InternalError),
}

impl Error {
    /// A setting is wrong.
    pub fn is_config(&self) -> bool {
        matches!(self.0, Kind::Config(_))
    }

    /// A file or folder is accessible to other users, or cannot be created.
    pub fn is_file(&self) -> bool {
        matches!(self.0, Kind::Open(OpenError::File(_)))
    }

    /// The database does not answer, its tables cannot be used, or it is not known whether every node has applied the change.
    pub fn is_database(&self) -> bool {
        matches!(
            self.0,
            Kind::Open(OpenError::Database(_) | OpenError::Unreachable(..) | OpenError::Migration(_))
                | Kind::Internal(
                    InternalError::Store(_)
                        | InternalError::StaleRead
                        | InternalError::NoLease
                        | InternalError::PropagationUnknown(_)
                )
        )
    }

    /// No account has this address.
    pub fn is_no_such_account(&self) -> bool {
        matches!(self.0, Kind::NoSuchAccount)
    }

    /// The input was rejected: an address that is not valid or already has an account, or a password that is easy to guess. The
    /// message is for the person who gave the input.
    pub fn is_refused(&self) -> bool {
        matches!(self.0, Kind::Refused(_))
    }

    /// The internal error behind it, or this error unchanged if there is none.
    pub(crate) fn into_internal(self) -> Result<InternalError, Self> {
        match self.0 {
            Kind::Internal(error) => Ok(error),
            other => Err(Self(other)),
        }
    }

    pub(crate) fn no_such_account() -> Self {
        Self(Kind::NoSuchAccount)
    }

    pub(crate) fn refused(reason: impl fmt::Display) -> Self {
        Self(Kind::Refused(reason.to_string()))
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self(Kind::Config(message.into()))
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self(Kind::Open(error))
    }
}

impl<F: Into<InternalError>> From<F> for Error {
    fn from(error: F) -> Self {
        Self(Kind::Internal(error.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Open(error) => error.fmt(f),
            Kind::Config(message) | Kind::Refused(message) => f.write_str(message),
            Kind::NoSuchAccount => f.write_str("there is no account of that address"),
            Kind::Internal(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

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
            Self::Hash(error) => error.fmt(f),
            Self::Template(error) => write!(f, "a template: {error:#}"),
            Self::Task(error) => write!(f, "a task: {error}"),
        }
    }
}
