//! The unmodified session cache, on loom's concurrent types.

#[path = "../../src/sessions/cache.rs"]
mod cache;
#[path = "../../src/sessions/lease.rs"]
mod lease;

/// Replaces `src/sessions/sync.rs`.
mod sync {
    use std::collections::HashMap;
    use std::hash::{BuildHasherDefault, DefaultHasher, Hash};

    pub(super) use loom::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    pub(super) const BUCKETS: usize = 2;

    pub(crate) trait Weighs {
        fn weight(&self) -> u64 {
            1
        }
    }

    impl Weighs for u64 {}

    /// A map whose every operation is atomic: the cache requires that of its map, and no more.
    pub(super) struct Entries<K, V>(loom::sync::Mutex<HashMap<K, V, BuildHasherDefault<DefaultHasher>>>);

    impl<K: Eq + Hash, V: Clone> Entries<K, V> {
        pub(super) fn new(_: usize) -> Self {
            Self(loom::sync::Mutex::new(HashMap::default()))
        }

        pub(super) fn get(&self, key: &K) -> Option<V> {
            self.0.lock().unwrap().get(key).cloned()
        }

        pub(super) fn insert(&self, key: K, value: V) {
            self.0.lock().unwrap().insert(key, value);
        }

        pub(super) fn remove(&self, key: &K) {
            self.0.lock().unwrap().remove(key);
        }

        pub(super) fn clear(&self) {
            self.0.lock().unwrap().clear();
        }

        pub(super) fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }
}

pub(crate) struct Cache(cache::Cache<u64>);

pub(crate) use cache::SessionKey;

/// The operations of the cache that its sibling modules may use, for this test.
impl Cache {
    pub(crate) fn new(position: i64) -> Self {
        Self(cache::Cache::new(crate::store::Position(position), 1))
    }

    pub(crate) fn renew(&self, sent: crate::environment::ClockReading, lease: std::time::Duration) {
        self.0.lease().renew(sent, lease);
    }

    pub(crate) fn look_up(&self, key: &SessionKey, now: crate::environment::ClockReading) -> Option<u64> {
        self.0.look_up(key, now)
    }

    pub(crate) fn position(&self) -> crate::store::Position {
        self.0.position()
    }

    pub(crate) fn insert(&self, read_position: crate::store::Position, key: &SessionKey, value: u64) {
        self.0.insert(read_position, key, value);
    }

    pub(crate) fn apply(&self, changes: &[crate::store::Invalidation]) -> bool {
        self.0.apply(changes)
    }
}
