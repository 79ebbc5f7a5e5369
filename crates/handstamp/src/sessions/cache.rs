//! The session cache of a node for one membership: entries, the positions of invalidations, and the lease.
//!
//! Three facts make the cache coherent, and none of them needs a lock:
//!
//! - An entry carries the log position that was noted *before* its row was read.
//! - An invalidation stores its position for the session or user that it concerns. An entry with an earlier position is
//!   ignored, however late it was inserted.
//! - The node reports a change as applied only after the invalidation was stored here. So a revocation is confirmed either
//!   after that, or after the lease has ended for good.
//!
//! Rejoining begins with a new cache, so it contains no entry of the previous membership.

use handstamp_core::{SessionIdHash, Timestamp, UserId};

use super::lease::Lease;
use super::sync::{AtomicI64, AtomicU64, Entries, Ordering, PLACES, Weighs};
use crate::store::{Change, Position, Subject};
use crate::world::Moment;

/// The session that a token names: the hash of its secret, its user and its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) id_hash: SessionIdHash,
    pub(crate) user_id: UserId,
    pub(crate) expires_at: Timestamp,
}

/// A cached session.
#[derive(Clone)]
struct Entry<V> {
    /// The log position that was noted before the row was read.
    position: i64,
    value: V,
}

impl<V: Weighs> Weighs for Entry<V> {
    fn weight(&self) -> u64 {
        self.value.weight()
    }
}

/// The live sessions that a node has cached.
pub(super) struct Cache<V: Clone + Weighs> {
    lease: Lease,
    /// The log position up to which all invalidations are stored below.
    position: AtomicI64,
    /// The position of the last invalidation per bucket (hash of session or user id). A collision only causes an extra
    /// read of a row.
    changed: Box<[AtomicI64]>,
    /// The position of the last invalidation that concerns all sessions.
    changed_for_all: AtomicI64,
    /// Sessions that expire at this time or earlier have been purged.
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

    /// The session, if the lease holds and it is cached as live.
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

    /// The position up to which all invalidations are applied; to be noted before a row is read.
    pub(super) fn position(&self) -> Position {
        Position(self.position.load(Ordering::SeqCst))
    }

    /// Inserts a live session whose row was read after the position `noted` was noted.
    pub(super) fn fill(&self, noted: Position, key: &SessionKey, value: V) {
        self.entries.insert(key.id_hash, Entry { position: noted.0, value });
    }

    /// Applies invalidations and advances the position. Returns false, with nothing done, when there is a gap: entries that
    /// this node has not read are already deleted from the log.
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

    /// The bucket, by the last two bytes: hashes are random throughout, and user ids at their end.
    fn place(&self, subject: &[u8]) -> &AtomicI64 {
        let [.., high, low] = subject else { return &self.changed[0] };
        &self.changed[usize::from(u16::from_be_bytes([*high, *low])) % PLACES]
    }
}
