//! The lease of a node: how long it may serve sessions from its cache.

use std::time::Duration;

use super::sync::{AtomicU64, Ordering};
use crate::environment::ClockReading;

/// The time until which a node may serve from its cache.
pub(super) struct Lease {
    /// The end by the wall clock and by the monotonic clock, in nanoseconds.
    wall_end: AtomicU64,
    monotonic_end: AtomicU64,
}

impl Lease {
    pub(super) fn ended() -> Self {
        Self { wall_end: AtomicU64::new(0), monotonic_end: AtomicU64::new(0) }
    }

    /// Whether the lease is valid.
    pub(super) fn holds(&self, now: ClockReading) -> bool {
        !self.remaining(now).is_zero()
    }

    /// How much longer the lease is valid, by the clock that has advanced further. Neither clock suffices alone: the monotonic
    /// clock stops while a whole virtual machine is suspended, and the wall clock can be set.
    pub(super) fn remaining(&self, now: ClockReading) -> Duration {
        let by_monotonic = self.monotonic_end.load(Ordering::SeqCst).saturating_sub(nanoseconds(now.monotonic));
        let by_wall = self.wall_end.load(Ordering::SeqCst).saturating_sub(nanoseconds(now.wall));
        Duration::from_nanos(by_monotonic.min(by_wall))
    }

    /// How long ago the last renewal was sent.
    pub(super) fn age(&self, now: ClockReading, lease: Duration) -> Duration {
        let sent = self.monotonic_end.load(Ordering::SeqCst).saturating_sub(nanoseconds(minus_drift(lease)));
        Duration::from_nanos(nanoseconds(now.monotonic).saturating_sub(sent))
    }

    /// Renews the lease: it lasts for `lease` from when the renewal was *sent*.
    pub(super) fn renew(&self, sent: ClockReading, lease: Duration) {
        let end = sent.after(minus_drift(lease));
        self.wall_end.store(nanoseconds(end.wall), Ordering::SeqCst);
        self.monotonic_end.fetch_max(nanoseconds(end.monotonic), Ordering::SeqCst);
    }
}

/// The duration for which a node uses a lease: one percent less, since the clocks of two machines may differ in their rate.
fn minus_drift(lease: Duration) -> Duration {
    lease - lease / 100
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
