//! The table of failed sign-ins, which are counted per account and hour until a job makes events of them.

use handstamp_core::{Timestamp, UserId};
use uuid::Uuid;

use super::statement::{Pool, limit, maintenance, request};
use super::{Result, Store};
use crate::model::{FailedSignIns, NewEvent};

/// Seconds of an hour.
const HOUR: u64 = 3600;

fn hour_of(time: Timestamp) -> i64 {
    i64::try_from(time.unix_seconds() / HOUR).unwrap_or(i64::MAX)
}

/// The account under which failed sign-ins are counted. Those of addresses without an account are counted as well, so that both
/// cost the same statement.
fn counted_under(user: Option<UserId>) -> Uuid {
    user.map_or(Uuid::nil(), |user| user.as_uuid())
}

impl Store {
    /// Counts a failed sign-in at an account, or at an address without an account.
    pub(crate) async fn count_failed_sign_in(&self, user: Option<UserId>, now: Timestamp) -> Result<()> {
        const SQL: &str = "INSERT INTO failed_sign_ins (user_id, hour, count) VALUES ($1, $2, 1)
             ON CONFLICT (user_id, hour) DO UPDATE SET count = failed_sign_ins.count + 1";
        let mut tx = self.begin_attempts().await?;
        tx.execute(request(SQL), &[counted_under(user).into(), hour_of(now).into()]).await?;
        tx.commit().await
    }

    /// Up to `most` counts of other hours than the current one, ordered by account. An hour of the future is that of a clock that
    /// was wrong.
    pub(crate) async fn failed_sign_ins(&self, now: Timestamp, most: usize) -> Result<Vec<FailedSignIns>> {
        const SQL: &str = "SELECT user_id, hour FROM failed_sign_ins WHERE hour <> $1 ORDER BY user_id, hour LIMIT $2";
        let rows: Vec<(Uuid, i64)> =
            self.fetch_all(Pool::Read, maintenance(SQL), &[hour_of(now).into(), limit(most)]).await?;
        let counted = |(user, hour): (Uuid, i64)| FailedSignIns {
            user: (!user.is_nil()).then(|| UserId::from_uuid(user)),
            from: Timestamp::from_unix_seconds(u64::try_from(hour).unwrap_or(0).saturating_mul(HOUR)),
        };
        Ok(rows.into_iter().map(counted).collect())
    }

    /// Replaces counts by their events. The counts of an account that no longer exists are deleted.
    pub(crate) async fn write_failed_sign_ins(&self, counts: Vec<(FailedSignIns, NewEvent)>) -> Result<()> {
        const TAKE: &str = "DELETE FROM failed_sign_ins WHERE user_id = $1 AND hour = $2 RETURNING count";
        let mut tx = self.begin().await?;
        for (FailedSignIns { user, from }, event) in counts {
            let exists = match user {
                Some(user) => tx.lock_user(user).await?,
                None => true,
            };
            let args = [counted_under(user).into(), hour_of(from).into()];
            let taken: Option<(i64,)> = tx.fetch_optional(maintenance(TAKE), &args).await?;
            if let Some((count,)) = taken.filter(|_| exists) {
                tx.write_event(event.with(FailedSignIns::COUNT, count)).await?;
            }
        }
        tx.commit().await
    }
}
