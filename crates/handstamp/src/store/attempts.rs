//! The table of attempts: counting, refunding and purging what rate limits count.

use handstamp_core::{AttemptKey, Attempts, Limit, RetryAfter, Timestamp};

use super::{Store, count_with, for_maintenance, for_request, from_db_time, read_with, to_db_time};

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

/// Within a transaction of either database: locks the row of a key until the transaction ends, and returns its attempts.
macro_rules! hold {
    ($transaction:expr, $key:expr, $now:expr) => {
        attempts(
            sqlx::query_as(for_request(
                "INSERT INTO attempts (key, count, since, last_at, today, day_since) VALUES ($1, 0, $2, $2, 0, $2)
                 ON CONFLICT (key) DO UPDATE SET key = excluded.key
                 RETURNING count, since, last_at, today, day_since",
            ))
            .bind($key.as_bytes().as_slice())
            .bind(to_db_time($now))
            .fetch_one(&mut *$transaction)
            .await?,
        )
    };
}

/// Within a transaction of either database that holds the key: stores its attempts.
macro_rules! put {
    ($transaction:expr, $key:expr, $attempts:expr) => {{
        let attempts: Attempts = $attempts;
        sqlx::query(for_request(
            "UPDATE attempts SET count = $2, since = $3, last_at = $4, today = $5, day_since = $6 WHERE key = $1",
        ))
        .bind($key.as_bytes().as_slice())
        .bind(i64::from(attempts.count))
        .bind(to_db_time(attempts.since))
        .bind(to_db_time(attempts.last_at))
        .bind(i64::from(attempts.today))
        .bind(to_db_time(attempts.day_since))
        .execute(&mut *$transaction)
        .await?;
    }};
}

/// Within a transaction of either database: deletes the attempts of a key and returns how many rows that were.
macro_rules! forget {
    ($transaction:expr, $key:expr) => {
        sqlx::query(for_request("DELETE FROM attempts WHERE key = $1"))
            .bind($key.as_bytes().as_slice())
            .execute(&mut *$transaction)
            .await?
            .rows_affected()
    };
}

impl Store {
    /// Counts one attempt for each of these keys. If one of them has reached its limit, none is counted and the longest wait
    /// is returned.
    pub(crate) async fn count_attempt(
        &self,
        counted: &[AttemptLimit],
        now: Timestamp,
    ) -> sqlx::Result<Result<Vec<CountedAttempt>, Refused>> {
        // A throttled attempt writes nothing, so it need not wait for the write lock.
        if let Some(refused) = self.refusal_of(counted, now).await? {
            return Ok(Err(refused));
        }
        let counted = in_one_order(counted);
        count_with!(self, |transaction| {
            let (mut attempted, mut longest) = (Vec::new(), None);
            for (key, limit) in &counted {
                match limit.count(Some(hold!(transaction, key, now)), now) {
                    Ok(attempts) => {
                        put!(transaction, key, attempts);
                        attempted.push((*key, attempts));
                    }
                    Err(wait) => longest = longest.max(Some((wait, *key))),
                }
            }
            match longest {
                None => Ok(attempted),
                Some(refused) => return Ok(Err(refused)),
            }
        })
    }

    async fn refusal_of(&self, counted: &[AttemptLimit], now: Timestamp) -> sqlx::Result<Option<Refused>> {
        let mut longest = None;
        for (key, limit) in counted {
            let row: Option<AttemptsRow> = read_with!(self, |pool| {
                sqlx::query_as(for_request(COLUMNS_OF_ONE)).bind(key.as_bytes().as_slice()).fetch_optional(pool).await
            })?;
            longest = longest.max(limit.count(row.map(attempts), now).err().map(|wait| (wait, *key)));
        }
        Ok(longest)
    }

    /// Refunds an attempt whose password was correct.
    pub(crate) async fn refund_attempt(&self, attempted: &[CountedAttempt], now: Timestamp) -> sqlx::Result<()> {
        // The keys are in the order in which they were counted, that of `in_one_order`, so no deadlock is possible.
        count_with!(self, |transaction| {
            for (key, counted) in attempted {
                let attempts = hold!(transaction, key, now).refund(counted);
                if attempts.today == 0 {
                    forget!(transaction, key);
                } else {
                    put!(transaction, key, attempts);
                }
            }
        })
    }

    /// Deletes all attempts of a key and returns whether there were any.
    pub(crate) async fn forget_attempts(&self, key: AttemptKey) -> sqlx::Result<bool> {
        count_with!(self, |transaction| forget!(transaction, key) > 0)
    }

    /// Deletes up to `most` rows that no limit depends on any more and returns how many.
    pub(crate) async fn purge_attempts(&self, now: Timestamp, most: usize) -> sqlx::Result<u64> {
        const SQL: &str = "DELETE FROM attempts WHERE key IN (SELECT key FROM attempts WHERE last_at <= $1 LIMIT $2)";
        let until = to_db_time(now) - to_db_time(Timestamp::from_unix_seconds(Attempts::FORGOTTEN_AFTER.as_secs()));
        count_with!(self, |transaction| {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let purged = sqlx::query(for_maintenance(SQL)).bind(until).bind(most).execute(&mut *transaction).await?;
            purged.rows_affected()
        })
    }

    /// If there are more rows than `kept`, deletes up to `most` of those in excess and returns how many.
    ///
    /// Rows with the fewest attempts are deleted first. So to have `n` attempts on one account forgotten, an attacker has to
    /// make `n` attempts on each of `kept` others, and each of these costs a hash.
    pub(crate) async fn prune_attempts(&self, kept: u64, most: usize) -> sqlx::Result<u64> {
        const COUNT: &str = "SELECT COUNT(*) FROM attempts";
        const SQL: &str =
            "DELETE FROM attempts WHERE key IN (SELECT key FROM attempts ORDER BY today, last_at LIMIT $1)";
        let rows: i64 = read_with!(self, |pool| sqlx::query_scalar(for_maintenance(COUNT)).fetch_one(pool).await)?;
        let beyond = u64::try_from(rows).unwrap_or(0).saturating_sub(kept).min(most as u64);
        if beyond == 0 {
            return Ok(0);
        }
        count_with!(self, |transaction| {
            let beyond = i64::try_from(beyond).unwrap_or(i64::MAX);
            let pruned = sqlx::query(for_maintenance(SQL)).bind(beyond).execute(&mut *transaction).await?;
            pruned.rows_affected()
        })
    }
}

/// The keys in the one order in which all transactions lock them, so that no two wait for each other.
fn in_one_order(counted: &[AttemptLimit]) -> Vec<AttemptLimit> {
    let mut counted = counted.to_vec();
    counted.sort_by_key(|(key, _)| *key);
    counted
}
