//! The concurrent types of the cache. They stand here alone so that the tests can put a model checker's in their place.

use std::hash::Hash;

pub(super) use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// How many places a cache has for what changed: at a million changes a day, each has one every 95 minutes.
pub(super) const PLACES: usize = 1 << 16;

/// What counts as several entries where it takes the memory of several.
pub(crate) trait Weighs {
    /// How many of the usual size it is; never none.
    fn weight(&self) -> u64 {
        1
    }
}

/// A map for many threads at once, which keeps entries up to about its capacity, by their weight: the ones in use.
pub(super) struct Entries<K, V: Weighs>(quick_cache::sync::Cache<K, V, Weight>);

#[derive(Clone)]
struct Weight;

impl<K, V: Weighs> quick_cache::Weighter<K, V> for Weight {
    fn weight(&self, _: &K, value: &V) -> u64 {
        value.weight()
    }
}

impl<K: Eq + Hash + Clone, V: Clone + Weighs> Entries<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self(quick_cache::sync::Cache::with_weighter(capacity, capacity as u64, Weight))
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
