use std::time::Duration;

use super::sync::{AtomicU64, Ordering};
use crate::world::Moment;

/// Until when a node may believe its cache.
pub(super) struct Lease {
    /// In nanoseconds, by each of the two clocks.
    wall_end: AtomicU64,
    uptime_end: AtomicU64,
}

impl Lease {
    pub(super) fn ended() -> Self {
        Self { wall_end: AtomicU64::new(0), uptime_end: AtomicU64::new(0) }
    }

    /// Whether it holds.
    pub(super) fn holds(&self, now: Moment) -> bool {
        !self.left(now).is_zero()
    }

    /// How much longer it holds. The clock that shows more time passed is the one to believe: the one that nobody sets stands
    /// still with a machine that was suspended as a whole, and the one on the wall is set.
    pub(super) fn left(&self, now: Moment) -> Duration {
        let by_uptime = self.uptime_end.load(Ordering::SeqCst).saturating_sub(nanoseconds(now.uptime));
        let by_wall = self.wall_end.load(Ordering::SeqCst).saturating_sub(nanoseconds(now.wall));
        Duration::from_nanos(by_uptime.min(by_wall))
    }

    /// How long ago its last renewal was sent.
    pub(super) fn age(&self, now: Moment, lease: Duration) -> Duration {
        let sent = self.uptime_end.load(Ordering::SeqCst).saturating_sub(nanoseconds(believed(lease)));
        Duration::from_nanos(nanoseconds(now.uptime).saturating_sub(sent))
    }

    /// It lasts for `lease` from when its renewal was *sent*.
    pub(super) fn renewed(&self, sent: Moment, lease: Duration) {
        let end = sent.after(believed(lease));
        self.wall_end.store(nanoseconds(end.wall), Ordering::SeqCst);
        self.uptime_end.fetch_max(nanoseconds(end.uptime), Ordering::SeqCst);
    }
}

/// What a node counts of a lease: one part in a hundred less, since the clocks of two machines may differ in their rate.
fn believed(lease: Duration) -> Duration {
    lease - lease / 100
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
