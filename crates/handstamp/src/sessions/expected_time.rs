//! Detects a clock that has jumped ahead, by comparing it with the time that this node expects.
//!
//! Rows that have expired by a clock are deleted for good. So a clock that jumps ahead, such as that of a database that
//! moved to another machine, must not delete anything until it is right again.

use std::sync::Mutex;
use std::time::Duration;

use handstamp_core::Timestamp;

use crate::environment::ClockReading;
use crate::events::Event;

/// How far ahead of the expected time a clock may be.
const TOLERANCE: Duration = Duration::from_secs(86_400);

pub(super) struct ExpectedTime(Mutex<Known>);

struct Known {
    /// The last time that was trusted, and the uptime at that moment.
    time: Timestamp,
    monotonic: Duration,
    is_doubted: bool,
}

impl ExpectedTime {
    /// At the start the wall clock is trusted.
    pub(super) fn new(now: ClockReading) -> Self {
        Self(Mutex::new(Known { time: now.timestamp(), monotonic: now.monotonic, is_doubted: false }))
    }

    /// Returns the time that a clock shows, unless it has jumped ahead. Logs when it has, and when it is right again.
    pub(super) fn believe(&self, shown: Timestamp, monotonic: Duration) -> Option<Timestamp> {
        let mut known = self.0.lock().expect("nothing panics while it holds the time");
        let expected = known.time.after(monotonic.saturating_sub(known.monotonic));
        let was_doubted = known.is_doubted;
        known.is_doubted = shown > expected.after(TOLERANCE);
        // A clock that is far behind only delays deletions. It must not lower the expectation, or the clock would be distrusted
        // when it is right again.
        if !known.is_doubted && shown.after(TOLERANCE) >= expected {
            (known.time, known.monotonic) = (shown, monotonic);
        }
        let is_doubted = known.is_doubted;
        drop(known);
        match (was_doubted, is_doubted) {
            (false, true) => Event::PurgePaused { seconds: shown.since(expected).as_secs() }.record(),
            (true, false) => Event::PurgeResumed {}.record(),
            _ => {}
        }
        (!is_doubted).then_some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    fn started_at(wall: u64) -> ExpectedTime {
        ExpectedTime::new(ClockReading { wall: Duration::from_secs(wall), monotonic: Duration::ZERO })
    }

    fn is_believed(expected: &ExpectedTime, shown: u64, monotonic: u64) -> bool {
        expected.believe(Timestamp::from_unix_seconds(shown), Duration::from_secs(monotonic)).is_some()
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_distrusted_until_it_is_right_again() {
        let expected = started_at(100 * DAY);
        assert!(is_believed(&expected, 100 * DAY + HOUR, HOUR));
        assert!(is_believed(&expected, 140 * DAY, 40 * DAY));
        assert!(!is_believed(&expected, 172 * DAY, 41 * DAY));
        assert!(!is_believed(&expected, 173 * DAY, 42 * DAY), "asking again does not make it right");
        assert!(is_believed(&expected, 143 * DAY, 43 * DAY));
    }

    #[test]
    fn a_clock_one_day_ahead_is_still_trusted() {
        let expected = started_at(100 * DAY);
        assert!(is_believed(&expected, 101 * DAY, 0) && !is_believed(&expected, 102 * DAY + 1, 0));
    }

    #[test]
    fn a_clock_that_was_set_back_is_trusted_and_so_is_its_correction() {
        let expected = started_at(100 * DAY);
        assert!(is_believed(&expected, 90 * DAY, HOUR) && is_believed(&expected, 100 * DAY, 2 * HOUR));
        assert!(!is_believed(&expected, 102 * DAY, 3 * HOUR));
    }
}
