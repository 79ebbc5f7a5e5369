//! The last-seen times of sessions that are not yet written to the database.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use handstamp_core::{SessionSecretHash, Timestamp};

/// When each session was last seen, since the last write. A request records its time here and writes nothing.
#[derive(Default)]
pub(super) struct LastSeen(Mutex<Times>);

type Times = HashMap<SessionSecretHash, Timestamp, BuildHasherDefault<FirstBytes>>;

/// A hasher that uses the first eight bytes of a session's hash as they are. No client can choose that hash, so hashing it
/// again would gain nothing.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl LastSeen {
    pub(super) fn note(&self, session: SessionSecretHash, now: Timestamp) {
        self.times().insert(session, now);
    }

    /// When the session was last seen, or the epoch if it was not seen since the last [`take`](Self::take).
    pub(super) fn of(&self, session: SessionSecretHash) -> Timestamp {
        self.times().get(&session).copied().unwrap_or(Timestamp::from_unix_seconds(0))
    }

    /// Puts back times that were taken and could not be written. A later time that was recorded meanwhile wins.
    pub(super) fn put_back(&self, seen: Vec<(SessionSecretHash, Timestamp)>) {
        let mut times = self.times();
        for (session, time) in seen {
            times.entry(session).and_modify(|later| *later = time.max(*later)).or_insert(time);
        }
    }

    pub(super) fn take(&self) -> Vec<(SessionSecretHash, Timestamp)> {
        std::mem::take(&mut *self.times()).into_iter().collect()
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().expect("nothing panics while it holds the times")
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn hashes_of_sessions_spread_over_the_last_seen_map() {
        let hashers = BuildHasherDefault::<FirstBytes>::default();
        let hash = |byte| hashers.hash_one(SessionSecretHash::from_bytes([byte; 32]));
        assert_eq!([hash(1), hash(2)], [[1; 8], [2; 8]].map(u64::from_ne_bytes));
    }

    #[test]
    fn last_seen_times_that_could_not_be_written_are_kept_for_the_next_write() {
        let (ada, bob) = (SessionSecretHash::from_bytes([1; 32]), SessionSecretHash::from_bytes([2; 32]));
        let at = Timestamp::from_unix_seconds;
        let seen = LastSeen::default();
        seen.note(ada, at(10));
        seen.note(bob, at(10));
        let taken = seen.take();
        assert_eq!((taken.len(), seen.of(ada)), (2, at(0)));
        seen.note(ada, at(20));
        seen.put_back(taken);
        assert_eq!((seen.of(ada), seen.of(bob)), (at(20), at(10)));
    }
}
