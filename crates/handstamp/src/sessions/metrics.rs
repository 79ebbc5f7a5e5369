//! Metrics of the session cache, the lease and the propagation of changes.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::NodeStatus;

/// The metrics of sessions, for applications that have installed a recorder of the crate `metrics`.
pub(super) struct Metrics {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    /// How long callers waited until every node had applied their change, in seconds.
    pub(super) waits: Histogram,
    entries: Gauge,
    lease_age: Gauge,
    position: Gauge,
}

impl Metrics {
    pub(super) fn new() -> Self {
        describe_counter!("handstamp_session_cache_hits_total", "Look-ups that the session cache answered");
        describe_counter!("handstamp_session_cache_misses_total", "Look-ups that read the row of the session");
        describe_gauge!("handstamp_session_cache_entries", "Sessions in the cache");
        describe_gauge!(
            "handstamp_lease_age_seconds",
            "Seconds since the last lease renewal was sent; beyond session.lease the cache is not used"
        );
        describe_gauge!(
            "handstamp_invalidation_log_position",
            "Position up to which this node has applied the invalidation log"
        );
        describe_histogram!(
            "handstamp_change_propagation_seconds",
            "Seconds from the commit of a change until every node has applied it"
        );
        Self {
            hits: counter!("handstamp_session_cache_hits_total"),
            misses: counter!("handstamp_session_cache_misses_total"),
            waits: histogram!("handstamp_change_propagation_seconds"),
            entries: gauge!("handstamp_session_cache_entries"),
            lease_age: gauge!("handstamp_lease_age_seconds"),
            position: gauge!("handstamp_invalidation_log_position"),
        }
    }

    pub(super) fn record_gauges(&self, status: NodeStatus) {
        if let NodeStatus::Joined { lease_age, position, entries, .. } = status {
            self.entries.set(entries as f64);
            self.lease_age.set(lease_age.as_secs_f64());
            self.position.set(position.0 as f64);
        } else {
            self.entries.set(0.0);
            self.lease_age.set(f64::INFINITY);
        }
    }
}
