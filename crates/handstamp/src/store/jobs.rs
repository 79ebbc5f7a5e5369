//! The table of the jobs that one node runs for all.

use std::time::Duration;

use handstamp_core::Timestamp;

use super::statement::{Pool, maintenance};
use super::{Result, Store, from_db_time};

/// The answer to a claim of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    /// It was due, and this node has claimed it.
    Claimed,
    /// It is not due before this time, or another node has claimed it until then.
    Waiting { due_at: Timestamp, succeeded_at: Timestamp },
}

impl Store {
    /// Claims a job until `until` if it is due at `now`. A due time further ahead than `longest` was set by a clock that was wrong
    /// and does not count.
    pub(crate) async fn claim_job(
        &self,
        name: &'static str,
        now: Timestamp,
        longest: Duration,
        until: Timestamp,
    ) -> Result<JobState> {
        const READ: &str = "SELECT due_at, succeeded_at FROM jobs WHERE name = $1";
        const CLAIM: &str = "INSERT INTO jobs (name, due_at, succeeded_at) VALUES ($1, $2, 0)
             ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at WHERE jobs.due_at <= $3 OR jobs.due_at > $4
             RETURNING due_at";
        let latest = now.after(longest);
        loop {
            let row: Option<(i64, i64)> = self.fetch_optional(Pool::Read, maintenance(READ), &[name.into()]).await?;
            if let Some((due_at, succeeded_at)) = row.map(|(due, done)| (from_db_time(due), from_db_time(done)))
                && due_at > now
                && due_at <= latest
            {
                return Ok(JobState::Waiting { due_at, succeeded_at });
            }
            let mut tx = self.begin().await?;
            let args = [name.into(), until.into(), now.into(), latest.into()];
            let claimed: Option<(i64,)> = tx.fetch_optional(maintenance(CLAIM), &args).await?;
            tx.commit().await?;
            if claimed.is_some() {
                return Ok(JobState::Claimed);
            }
        }
    }

    /// Records that a job has succeeded, and when it is due again.
    pub(crate) async fn finish_job(&self, name: &'static str, now: Timestamp, due_at: Timestamp) -> Result<()> {
        const SQL: &str = "UPDATE jobs SET succeeded_at = $2, due_at = $3 WHERE name = $1";
        let mut tx = self.begin().await?;
        tx.execute(maintenance(SQL), &[name.into(), now.into(), due_at.into()]).await?;
        tx.commit().await
    }

    /// Gives up the claim of a job, which is due at once for another node.
    pub(crate) async fn release_job(&self, name: &'static str, now: Timestamp) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.execute(maintenance("UPDATE jobs SET due_at = $2 WHERE name = $1"), &[name.into(), now.into()]).await?;
        tx.commit().await
    }
}
