//! The table of hours: how many sign-ins, failed sign-ins and new accounts each had. Sealing counts each event once.

use std::collections::BTreeMap;

use handstamp_core::Timestamp;

use super::statement::{Pool, Sql, Tx, maintenance, request};
use super::{Result, Store};
use crate::model::{EventContent, EventCounts, FailedSignIns};

/// Seconds of an hour.
const HOUR: i64 = 3600;

/// The counts of the events of a batch, by hours since the Unix epoch.
#[derive(Default)]
pub(super) struct CountedHours(BTreeMap<i64, EventCounts>);

impl CountedHours {
    /// Counts an event. Failed sign-ins count for the hour that their event is about; only theirs needs the content.
    pub(super) fn count(&mut self, time: i64, name: &str, content: &str) {
        let counts = |sign_ins, refusals, registrations| EventCounts { sign_ins, refusals, registrations };
        let (time, counted) = match name {
            "authn_login_success" => (time, counts(1, 0, 0)),
            "user_created" => (time, counts(0, 0, 1)),
            "authn_login_fail" => {
                let content: EventContent = serde_json::from_str(content).unwrap_or_default();
                let failures = content.fields.get(FailedSignIns::COUNT).and_then(serde_json::Value::as_u64);
                let from = content.fields.get("from").and_then(|from| from.as_str()?.parse::<jiff::Timestamp>().ok());
                (from.map_or(time, jiff::Timestamp::as_second), counts(0, failures.unwrap_or(0), 0))
            }
            _ => return,
        };
        self.0.entry(time.div_euclid(HOUR)).or_default().add(counted);
    }
}

fn column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Tx<'_> {
    /// Adds the counts of events that this transaction seals.
    pub(super) async fn add_to_hours(&mut self, hours: CountedHours) -> Result<()> {
        const SQL: Sql = maintenance(
            "INSERT INTO event_hours (hour, sign_ins, refusals, registrations) VALUES ($1, $2, $3, $4)
             ON CONFLICT (hour) DO UPDATE SET sign_ins = event_hours.sign_ins + excluded.sign_ins,
                refusals = event_hours.refusals + excluded.refusals,
                registrations = event_hours.registrations + excluded.registrations",
        );
        for (hour, counts) in hours.0 {
            let EventCounts { sign_ins, refusals, registrations } = counts;
            let args = [hour.into(), column(sign_ins).into(), column(refusals).into(), column(registrations).into()];
            self.execute(SQL, &args).await?;
        }
        Ok(())
    }
}

impl Store {
    /// The counts of each hour that begins at `from` or later, and before `until`; hours without any are left out.
    pub(crate) async fn event_hours(&self, from: Timestamp, until: Timestamp) -> Result<Vec<(Timestamp, EventCounts)>> {
        const SQL: &str = "SELECT hour, sign_ins, refusals, registrations FROM event_hours
             WHERE hour >= $1 AND hour < $2 ORDER BY hour";
        let hour = |time: Timestamp| i64::try_from(time.unix_seconds().div_ceil(3600)).unwrap_or(i64::MAX);
        let rows: Vec<(i64, i64, i64, i64)> =
            self.fetch_all(Pool::Read, request(SQL), &[hour(from).into(), hour(until).into()]).await?;
        let number = |column: i64| u64::try_from(column).unwrap_or(0);
        let counts = |(hour, sign_ins, refusals, registrations): (i64, i64, i64, i64)| {
            let counts = EventCounts {
                sign_ins: number(sign_ins),
                refusals: number(refusals),
                registrations: number(registrations),
            };
            (Timestamp::from_unix_seconds(number(hour).saturating_mul(3600)), counts)
        };
        Ok(rows.into_iter().map(counts).collect())
    }
}
