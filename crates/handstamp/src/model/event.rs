//! Events of the audit log: one to be written, one that was read, and what the new events of a node share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use handstamp_core::{EventCommitment, EventKeys, EventRecord, EventSalt, EventTag, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
#[cfg(feature = "federation")]
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{NewOutboxMessage, OutboxKind};

/// An event that is about to be written, in the transaction of its act. The transaction can complete its fields.
pub(crate) struct NewEvent {
    pub(crate) id: Uuid,
    pub(crate) time: Timestamp,
    /// The name of the event in the closed list of events.
    pub(crate) name: &'static str,
    /// The user whose account it is about.
    pub(crate) user: Option<UserId>,
    pub(crate) content: EventContent,
    pub(crate) salt: EventSalt,
    /// The mail that the act causes.
    pub(crate) message: Option<NewOutboxMessage>,
    /// Whether it is sent as a webhook.
    pub(crate) is_sent: bool,
    /// The user whom the act deletes. The webhook names the user, the audit log does not.
    pub(crate) deleted: Option<UserId>,
    pub(crate) writer: Arc<EventWriter>,
}

impl NewEvent {
    /// The same event, whose act causes this mail.
    #[must_use]
    pub(crate) fn with_message(self, message: Option<NewOutboxMessage>) -> Self {
        Self { message, ..self }
    }

    /// The same event with one more field, or with another value of a field.
    #[must_use]
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.content.fields.insert(field.to_owned(), value.into());
        self
    }

    /// The same event, about the account of this user.
    #[must_use]
    pub(crate) fn about(self, user: UserId) -> Self {
        Self { user: Some(user), ..self }
    }

    /// The same event about each of these users. Where there are several, each has an id and a salt of its own, which tell nothing of the
    /// others: the salt of one is erased with its user.
    #[cfg(feature = "federation")]
    pub(crate) fn about_each(self, users: &[UserId]) -> Vec<Self> {
        if let [user] = users {
            return vec![self.about(*user)];
        }
        let about = |user: &UserId| {
            let [id, salt] = ["id", "salt"].map(|purpose| {
                let seed = Sha256::new().chain_update(purpose).chain_update(self.salt);
                let digest: [u8; 32] = seed.chain_update(user.as_uuid()).finalize().into();
                digest.first_chunk().copied().expect("a digest has 32 bytes")
            });
            Self {
                id: with_random_bits(self.id, id),
                user: Some(*user),
                salt,
                content: self.content.clone(),
                message: None,
                writer: Arc::clone(&self.writer),
                ..self
            }
        };
        users.iter().map(about).collect()
    }

    /// The same event, in this session.
    #[must_use]
    pub(crate) fn in_session(mut self, session_id: Uuid) -> Self {
        self.content.session = Some(session_id);
        self
    }

    /// The same event, with nothing that tells of the user or of a client. An operator is named still.
    #[must_use]
    pub(crate) fn without_personal_data(self) -> Self {
        let EventContent { actor, operator, .. } = self.content;
        let content = EventContent { actor, operator, ..EventContent::default() };
        Self { user: None, deleted: self.user, content, ..self }
    }

    /// The webhook of the event, if it is sent as one. It is deleted with its user.
    pub(crate) fn webhook(&self) -> Option<NewOutboxMessage> {
        self.is_sent.then(|| {
            let content = self.content.clone();
            let body = json!({
                "type": self.name,
                "timestamp": self.time.to_string(),
                "data": {
                    "id": self.id,
                    "user": self.user.or(self.deleted).map(|user| user.to_string()),
                    "actor": content.actor,
                    "operator": content.operator,
                    "address": content.address,
                    "user_agent": content.user_agent,
                    "session_id": content.session,
                    "request_id": content.request,
                    "fields": content.fields,
                },
            });
            NewOutboxMessage {
                id: self.id,
                kind: OutboxKind::Webhook,
                user_id: self.user,
                recipient: String::new(),
                content: body.to_string(),
                token_id: None,
                created_at: self.time,
            }
        })
    }

    /// The content as it is stored, the commitment to the event, and the tag of the commitment.
    pub(crate) fn committed(&self) -> (String, EventCommitment, EventTag) {
        let content = serde_json::to_string(&self.content).expect("the content of an event has text keys only");
        let record = EventRecord { id: self.id, time: self.time, user: self.user, name: self.name, content: &content };
        let commitment = record.commitment(&self.salt);
        let tag = self.writer.keys.tag_commitment(&commitment);
        (content, commitment, tag)
    }
}

/// The events of a sign-in.
pub(crate) struct SignInEvents {
    pub(crate) signed_in: NewEvent,
    /// Written if the sign-in ends the longest unused sessions of the user.
    pub(crate) limited: NewEvent,
}

/// The fields of an event that are stored as one JSON text. Those without a value are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EventContent {
    pub(crate) actor: EventActor,
    /// The user who acted as an operator, at the pages of administration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) operator: Option<Uuid>,
    /// The address of the client.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) address: String,
    /// The User-Agent header of the client.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user_agent: String,
    /// The session id of the actor's session, or of the session that has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<Uuid>,
    /// The id of the request in the log.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) request: String,
    /// The fields of this event in the closed list of events, and those that only the transaction knows.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) fields: Map<String, Value>,
}

/// The fields of an event that records an erasure: the number of erased events, and the digest of their commitments.
pub(crate) const ERASED_FIELDS: (&str, &str) = ("erased", "erased_digest");

/// The sign-ins that failed within an hour, which are counted and become one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailedSignIns {
    /// The account, or none for addresses without an account.
    pub(crate) user: Option<UserId>,
    /// The beginning of the hour.
    pub(crate) from: Timestamp,
}

impl FailedSignIns {
    /// The field with their number.
    pub(crate) const COUNT: &str = "failures";
}

/// A row of the audit log as it is stored, whether the columns fit together or not.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub(crate) commitment: Vec<u8>,
    pub(crate) position: Option<i64>,
    pub(crate) tag: Vec<u8>,
    pub(crate) id: Option<Uuid>,
    pub(crate) time: i64,
    pub(crate) name: String,
    pub(crate) user: Option<Uuid>,
    pub(crate) content: String,
    pub(crate) salt: Vec<u8>,
    pub(crate) erased_by: Option<Uuid>,
}

/// An event of the audit log. With the feature `serde` it can be serialized, in the format of `handstamp events list --json`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AuditEvent {
    /// The id of the event, which is unique.
    pub id: Uuid,
    /// The position in the log; none until the event is sealed, within a second.
    pub position: Option<u64>,
    /// When it happened.
    pub time: Timestamp,
    /// The name of the event, such as `authn_login_success`.
    pub event: String,
    /// The user whose account the event is about, if it is about one.
    pub user: Option<UserId>,
    /// The actor.
    pub actor: EventActor,
    /// The user who acted as an operator, at the pages of administration.
    pub operator: Option<UserId>,
    /// The address of the client; empty where it is not known.
    pub address: String,
    /// The User-Agent header of the client; empty where it is not known.
    pub user_agent: String,
    /// The session id of the actor's session, or of the session that has begun or ended.
    pub session_id: Option<Uuid>,
    /// The id of the request in the log; empty where there was none.
    pub request_id: String,
    /// The other fields of the event, by name.
    pub fields: Map<String, Value>,
}

impl AuditEvent {
    pub(crate) fn new(
        id: Uuid,
        position: Option<u64>,
        time: Timestamp,
        event: String,
        user: Option<UserId>,
        content: EventContent,
    ) -> Self {
        let EventContent { actor, operator, address, user_agent, session, request, fields } = content;
        let (session_id, request_id, operator) = (session, request, operator.map(UserId::from_uuid));
        Self { id, position, time, event, user, actor, operator, address, user_agent, session_id, request_id, fields }
    }

    /// The event as its user may see it: with nothing of an operator's client.
    #[must_use]
    pub(crate) fn without_operator(self) -> Self {
        if self.actor != EventActor::Operator {
            return self;
        }
        Self { operator: None, address: String::new(), user_agent: String::new(), session_id: None, ..self }
    }
}

/// Which events to list: a page of at most `limit`. After a position they are in the order of the log, otherwise the newest is
/// first.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListEvents {
    /// Only events about this user.
    pub user: Option<UserId>,
    /// Only events of this name.
    pub event: Option<String>,
    /// Only sealed events after this position, the oldest first. So a program that remembers the last position misses no event.
    pub after: Option<u64>,
    /// Only events before the one with this id; the id of the last event of the page before. It is not used with `after`.
    pub before: Option<Uuid>,
    /// The most events to return, at most 1000. 100 by default.
    pub limit: usize,
}

impl ListEvents {
    /// The most events of a page.
    pub const MAX_LIMIT: usize = 1000;
}

impl Default for ListEvents {
    fn default() -> Self {
        Self { user: None, event: None, after: None, before: None, limit: 100 }
    }
}

/// An id with the time and the counter of another, and these random bits.
#[cfg(feature = "federation")]
fn with_random_bits(id: Uuid, random: [u8; 16]) -> Uuid {
    let mut bytes = id.into_bytes();
    bytes[8..].copy_from_slice(&random[8..]);
    uuid::Builder::from_bytes(bytes).with_variant(uuid::Variant::RFC4122).into_uuid()
}

/// The actor of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EventActor {
    /// A client that was not signed in as the user of the event, as before a sign-in.
    Visitor,
    /// The user of the event, signed in.
    User,
    /// An operator, by the command line, by the pages of administration, or by the application that embeds Handstamp.
    Operator,
    /// Handstamp itself, in a background job.
    System,
    /// An actor that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The shared state of all new events of a node: the keys, the order of their ids, and the wake-up of the job that seals them.
pub(crate) struct EventWriter {
    pub(crate) keys: EventKeys,
    /// Wakes the job when a transaction has written an event.
    pub(crate) written: Notify,
    /// The number of ids that were made, which keeps the ids of one millisecond in order.
    count: AtomicU16,
    /// The time of the oldest event that is not sealed, as far as this node knows: seconds since the Unix epoch, or zero.
    oldest_unsealed: AtomicU64,
}

const WRITTEN: &str = "handstamp_events_written_total";
const SEALED: &str = "handstamp_events_sealed_total";
const OLDEST_UNSEALED: &str = "handstamp_oldest_unsealed_event_seconds";

impl EventWriter {
    pub(crate) fn new(keys: EventKeys) -> Self {
        metrics::describe_counter!(WRITTEN, "Events that this node has written to the audit log, by name");
        metrics::describe_counter!(SEALED, "Events of the audit log that this node has sealed");
        metrics::describe_gauge!(
            OLDEST_UNSEALED,
            "Age of the oldest event of the audit log that is not sealed, as far as this node knows; zero if there is none"
        );
        Self { keys, written: Notify::new(), count: AtomicU16::new(0), oldest_unsealed: AtomicU64::new(0) }
    }

    /// The id of a new event: a UUID of version 7 (RFC 9562). The ids of a process are in order, unless the clock is set back or a
    /// millisecond has more than 4096 of them.
    pub(crate) fn new_id(&self, clock: Duration, mut random: [u8; 10]) -> Uuid {
        // The twelve bits after the time and the version are the counter (RFC 9562 §6.2, method 1).
        random[..2].copy_from_slice(&self.count.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        let milliseconds = u64::try_from(clock.as_millis()).unwrap_or(u64::MAX);
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
    }

    /// Notes that a transaction has committed an event.
    pub(crate) fn note_written(&self, name: &'static str, time: Timestamp) {
        metrics::counter!(WRITTEN, "event" => name).increment(1);
        let _ = self.oldest_unsealed.compare_exchange(0, time.unix_seconds(), Ordering::Relaxed, Ordering::Relaxed);
        self.written.notify_one();
    }

    /// Notes that this many events were sealed.
    pub(crate) fn note_sealed(&self, events: u64) {
        metrics::counter!(SEALED).increment(events);
    }

    /// Notes the time of the oldest event that is not sealed, if there is one.
    pub(crate) fn note_oldest_unsealed(&self, time: Option<Timestamp>) {
        self.oldest_unsealed.store(time.map_or(0, Timestamp::unix_seconds), Ordering::Relaxed);
    }

    /// Updates the gauge of the oldest event that is not sealed.
    pub(crate) fn record_gauges(&self, now: Timestamp) {
        let oldest = self.oldest_unsealed.load(Ordering::Relaxed);
        let age = if oldest == 0 { 0 } else { now.unix_seconds().saturating_sub(oldest) };
        metrics::gauge!(OLDEST_UNSEALED).set(age as f64);
    }
}
