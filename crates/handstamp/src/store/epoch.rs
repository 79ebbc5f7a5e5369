//! The epoch of the database: what browsers and mails carry from an earlier one is void.

use std::time::Duration;

use handstamp_core::Timestamp;

use super::statement::{Pool, Sql, lease, request};
use super::{Committed, InvalidationScope, Position, Result, Store};
use crate::model::NewEvent;

/// The bits of a position that count within an epoch.
const BITS: u32 = 32;
/// The longest time of the transaction that begins an epoch, since it deletes the sessions of all users.
const TIME_LIMIT: Duration = Duration::from_secs(60);

impl Position {
    /// The number of the epoch: 0 in the first.
    pub(crate) fn epoch(self) -> u64 {
        u64::try_from(self.0 >> BITS).unwrap_or(0)
    }

    /// The first position of the next epoch.
    pub(crate) fn of_next_epoch(self) -> Self {
        Self(((self.0 >> BITS) + 1) << BITS)
    }
}

/// The identity of a database, and how far its log has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseState {
    /// When its first migration ran. Copies and dumps have the same, also those that are older than epochs.
    pub(crate) created: String,
    /// The newest position of the invalidation log.
    pub(crate) position: Position,
}

/// When a new epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpochStart {
    /// In any case, beyond the epoch of this position.
    Beyond(Position),
    /// Only if the newest position is before this one: of many nodes that notice it, one begins the epoch.
    IfBefore(Position),
}

impl Store {
    /// The identity of the database, and how far its log has come.
    pub(crate) async fn state(&self) -> Result<DatabaseState> {
        let sql = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => {
                "SELECT CAST(installed_on AS TEXT), (SELECT position FROM change_counter WHERE id = 1)
                 FROM handstamp_migrations WHERE version = 1"
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {
                "SELECT CAST(CAST(EXTRACT(EPOCH FROM installed_on) * 1000000 AS BIGINT) AS TEXT),
                    (SELECT position FROM change_counter WHERE id = 1)
                 FROM handstamp_migrations WHERE version = 1"
            }
        };
        let (created, position): (String, i64) = self.fetch_one(Pool::Lease, lease(sql), &[]).await?;
        Ok(DatabaseState { created, position: Position(position) })
    }

    /// Deletes the rows of all nodes, in a database that none of them uses: an act would wait for their leases.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn forget_nodes(&self) -> Result<()> {
        self.execute(Pool::Lease, lease("DELETE FROM nodes"), &[]).await.map(drop)
    }

    /// Begins a new epoch in one transaction. It deletes all sessions and all one-time tokens, and ends the sessions of the former system
    /// for all users. It notes the time, before which no device cookie and no ceremony counts. The log goes on at the first position of the
    /// epoch. So every node that follows it finds a gap, and starts again with an empty cache. Returns how many sessions have ended, or
    /// none if no epoch has begun.
    pub(crate) async fn begin_epoch(
        &self,
        start: EpochStart,
        began_at: Timestamp,
        event: impl Fn(u64, u64) -> NewEvent + Send,
    ) -> Result<Committed<Option<u64>>> {
        const NEWEST: Sql = request("SELECT position FROM change_counter WHERE id = 1");
        const SKIP_TO: Sql =
            request("UPDATE change_counter SET position = $1, epoch_began_at = $2 WHERE id = 1 AND position < $1");
        const APPEND: Sql = request("INSERT INTO changes (position, kind, subject) VALUES ($1, $2, $3)");
        let mut tx = self.begin_within(TIME_LIMIT).await?;
        tx.lock_sessions_and_tokens().await?;
        let (newest,): (i64,) = tx.fetch_one(NEWEST, &[]).await?;
        let newest = Position(newest);
        let first = match start {
            EpochStart::IfBefore(seen) if newest >= seen => return tx.rollback_with(None).await,
            EpochStart::IfBefore(seen) | EpochStart::Beyond(seen) => newest.max(seen).of_next_epoch(),
        };
        tx.execute(request("DELETE FROM one_time_tokens"), &[]).await?;
        let sessions = tx.execute(request("DELETE FROM sessions"), &[]).await?;
        tx.end_all_legacy_sessions(began_at).await?;
        tx.write_event(event(first.epoch(), sessions)).await?;
        // Last of all, since other writers wait for the counter until the commit.
        tx.execute(SKIP_TO, &[first.0.into(), began_at.into()]).await?;
        let (kind, subject) = super::invalidations::columns(&InvalidationScope::All);
        tx.execute(APPEND, &[first.0.into(), kind.into(), subject.as_slice().into()]).await?;
        tx.commit().await?;
        Ok(Committed { value: Some(sessions), position: Some(first) })
    }
}
