//! What time it can be, by what this node knew before.
//!
//! What a clock says has expired is deleted for good. So a clock that jumps ahead, such as that of a database that moved to
//! another machine, deletes nothing until it is right again.

use std::sync::Mutex;
use std::time::Duration;

use handstamp_core::Timestamp;

use crate::log;
use crate::world::Moment;

/// How far ahead of what was expected a clock may be.
const TOLERANCE: Duration = Duration::from_secs(86_400);

pub(super) struct ExpectedTime(Mutex<Known>);

struct Known {
    /// A time that was believed, and the uptime at that moment.
    time: Timestamp,
    uptime: Duration,
    is_doubted: bool,
}

impl ExpectedTime {
    /// At first the clock on the wall is believed.
    pub(super) fn new(now: Moment) -> Self {
        Self(Mutex::new(Known { time: now.timestamp(), uptime: now.uptime, is_doubted: false }))
    }

    /// The time that a clock shows, unless it has jumped ahead. The log says when it has, and when it is right again.
    pub(super) fn believe(&self, shown: Timestamp, uptime: Duration) -> Option<Timestamp> {
        let mut known = self.0.lock().expect("nothing panics while it holds the time");
        let expected = known.time.after(uptime.saturating_sub(known.uptime));
        let was_doubted = known.is_doubted;
        known.is_doubted = shown > expected.after(TOLERANCE);
        // A clock that is far behind deletes less than it might. It is no reason to doubt it when it is right again.
        if !known.is_doubted && shown.after(TOLERANCE) >= expected {
            (known.time, known.uptime) = (shown, uptime);
        }
        let is_doubted = known.is_doubted;
        drop(known);
        match (was_doubted, is_doubted) {
            (false, true) => log::warn!(
                event = "purge_paused",
                seconds = shown.since(expected).as_secs(),
                "the clock is ahead by so much of what it showed before: nothing that it says has expired is deleted until it \
                 is right again, or this node starts again with both clocks the same"
            ),
            (true, false) => log::info!(event = "purge_resumed", "the clock shows what was expected"),
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
        ExpectedTime::new(Moment { wall: Duration::from_secs(wall), uptime: Duration::ZERO })
    }

    fn is_believed(expected: &ExpectedTime, shown: u64, uptime: u64) -> bool {
        expected.believe(Timestamp::from_unix_seconds(shown), Duration::from_secs(uptime)).is_some()
    }

    #[test]
    fn a_clock_that_runs_is_believed_and_one_that_jumps_ahead_is_not() {
        let expected = started_at(100 * DAY);
        assert!(is_believed(&expected, 100 * DAY + HOUR, HOUR));
        assert!(is_believed(&expected, 140 * DAY, 40 * DAY));
        assert!(!is_believed(&expected, 172 * DAY, 41 * DAY));
        assert!(!is_believed(&expected, 173 * DAY, 42 * DAY), "it has not become right by being asked");
        assert!(is_believed(&expected, 143 * DAY, 43 * DAY));
    }

    #[test]
    fn a_day_is_not_held_against_it() {
        let expected = started_at(100 * DAY);
        assert!(is_believed(&expected, 101 * DAY, 0) && !is_believed(&expected, 102 * DAY + 1, 0));
    }

    #[test]
    fn one_that_was_set_back_is_believed_and_still_so_when_it_is_right_again() {
        let expected = started_at(100 * DAY);
        assert!(is_believed(&expected, 90 * DAY, HOUR) && is_believed(&expected, 100 * DAY, 2 * HOUR));
        assert!(!is_believed(&expected, 102 * DAY, 3 * HOUR));
    }
}
