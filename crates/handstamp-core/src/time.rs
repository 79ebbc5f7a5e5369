//! Points in time, in whole seconds.

use std::time::Duration;

/// A point in time, in whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time this many seconds after 1970-01-01T00:00:00Z.
    pub const fn from_unix_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub const fn unix_seconds(self) -> u64 {
        self.0
    }

    /// The time `duration` later, in whole seconds. Saturates at the end of the number range instead of wrapping.
    pub const fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }

    /// The time since `earlier`; zero if that is in the future, as after a clock was set back.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted_in_whole_seconds_and_never_wraps() {
        let (then, now) = (Timestamp::from_unix_seconds(1_000), Timestamp::from_unix_seconds(1_060));
        assert_eq!(then.after(Duration::from_millis(60_999)), now);
        assert_eq!(now.since(then), Duration::from_secs(60));
        assert_eq!(then.since(now), Duration::ZERO, "a clock was set back");
        assert_eq!(now.after(Duration::MAX).unix_seconds(), u64::MAX);
    }
}
