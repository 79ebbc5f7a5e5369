//! Whether two clocks agree.

use super::Outcome::{self, Fail, Pass, Warn};

/// Codes of authenticator apps are valid for half a minute before and after, and assertions too.
const FAR_MILLISECONDS: u64 = 30_000;
/// More than a slow answer explains, and than the seconds of a header.
const NEAR_MILLISECONDS: u64 = 3_000;

/// The outcome for a clock that is so many milliseconds ahead of that of this machine.
pub(super) fn agreement(ahead: i64, of: &str) -> Outcome {
    let apart = ahead.unsigned_abs();
    let way = if ahead < 0 { "behind" } else { "ahead of" };
    let why = format!(
        "The clock of {of} is {} s {way} that of this machine. Let both follow a time server, as systemd-timesyncd and chrony do.",
        apart / 1000
    );
    match apart {
        FAR_MILLISECONDS.. => Fail(why),
        NEAR_MILLISECONDS..FAR_MILLISECONDS => Warn(why),
        _ => Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_be_a_little_apart() {
        for ahead in [0, 2_999, -2_999] {
            assert!(matches!(agreement(ahead, "it"), Pass), "{ahead}");
        }
        assert!(matches!(agreement(3_000, "it"), Warn(why) if why.contains("3 s ahead of")));
        assert!(matches!(agreement(-30_000, "it"), Fail(why) if why.contains("30 s behind")));
    }
}
