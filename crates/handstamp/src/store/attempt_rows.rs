use handstamp_core::{AttemptKey, Attempts, Limit, Timestamp, Wait};

use super::{Store, count_with, for_request, for_upkeep, loaded, read_with, stored};

/// What counts together, and how much of it is allowed.
pub(crate) type Counted = (AttemptKey, Limit);

/// What was counted for an attempt, and with it how often.
pub(crate) type Attempted = (AttemptKey, Attempts);

/// How long to wait, and because of which count.
pub(crate) type Refused = (Wait, AttemptKey);

type AttemptsRow = (i64, i64, i64, i64, i64);

const COLUMNS_OF_ONE: &str = "SELECT count, since, last_at, today, day_since FROM attempts WHERE key = $1";

fn attempts((count, since, last_at, today, day_since): AttemptsRow) -> Attempts {
    // What is no number of ours is more than any limit.
    let number = |stored: i64| u32::try_from(stored).unwrap_or(u32::MAX);
    Attempts {
        count: number(count),
        since: loaded(since),
        last_at: loaded(last_at),
        today: number(today),
        day_since: loaded(day_since),
    }
}

/// Within a transaction of either database: the attempts of a key, which nobody else changes until the transaction ends.
macro_rules! hold {
    ($transaction:expr, $key:expr, $now:expr) => {
        attempts(
            sqlx::query_as(for_request(
                "INSERT INTO attempts (key, count, since, last_at, today, day_since) VALUES ($1, 0, $2, $2, 0, $2)
                 ON CONFLICT (key) DO UPDATE SET key = excluded.key
                 RETURNING count, since, last_at, today, day_since",
            ))
            .bind($key.as_bytes().as_slice())
            .bind(stored($now))
            .fetch_one(&mut *$transaction)
            .await?,
        )
    };
}

/// Within a transaction of either database that holds the key: what its attempts are from now on.
macro_rules! put {
    ($transaction:expr, $key:expr, $attempts:expr) => {{
        let attempts: Attempts = $attempts;
        sqlx::query(for_request(
            "UPDATE attempts SET count = $2, since = $3, last_at = $4, today = $5, day_since = $6 WHERE key = $1",
        ))
        .bind($key.as_bytes().as_slice())
        .bind(i64::from(attempts.count))
        .bind(stored(attempts.since))
        .bind(stored(attempts.last_at))
        .bind(i64::from(attempts.today))
        .bind(stored(attempts.day_since))
        .execute(&mut *$transaction)
        .await?;
    }};
}

/// Within a transaction of either database: as if there had been none. How many rows that took.
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
    /// Counts one attempt for each of these, or none where one of them has to wait: then the longest wait.
    pub(crate) async fn count_attempt(
        &self,
        counted: &[Counted],
        now: Timestamp,
    ) -> sqlx::Result<Result<Vec<Attempted>, Refused>> {
        // Whoever has to wait changes nothing, and need not queue up with those who write.
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

    async fn refusal_of(&self, counted: &[Counted], now: Timestamp) -> sqlx::Result<Option<Refused>> {
        let mut longest = None;
        for (key, limit) in counted {
            let row: Option<AttemptsRow> = read_with!(self, |pool| {
                sqlx::query_as(for_request(COLUMNS_OF_ONE)).bind(key.as_bytes().as_slice()).fetch_optional(pool).await
            })?;
            longest = longest.max(limit.count(row.map(attempts), now).err().map(|wait| (wait, *key)));
        }
        Ok(longest)
    }

    /// Takes an attempt back that turned out to be right.
    pub(crate) async fn take_attempt_back(&self, attempted: &[Attempted], now: Timestamp) -> sqlx::Result<()> {
        // They are in the order in which they were counted, which is the one order.
        count_with!(self, |transaction| {
            for (key, counted) in attempted {
                let attempts = hold!(transaction, key, now).take_back(counted);
                if attempts.today == 0 {
                    forget!(transaction, key);
                } else {
                    put!(transaction, key, attempts);
                }
            }
        })
    }

    /// Forgets all attempts of a key, and says whether there were any.
    pub(crate) async fn forget_attempts(&self, key: AttemptKey) -> sqlx::Result<bool> {
        count_with!(self, |transaction| forget!(transaction, key) > 0)
    }

    /// Removes so many rows that nothing depends on any more, or what there is, and says how many those were.
    pub(crate) async fn purge_attempts(&self, now: Timestamp, most: usize) -> sqlx::Result<u64> {
        const SQL: &str = "DELETE FROM attempts WHERE key IN (SELECT key FROM attempts WHERE last_at <= $1 LIMIT $2)";
        let until = stored(now) - stored(Timestamp::from_unix_seconds(Attempts::FORGOTTEN_AFTER.as_secs()));
        count_with!(self, |transaction| {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let purged = sqlx::query(for_upkeep(SQL)).bind(until).bind(most).execute(&mut *transaction).await?;
            purged.rows_affected()
        })
    }

    /// Where there are more rows than `kept`, removes so many of those beyond, or what there is, and says how many those
    /// were.
    ///
    /// Those with the fewest attempts go first. So to have `n` attempts at one account forgotten, somebody has to make
    /// `n` at each of `kept` others, and each of these takes a hash.
    pub(crate) async fn prune_attempts(&self, kept: u64, most: usize) -> sqlx::Result<u64> {
        const COUNT: &str = "SELECT COUNT(*) FROM attempts";
        const SQL: &str =
            "DELETE FROM attempts WHERE key IN (SELECT key FROM attempts ORDER BY today, last_at LIMIT $1)";
        let rows: i64 = read_with!(self, |pool| sqlx::query_scalar(for_upkeep(COUNT)).fetch_one(pool).await)?;
        let beyond = u64::try_from(rows).unwrap_or(0).saturating_sub(kept).min(most as u64);
        if beyond == 0 {
            return Ok(0);
        }
        count_with!(self, |transaction| {
            let beyond = i64::try_from(beyond).unwrap_or(i64::MAX);
            let pruned = sqlx::query(for_upkeep(SQL)).bind(beyond).execute(&mut *transaction).await?;
            pruned.rows_affected()
        })
    }
}

/// Whoever holds several keys takes them in one order, so that no two wait for one another.
fn in_one_order(counted: &[Counted]) -> Vec<Counted> {
    let mut counted = counted.to_vec();
    counted.sort_by_key(|(key, _)| *key);
    counted
}
