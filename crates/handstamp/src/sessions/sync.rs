//! The concurrent types that the session cache is built on.
//!
//! They have their own module so that tests can replace them with those of a model checker.

use std::hash::Hash;

pub(super) use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// The number of buckets for invalidations: at a million changes a day, each bucket gets one every 95 minutes.
pub(super) const BUCKETS: usize = 1 << 16;

/// A value that counts as several entries if it takes the memory of several.
pub(crate) trait Weighs {
    /// How many entries of the usual size it counts as; at least 1.
    fn weight(&self) -> u64 {
        1
    }
}

/// A concurrent map that holds about its capacity of entries, by their weight, and keeps those that are used most.
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
