use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::Standing;

/// What is measured of sessions, for whoever has installed a recorder of the crate `metrics`.
pub(super) struct Metrics {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    /// How long whoever changed something waited until it was in force everywhere, in seconds.
    pub(super) waits: Histogram,
    entries: Gauge,
    lease_age: Gauge,
    position: Gauge,
}

impl Metrics {
    pub(super) fn new() -> Self {
        describe_counter!("handstamp_session_cache_hits_total", "Live sessions that needed no statement");
        describe_counter!("handstamp_session_cache_misses_total", "Sessions whose row was read");
        describe_gauge!("handstamp_session_cache_entries", "Sessions in the cache");
        describe_gauge!(
            "handstamp_lease_age_seconds",
            "Since the last renewal was sent; beyond session.lease nothing is believed"
        );
        describe_gauge!("handstamp_change_position", "Up to where this node has followed the log of changes");
        describe_histogram!(
            "handstamp_revocation_wait_seconds",
            "From the commit of a change until it is in force everywhere"
        );
        Self {
            hits: counter!("handstamp_session_cache_hits_total"),
            misses: counter!("handstamp_session_cache_misses_total"),
            waits: histogram!("handstamp_revocation_wait_seconds"),
            entries: gauge!("handstamp_session_cache_entries"),
            lease_age: gauge!("handstamp_lease_age_seconds"),
            position: gauge!("handstamp_change_position"),
        }
    }

    pub(super) fn measure(&self, standing: Standing) {
        if let Standing::Member { lease_age, position, entries, .. } = standing {
            self.entries.set(entries as f64);
            self.lease_age.set(lease_age.as_secs_f64());
            self.position.set(position.0 as f64);
        } else {
            self.entries.set(0.0);
            self.lease_age.set(f64::INFINITY);
        }
    }
}
