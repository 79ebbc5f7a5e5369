//! The table of attempts: counting, refunding and purging what rate limits count.

use handstamp_core::{AttemptKey, Attempts, Limit, RetryAfter, Timestamp, UserId};

use super::statement::{Pool, Sql, Tx, limit, maintenance, request};
use super::{Result, Store, from_db_time, to_db_time};
use crate::model::NewEvent;

/// The key under which an attempt is counted, and the limit of that key.
pub(crate) type AttemptLimit = (AttemptKey, Limit);

/// A key under which an attempt was counted, and its counts including that attempt.
pub(crate) type CountedAttempt = (AttemptKey, Attempts);

/// How long to wait, and the key whose limit requires it.
pub(crate) type Refused = (RetryAfter, AttemptKey);

type AttemptsRow = (i64, i64, i64, i64, i64);

const COLUMNS_OF_ONE: &str = "SELECT count, since, last_at, today, day_since FROM attempts WHERE key = $1";

fn attempts((count, since, last_at, today, day_since): AttemptsRow) -> Attempts {
    // A value that this code cannot have written counts as more than any limit.
    let number = |stored: i64| u32::try_from(stored).unwrap_or(u32::MAX);
    Attempts {
        count: number(count),
        since: from_db_time(since),
        last_at: from_db_time(last_at),
        today: number(today),
        day_since: from_db_time(day_since),
    }
}

impl Tx<'_> {
    /// Locks the row of a key until the transaction ends, and returns its attempts.
    async fn lock_attempts(&mut self, key: &AttemptKey, now: Timestamp) -> Result<Attempts> {
        const LOCK: Sql = request(
            "INSERT INTO attempts (key, count, since, last_at, today, day_since) VALUES ($1, 0, $2, $2, 0, $2)
             ON CONFLICT (key) DO UPDATE SET key = excluded.key
             RETURNING count, since, last_at, today, day_since",
        );
        Ok(attempts(self.fetch_one(LOCK, &[key.into(), now.into()]).await?))
    }

    /// Stores the attempts of a key that the transaction has locked.
    async fn store_attempts(&mut self, key: &AttemptKey, attempts: Attempts) -> Result<()> {
        const UPDATE: Sql = request(
            "UPDATE attempts SET count = $2, since = $3, last_at = $4, today = $5, day_since = $6 WHERE key = $1",
        );
        let columns = [
            key.into(),
            i64::from(attempts.count).into(),
            attempts.since.into(),
            attempts.last_at.into(),
            i64::from(attempts.today).into(),
            attempts.day_since.into(),
        ];
        self.execute(UPDATE, &columns).await.map(drop)
    }

    /// Deletes the attempts of a key and returns how many rows that were.
    pub(super) async fn delete_attempts(&mut self, key: &AttemptKey) -> Result<u64> {
        self.execute(request("DELETE FROM attempts WHERE key = $1"), &[key.into()]).await
    }
}

impl Store {
    /// Counts one attempt for each of these keys. If one of them has reached its limit, none is counted and the longest wait
    /// is returned.
    pub(crate) async fn count_attempt(
        &self,
        counted: &[AttemptLimit],
        now: Timestamp,
    ) -> Result<Result<Vec<CountedAttempt>, Refused>> {
        // A throttled attempt writes nothing, so it need not wait for the write lock.
        if let Some(refused) = self.refusal_of(counted, now).await? {
            return Ok(Err(refused));
        }
        let counted = in_one_order(counted);
        let mut tx = self.begin_attempts().await?;
        let (mut attempted, mut longest) = (Vec::new(), None);
        for (key, limit) in &counted {
            match limit.count(Some(tx.lock_attempts(key, now).await?), now) {
                Ok(attempts) => {
                    tx.store_attempts(key, attempts).await?;
                    attempted.push((*key, attempts));
                }
                Err(wait) => longest = longest.max(Some((wait, *key))),
            }
        }
        match longest {
            None => tx.commit().await.map(|()| Ok(attempted)),
            Some(refused) => tx.rollback().await.map(|()| Err(refused)),
        }
    }

    async fn refusal_of(&self, counted: &[AttemptLimit], now: Timestamp) -> Result<Option<Refused>> {
        let mut longest = None;
        for (key, limit) in counted {
            let row: Option<AttemptsRow> =
                self.fetch_optional(Pool::Read, request(COLUMNS_OF_ONE), &[key.into()]).await?;
            longest = longest.max(limit.count(row.map(attempts), now).err().map(|wait| (wait, *key)));
        }
        Ok(longest)
    }

    /// Refunds an attempt whose password was correct.
    pub(crate) async fn refund_attempt(&self, attempted: &[CountedAttempt], now: Timestamp) -> Result<()> {
        // The keys are in the order in which they were counted, that of `in_one_order`, so no deadlock is possible.
        let mut tx = self.begin_attempts().await?;
        for (key, counted) in attempted {
            let attempts = tx.lock_attempts(key, now).await?.refund(counted);
            if attempts.today == 0 {
                tx.delete_attempts(key).await?;
            } else {
                tx.store_attempts(key, attempts).await?;
            }
        }
        tx.commit().await
    }

    /// Deletes all attempts of these keys of a user and returns whether there were any.
    pub(crate) async fn unlock(&self, user: UserId, keys: &[AttemptKey], event: NewEvent) -> Result<bool> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        let mut tx = self.begin().await?;
        let exists = tx.lock_user(user).await?;
        let mut deleted = 0;
        for key in &keys {
            deleted += tx.delete_attempts(key).await?;
        }
        if deleted > 0 && exists {
            tx.write_event(event).await?;
        }
        tx.commit().await?;
        Ok(deleted > 0)
    }

    /// Deletes up to `most` rows that no limit depends on any more and returns how many.
    pub(crate) async fn purge_attempts(&self, now: Timestamp, most: usize) -> Result<u64> {
        const SQL: &str = "DELETE FROM attempts WHERE key IN (SELECT key FROM attempts WHERE last_at <= $1 LIMIT $2)";
        let until = to_db_time(now) - to_db_time(Timestamp::from_unix_seconds(Attempts::FORGOTTEN_AFTER.as_secs()));
        let mut tx = self.begin_attempts().await?;
        let purged = tx.execute(maintenance(SQL), &[until.into(), limit(most)]).await?;
        tx.commit().await?;
        Ok(purged)
    }

    /// If there are more rows than `kept`, deletes up to `most` of those in excess and returns how many.
    ///
    /// Rows with the fewest attempts are deleted first. So to have `n` attempts on one account forgotten, an attacker has to
    /// make `n` attempts on each of `kept` others, and each of these costs a hash.
    pub(crate) async fn prune_attempts(&self, kept: u64, most: usize) -> Result<u64> {
        const COUNT: &str = "SELECT COUNT(*) FROM attempts";
        const SQL: &str =
            "DELETE FROM attempts WHERE key IN (SELECT key FROM attempts ORDER BY today, last_at LIMIT $1)";
        let (rows,): (i64,) = self.fetch_one(Pool::Read, maintenance(COUNT), &[]).await?;
        let beyond = u64::try_from(rows).unwrap_or(0).saturating_sub(kept).min(most as u64);
        if beyond == 0 {
            return Ok(0);
        }
        let mut tx = self.begin_attempts().await?;
        let beyond = i64::try_from(beyond).unwrap_or(i64::MAX);
        let pruned = tx.execute(maintenance(SQL), &[beyond.into()]).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

/// The keys in the one order in which all transactions lock them, so that no two wait for each other.
fn in_one_order(counted: &[AttemptLimit]) -> Vec<AttemptLimit> {
    let mut counted = counted.to_vec();
    counted.sort_by_key(|(key, _)| *key);
    counted
}
