//! The concurrent types of the cache. They stand here alone so that the tests can put a model checker's in their place.

use std::hash::Hash;

pub(super) use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How many places a cache has for what changed: at a million changes a day, each has one every 95 minutes.
pub(super) const PLACES: usize = 1 << 16;

/// A map for many threads at once, which keeps about as many entries as it is told, the ones in use.
pub(super) struct Entries<K, V>(quick_cache::sync::Cache<K, V>);

impl<K: Eq + Hash + Clone, V: Clone> Entries<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self(quick_cache::sync::Cache::new(capacity))
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.0.get(key)
    }

    pub(super) fn insert(&self, key: K, value: V) {
        self.0.insert(key, value);
    }

    pub(super) fn remove(&self, key: &K) {
        self.0.remove(key);
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
