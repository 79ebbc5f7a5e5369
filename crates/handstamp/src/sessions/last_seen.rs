use std::collections::HashMap;
use std::sync::Mutex;

use handstamp_core::{SessionIdHash, Timestamp};

/// When sessions were seen, since it was last written down. A request notes it here and writes nothing.
#[derive(Default)]
pub(super) struct LastSeen(Mutex<HashMap<SessionIdHash, Timestamp>>);

impl LastSeen {
    pub(super) fn note(&self, session: SessionIdHash, now: Timestamp) {
        self.times().insert(session, now);
    }

    /// When the session was seen, or the epoch when it was not since the last [`take`](Self::take).
    pub(super) fn of(&self, session: SessionIdHash) -> Timestamp {
        self.times().get(&session).copied().unwrap_or(Timestamp::from_unix_seconds(0))
    }

    pub(super) fn take(&self) -> Vec<(SessionIdHash, Timestamp)> {
        std::mem::take(&mut *self.times()).into_iter().collect()
    }

    fn times(&self) -> std::sync::MutexGuard<'_, HashMap<SessionIdHash, Timestamp>> {
        self.0.lock().expect("nothing panics while it holds the times")
    }
}
