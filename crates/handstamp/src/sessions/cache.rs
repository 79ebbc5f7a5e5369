//! What a node believes of live sessions while it is a member under one id: entries, what has changed since, and until
//! when any of it may be believed.
//!
//! Three facts make it coherent, and none of them needs a lock. An entry carries the position that was noted *before* its
//! row was read. Evicting is to note the position of a change for whom it concerns; an entry with an earlier position is
//! no longer believed, however late it was inserted. And a change is reported as done only after it was noted here, so
//! that whoever revokes is answered either after that, or after the lease has ended for good. Joining anew begins with
//! another cache, so nothing of the one before can be found in it.

use handstamp_core::{SessionIdHash, Timestamp, UserId};

use super::lease::Lease;
use super::sync::{AtomicI64, AtomicU64, Entries, Ordering, PLACES, Weighs};
use crate::store::{Change, Position, Subject};
use crate::world::Moment;

/// Which session, whose, and until when: what a token says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) id_hash: SessionIdHash,
    pub(crate) user_id: UserId,
    pub(crate) expires_at: Timestamp,
}

/// What is kept of a session.
#[derive(Clone)]
struct Entry<V> {
    /// The position noted before the row was read.
    position: i64,
    value: V,
}

impl<V: Weighs> Weighs for Entry<V> {
    fn weight(&self) -> u64 {
        self.value.weight()
    }
}

/// The sessions that a node believes to be live.
pub(super) struct Cache<V: Clone + Weighs> {
    lease: Lease,
    /// Up to where all changes are noted below.
    position: AtomicI64,
    /// The last change of whom it concerns, by a hash. Two that share a place cost each other a read of a row now and then.
    changed: Box<[AtomicI64]>,
    /// The last change that concerns everybody.
    changed_for_all: AtomicI64,
    /// Sessions that end at this time or earlier have been purged.
    expired: AtomicU64,
    entries: Entries<SessionIdHash, Entry<V>>,
}

impl<V: Clone + Weighs> Cache<V> {
    /// An empty cache that follows the log from `position`.
    pub(super) fn new(position: Position, capacity: usize) -> Self {
        Self {
            lease: Lease::ended(),
            position: AtomicI64::new(position.0),
            changed: (0..PLACES).map(|_| AtomicI64::new(0)).collect(),
            changed_for_all: AtomicI64::new(0),
            expired: AtomicU64::new(0),
            entries: Entries::new(capacity),
        }
    }

    /// The session, if it is known to be live.
    pub(super) fn look_up(&self, key: &SessionKey, now: Moment) -> Option<V> {
        if !self.lease.holds(now) {
            return None;
        }
        let entry = self.entries.get(&key.id_hash)?;
        let changed = self
            .place(key.id_hash.as_bytes())
            .load(Ordering::SeqCst)
            .max(self.place(key.user_id.as_uuid().as_bytes()).load(Ordering::SeqCst))
            .max(self.changed_for_all.load(Ordering::SeqCst));
        let live = entry.position >= changed && key.expires_at.unix_seconds() > self.expired.load(Ordering::SeqCst);
        live.then_some(entry.value)
    }

    /// Up to where all changes are evicted; to be noted before a row is read.
    pub(super) fn position(&self) -> Position {
        Position(self.position.load(Ordering::SeqCst))
    }

    /// Keeps a live session whose row was read after `noted` was noted.
    pub(super) fn fill(&self, noted: Position, key: &SessionKey, value: V) {
        self.entries.insert(key.id_hash, Entry { position: noted.0, value });
    }

    /// Evicts whom the changes concern, and advances. False, with nothing done, when there is a gap: what we have not
    /// followed is already forgotten.
    pub(super) fn apply(&self, changes: &[Change]) -> bool {
        let positions = self.position().0 + 1..;
        if changes.iter().zip(positions).any(|(change, expected)| change.position.0 != expected) {
            return false;
        }
        changes.iter().for_each(|change| self.evict(change));
        if let Some(last) = changes.last() {
            self.position.store(last.position.0, Ordering::SeqCst);
        }
        true
    }

    fn evict(&self, change: &Change) {
        let position = change.position.0;
        match change.subject {
            Subject::Session(id_hash) => {
                self.place(id_hash.as_bytes()).store(position, Ordering::SeqCst);
                self.entries.remove(&id_hash);
            }
            Subject::User(id) => self.place(id.as_uuid().as_bytes()).store(position, Ordering::SeqCst),
            Subject::Expired(until) => {
                self.expired.fetch_max(until.unix_seconds(), Ordering::SeqCst);
            }
            Subject::Everybody => {
                self.changed_for_all.store(position, Ordering::SeqCst);
                self.entries.clear();
            }
        }
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Hashes are random throughout, and ids of users at their end.
    fn place(&self, subject: &[u8]) -> &AtomicI64 {
        let [.., high, low] = subject else { return &self.changed[0] };
        &self.changed[usize::from(u16::from_be_bytes([*high, *low])) % PLACES]
    }
}
