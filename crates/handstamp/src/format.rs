//! Dates and durations as people and programs read them.

use std::time::Duration;

use handstamp_core::Timestamp;
use jiff::tz::TimeZone;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A date for people: `23 November 2026`. It is on the account page, and `strftime` takes four times the instructions.
pub(crate) fn format_date(time: Timestamp) -> String {
    let date = TimeZone::UTC.to_datetime(civil(time)).date();
    let (mut day, mut year) = (itoa::Buffer::new(), itoa::Buffer::new());
    let month = MONTHS[usize::from(date.month().unsigned_abs()) - 1];
    [day.format(date.day()), " ", month, " ", year.format(date.year())].concat()
}

/// A date and time for people: `23 November 2026, 14:05 UTC`.
pub(crate) fn format_datetime(time: Timestamp) -> String {
    format!("{}, {}", format_date(time), civil(time).strftime("%H:%M UTC"))
}

/// A date and time for programs (RFC 3339).
pub(crate) fn format_rfc3339(time: Timestamp) -> String {
    time.to_string()
}

/// How long ago something was, for people.
pub(crate) fn format_relative(time: Timestamp, now: Timestamp) -> String {
    let plural = |count: u64, unit: &str| format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
    match now.since(time).as_secs() {
        0..=89 => "just now".to_owned(),
        seconds @ 90..=5_399 => plural(seconds.div_ceil(60), "minute"),
        seconds @ 5_400..=129_599 => plural(seconds.div_ceil(3600), "hour"),
        _ => format_date(time),
    }
}

/// A duration for people, in the largest unit that leaves no remainder: `30 days`, `90 minutes`.
pub(crate) fn lasting(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds.is_multiple_of(*length)).unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn civil(time: Timestamp) -> jiff::Timestamp {
    let seconds = i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_relative_times_are_formatted_for_people() {
        let now = Timestamp::from_unix_seconds(1_800_000_000);
        let told = |seconds| format_relative(Timestamp::from_unix_seconds(now.unix_seconds() - seconds), now);
        assert_eq!(told(0), "just now");
        assert_eq!(told(89), "just now");
        assert_eq!(told(120), "2 minutes ago");
        assert_eq!(told(3600), "60 minutes ago");
        assert_eq!(told(7200), "2 hours ago");
        assert_eq!(told(200_000), "13 January 2027");
        assert_eq!(format_relative(now.after(Duration::from_secs(500)), now), "just now", "the clock was set back");
        assert_eq!(format_date(Timestamp::from_unix_seconds(0)), "1 January 1970");
        assert_eq!(format_datetime(now), "15 January 2027, 08:00 UTC");
        assert_eq!(format_rfc3339(now), "2027-01-15T08:00:00Z");
        assert!(!format_date(Timestamp::from_unix_seconds(u64::MAX)).is_empty(), "the largest time does not panic");
    }

    #[test]
    fn durations_are_formatted_in_the_largest_exact_unit() {
        let told = |seconds| lasting(Duration::from_secs(seconds));
        assert_eq!(told(30 * 86_400), "30 days");
        assert_eq!(told(86_400), "1 day");
        assert_eq!(told(36 * 3600), "36 hours");
        assert_eq!(told(3600), "1 hour");
        assert_eq!(told(90 * 60), "90 minutes");
        assert_eq!(told(61), "61 seconds");
        assert_eq!(told(0), "0 days");
    }
}
