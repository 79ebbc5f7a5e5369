//! The state of a site as operators see it: the database, the messages that could not be delivered, and counts of events.

use handstamp_core::{Timestamp, UserId};
use uuid::Uuid;

use super::{AuditEvent, EventActor};

/// The database of a site.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseStatus {
    pub(crate) kind: &'static str,
    pub(crate) version: String,
    /// The version of the tables: that of the newest migration.
    pub(crate) schema: i64,
    /// The size, where the database tells it.
    pub(crate) bytes: Option<u64>,
}

/// The database with those of its settings on which the promises of this service rest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DatabaseReport {
    /// `SQLite` or `PostgreSQL`.
    pub kind: &'static str,
    /// Its version, in its own words.
    pub version: String,
    /// The version of the tables: that of the newest migration.
    pub schema: i64,
    /// The settings on which it depends that a commit survives a crash, as pairs of name and value.
    pub settings: Vec<(String, String)>,
    /// By how many milliseconds its clock is ahead of the clock of this machine; negative if it is behind. None where they are the same.
    pub clock_ahead: Option<i64>,
}

/// A message of the outbox whose last delivery failed.
#[derive(Clone, Debug)]
pub(crate) struct UndeliveredMessage {
    pub(crate) kind: String,
    pub(crate) created_at: Timestamp,
    pub(crate) due_at: Timestamp,
    pub(crate) attempts: u64,
    pub(crate) error: String,
}

/// How many events of some kinds a time had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventCounts {
    pub(crate) sign_ins: u64,
    pub(crate) refusals: u64,
    pub(crate) registrations: u64,
}

impl EventCounts {
    pub(crate) fn add(&mut self, more: Self) {
        self.sign_ins += more.sign_ins;
        self.refusals += more.refusals;
        self.registrations += more.registrations;
    }
}

/// Which events an operator looks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventSearch {
    pub(crate) name: Option<String>,
    pub(crate) user: Option<UserId>,
    pub(crate) actor: Option<EventActor>,
    /// Only events at this time or later.
    pub(crate) from: Option<Timestamp>,
    /// Only events before this time.
    pub(crate) until: Option<Timestamp>,
    /// Only events before the one with this id: the end of the page before.
    pub(crate) before: Option<Uuid>,
}

/// A page of events.
#[derive(Debug)]
pub(crate) struct EventPage {
    pub(crate) events: Vec<AuditEvent>,
    /// Where the next page begins; none if there are no more.
    pub(crate) next: Option<Uuid>,
}
