//! Points in time, in whole seconds.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    /// The time `duration` earlier, in whole seconds. Saturates at 1970 instead of wrapping.
    pub const fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// The time since `earlier`; zero if that is in the future, as after a clock was set back.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// In the format of RFC 3339: `2027-01-15T08:00:00Z`. A time after the year 9999 is shown as the end of that year.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).fmt(f)
    }
}

/// As the text that `Display` gives.
#[cfg(feature = "serde")]
impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A time that the operating system cannot represent becomes the latest one of this crate's format, the end of the year 9999.
impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        const END_OF_9999: Duration = Duration::from_secs(253_402_300_799);
        UNIX_EPOCH.checked_add(Duration::from_secs(time.0)).unwrap_or(UNIX_EPOCH + END_OF_9999)
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

    #[test]
    fn a_time_is_shown_as_rfc_3339_and_becomes_a_system_time() {
        let time = Timestamp::from_unix_seconds(1_800_000_000);
        assert_eq!(time.to_string(), "2027-01-15T08:00:00Z");
        assert_eq!(SystemTime::from(time), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
        let last = Timestamp::from_unix_seconds(u64::MAX);
        assert!(last.to_string().starts_with("9999-12-30T"), "{last}");
        assert!(SystemTime::from(last) > SystemTime::from(time));
    }
}
