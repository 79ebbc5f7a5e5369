use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Mutex;

use handstamp_core::{SessionIdHash, Timestamp};

/// When sessions were seen, since it was last written down. A request notes it here and writes nothing.
#[derive(Default)]
pub(super) struct LastSeen(Mutex<Times>);

type Times = HashMap<SessionIdHash, Timestamp, BuildHasherDefault<FirstBytes>>;

/// Takes hashes as they are. Nobody chooses those of sessions, so to hash them once more would be for nothing.
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
    pub(super) fn note(&self, session: SessionIdHash, now: Timestamp) {
        self.times().insert(session, now);
    }

    /// When the session was seen, or the epoch when it was not since the last [`take`](Self::take).
    pub(super) fn of(&self, session: SessionIdHash) -> Timestamp {
        self.times().get(&session).copied().unwrap_or(Timestamp::from_unix_seconds(0))
    }

    /// Gives back what was taken and could not be written, where nothing later was noted meanwhile.
    pub(super) fn put_back(&self, seen: Vec<(SessionIdHash, Timestamp)>) {
        let mut times = self.times();
        for (session, time) in seen {
            times.entry(session).and_modify(|later| *later = time.max(*later)).or_insert(time);
        }
    }

    pub(super) fn take(&self) -> Vec<(SessionIdHash, Timestamp)> {
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
    fn sessions_spread_over_the_map() {
        let hashers = BuildHasherDefault::<FirstBytes>::default();
        let hash = |byte| hashers.hash_one(SessionIdHash::from_bytes([byte; 32]));
        assert_eq!([hash(1), hash(2)], [[1; 8], [2; 8]].map(u64::from_ne_bytes));
    }

    #[test]
    fn what_could_not_be_written_is_kept_for_the_next_time() {
        let (ada, bob) = (SessionIdHash::from_bytes([1; 32]), SessionIdHash::from_bytes([2; 32]));
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
