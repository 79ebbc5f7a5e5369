//! The result of a verification of the audit log.

use std::fmt;

use handstamp_core::EventHead;

/// The result of a verification of the audit log. With the feature `serde` it can be serialized, in the format of
/// `handstamp events verify --json`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AuditReport {
    /// The head of the events that were verified.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_text"))]
    pub head: EventHead,
    /// The number of events that were erased with their users.
    pub erased: u64,
    /// The number of events that are not sealed yet.
    pub unsealed: u64,
    /// The number of seals by keys that are not known here. A later seal by a known key proves these events as well.
    pub unknown_keys: u64,
    /// The first problem; none if the log is intact.
    pub problem: Option<AuditProblem>,
}

impl AuditReport {
    /// Whether no event was changed, removed, inserted or reordered.
    pub fn is_intact(&self) -> bool {
        self.problem.is_none()
    }
}

/// A problem that a verification has found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AuditProblem {
    /// The kind of the problem.
    pub kind: AuditProblemKind,
    /// The first position that is not as it was sealed; none if the problem is an event that is not sealed.
    pub position: Option<u64>,
    /// The problem in a sentence.
    pub message: String,
}

/// The kinds of problems of an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum AuditProblemKind {
    /// An event was removed.
    Missing,
    /// An event was inserted.
    Inserted,
    /// A column of an event was changed.
    Changed,
    /// The seal does not fit: the event is another one than the one that was sealed there.
    WrongSeal,
    /// The events that were erased are not those that a deletion of a user has erased.
    WrongErasure,
    /// The log does not lead to the given head.
    WrongHead,
    /// No seal by a known key proves the newest events.
    NotProven,
    /// An event that is not sealed was not written by this site.
    Forged,
}

impl fmt::Display for AuditProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "position {position}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

#[cfg(feature = "serde")]
fn as_text<S: serde::Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
