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

use handstamp_core::{SessionSecretHash, Timestamp, UserId};

use super::lease::Lease;
use super::sync::{AtomicI64, AtomicU64, BUCKETS, Entries, Ordering, Weighs};
use crate::environment::ClockReading;
use crate::store::{Invalidation, InvalidationScope, Position};

/// The session that a token names: the hash of its secret, its user and its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) secret_hash: SessionSecretHash,
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
    invalidated_at: Box<[AtomicI64]>,
    /// The position of the last invalidation that concerns all sessions.
    all_invalidated_at: AtomicI64,
    /// Sessions that expire at this time or earlier have been purged.
    purged_until: AtomicU64,
    entries: Entries<SessionSecretHash, Entry<V>>,
}

impl<V: Clone + Weighs> Cache<V> {
    /// An empty cache that follows the log from `position`.
    pub(super) fn new(position: Position, capacity: usize) -> Self {
        Self {
            lease: Lease::ended(),
            position: AtomicI64::new(position.0),
            invalidated_at: (0..BUCKETS).map(|_| AtomicI64::new(0)).collect(),
            all_invalidated_at: AtomicI64::new(0),
            purged_until: AtomicU64::new(0),
            entries: Entries::new(capacity),
        }
    }

    /// The session, if the lease holds and it is cached as live.
    pub(super) fn look_up(&self, key: &SessionKey, now: ClockReading) -> Option<V> {
        if !self.lease.holds(now) {
            return None;
        }
        let entry = self.entries.get(&key.secret_hash)?;
        let invalidated_at = self
            .bucket(key.secret_hash.as_bytes())
            .load(Ordering::SeqCst)
            .max(self.bucket(key.user_id.as_uuid().as_bytes()).load(Ordering::SeqCst))
            .max(self.all_invalidated_at.load(Ordering::SeqCst));
        let live = entry.position >= invalidated_at
            && key.expires_at.unix_seconds() > self.purged_until.load(Ordering::SeqCst);
        live.then_some(entry.value)
    }

    /// The position up to which all invalidations are applied; to be noted before a row is read.
    pub(super) fn position(&self) -> Position {
        Position(self.position.load(Ordering::SeqCst))
    }

    /// Inserts a live session whose row was read after the position `read_position` was noted.
    pub(super) fn insert(&self, read_position: Position, key: &SessionKey, value: V) {
        self.entries.insert(key.secret_hash, Entry { position: read_position.0, value });
    }

    /// Applies invalidations and advances the position. Returns false, with nothing done, when there is a gap: entries that
    /// this node has not read are already deleted from the log.
    pub(super) fn apply(&self, invalidations: &[Invalidation]) -> bool {
        let positions = self.position().0 + 1..;
        if invalidations.iter().zip(positions).any(|(invalidation, expected)| invalidation.position.0 != expected) {
            return false;
        }
        invalidations.iter().for_each(|invalidation| self.evict(invalidation));
        if let Some(last) = invalidations.last() {
            self.position.store(last.position.0, Ordering::SeqCst);
        }
        true
    }

    fn evict(&self, invalidation: &Invalidation) {
        let position = invalidation.position.0;
        match invalidation.scope {
            InvalidationScope::Session(secret_hash) => {
                self.bucket(secret_hash.as_bytes()).store(position, Ordering::SeqCst);
                self.entries.remove(&secret_hash);
            }
            InvalidationScope::User(id) => self.bucket(id.as_uuid().as_bytes()).store(position, Ordering::SeqCst),
            InvalidationScope::Expired(until) => {
                self.purged_until.fetch_max(until.unix_seconds(), Ordering::SeqCst);
            }
            InvalidationScope::All => {
                self.all_invalidated_at.store(position, Ordering::SeqCst);
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
    fn bucket(&self, scope: &[u8]) -> &AtomicI64 {
        let [.., high, low] = scope else { return &self.invalidated_at[0] };
        &self.invalidated_at[usize::from(u16::from_be_bytes([*high, *low])) % BUCKETS]
    }
}
