//! The tables of the invalidation log and of the nodes.

use std::time::Duration;

use handstamp_core::{SessionSecretHash, Timestamp, UserId};
use uuid::Uuid;

use super::protocol::{Invalidation, InvalidationLog, InvalidationScope, MAX_INVALIDATIONS, NodeId, NodeRow, Position};
use super::{Store, for_lease, keep_with, to_db_time};

/// Within a transaction of either database: appends these invalidations to the log and returns the position of the last, or
/// none. It must come last in the transaction, since other writers wait from here until the commit.
macro_rules! log_invalidations {
    ($transaction:expr, $scopes:expr) => {{
        let scopes: &[$crate::store::protocol::InvalidationScope] = $scopes;
        match i64::try_from(scopes.len()).expect("a transaction logs hundreds of invalidations at most") {
            0 => None,
            count => {
                let newest: i64 = sqlx::query_scalar($crate::store::for_request(
                    "UPDATE change_counter SET position = position + $1 RETURNING position",
                ))
                .bind(count)
                .fetch_one(&mut *$transaction)
                .await?;
                for (scope, position) in scopes.iter().zip(newest - count + 1..) {
                    let (kind, bytes) = $crate::store::invalidations::columns(scope);
                    sqlx::query($crate::store::for_request(
                        "INSERT INTO changes (position, kind, subject) VALUES ($1, $2, $3)",
                    ))
                    .bind(position)
                    .bind(kind)
                    .bind(bytes)
                    .execute(&mut *$transaction)
                    .await?;
                }
                Some($crate::store::protocol::Position(newest))
            }
        }
    }};
}

pub(super) use log_invalidations;

/// The stored form of a subject.
pub(super) fn columns(scope: &InvalidationScope) -> (&'static str, Vec<u8>) {
    match scope {
        InvalidationScope::Session(secret_hash) => ("session", secret_hash.as_bytes().to_vec()),
        InvalidationScope::User(id) => ("user", id.as_uuid().as_bytes().to_vec()),
        InvalidationScope::Expired(until) => ("expired", to_db_time(*until).to_be_bytes().to_vec()),
        InvalidationScope::All => ("everybody", Vec::new()),
    }
}

fn invalidation((position, kind, scope): (i64, String, Vec<u8>)) -> Invalidation {
    let scope = match kind.as_str() {
        "session" => scope.try_into().ok().map(|hash| InvalidationScope::Session(SessionSecretHash::from_bytes(hash))),
        "user" => Uuid::from_slice(&scope).ok().map(|id| InvalidationScope::User(UserId::from_uuid(id))),
        "expired" => scope
            .try_into()
            .ok()
            .map(|until| InvalidationScope::Expired(Timestamp::from_unix_seconds(u64::from_be_bytes(until)))),
        _ => None,
    };
    // A newer version may log other kinds. A node that does not know the kind invalidates its whole cache.
    Invalidation { position: Position(position), scope: scope.unwrap_or(InvalidationScope::All) }
}

/// The newest position, and the columns of a node if there is one.
type NodeColumns = (i64, Option<Uuid>, Option<i64>, Option<i64>, Option<i64>);

fn node((_, id, position, renewals, lease): NodeColumns) -> Option<NodeRow> {
    let lease = Duration::from_millis(lease?.try_into().unwrap_or(0));
    Some(NodeRow { id: NodeId(id?), position: Position(position?), renewals: renewals?, lease })
}

/// The row of a statement that writes one at most. All rows are fetched all the same: SQLite reports a failed commit of
/// `… RETURNING` only when the statement is stepped to its end.
fn only(mut rows: Vec<i64>) -> Option<i64> {
    rows.pop()
}

impl InvalidationLog for Store {
    type Error = sqlx::Error;

    async fn join(&self, node: NodeId, lease: Duration) -> sqlx::Result<Position> {
        const SQL: &str = "INSERT INTO nodes (id, position, renewals, lease)
             SELECT $1, position, 0, $2 FROM change_counter WHERE id = 1 RETURNING position";
        let lease = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let rows = keep_with!(self, |pool| {
            sqlx::query_scalar(for_lease(SQL)).bind(node.0).bind(lease).fetch_all(pool).await
        })?;
        only(rows).map(Position).ok_or(sqlx::Error::RowNotFound)
    }

    async fn renew(&self, node: NodeId, position: Position) -> sqlx::Result<Option<Position>> {
        // The reported position never decreases, since an older renewal may be run after a newer one.
        const SQL: &str = "UPDATE nodes SET renewals = renewals + 1,
                position = CASE WHEN position < $2 THEN $2 ELSE position END
             WHERE id = $1 RETURNING (SELECT position FROM change_counter WHERE id = 1)";
        let rows = keep_with!(self, |pool| {
            sqlx::query_scalar(for_lease(SQL)).bind(node.0).bind(position.0).fetch_all(pool).await
        })?;
        Ok(only(rows).map(Position))
    }

    async fn leave(&self, node: NodeId) -> sqlx::Result<()> {
        const SQL: &str = "DELETE FROM nodes WHERE id = $1";
        keep_with!(self, |pool| sqlx::query(for_lease(SQL)).bind(node.0).execute(pool).await.map(drop))
    }

    async fn invalidations_after(&self, position: Position) -> sqlx::Result<Vec<Invalidation>> {
        const SQL: &str = "SELECT position, kind, subject FROM changes WHERE position > $1 ORDER BY position LIMIT $2";
        let most = i64::try_from(MAX_INVALIDATIONS).unwrap_or(i64::MAX);
        let rows: Vec<(i64, String, Vec<u8>)> =
            keep_with!(self, |pool| sqlx::query_as(for_lease(SQL)).bind(position.0).bind(most).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(invalidation).collect())
    }

    async fn nodes(&self) -> sqlx::Result<(Position, Vec<NodeRow>)> {
        const SQL: &str = "SELECT change_counter.position, nodes.id, nodes.position, nodes.renewals, nodes.lease
             FROM change_counter LEFT JOIN nodes ON 1 = 1 WHERE change_counter.id = 1 ORDER BY nodes.id";
        let rows: Vec<NodeColumns> = keep_with!(self, |pool| sqlx::query_as(for_lease(SQL)).fetch_all(pool).await)?;
        let newest = rows.first().ok_or(sqlx::Error::RowNotFound)?.0;
        Ok((Position(newest), rows.into_iter().filter_map(node).collect()))
    }

    async fn evict(&self, node: NodeRow) -> sqlx::Result<()> {
        const SQL: &str = "DELETE FROM nodes WHERE id = $1 AND renewals = $2";
        keep_with!(self, |pool| sqlx::query(for_lease(SQL))
            .bind(node.id.0)
            .bind(node.renewals)
            .execute(pool)
            .await
            .map(drop))
    }

    async fn forget(&self, position: Position) -> sqlx::Result<()> {
        const SQL: &str = "DELETE FROM changes WHERE position <= $1";
        keep_with!(self, |pool| sqlx::query(for_lease(SQL)).bind(position.0).execute(pool).await.map(drop))
    }

    async fn clock(&self) -> sqlx::Result<Option<Duration>> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(None),
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.clock().await,
        }
    }

    async fn confirm(&self) -> sqlx::Result<Position> {
        // It changes nothing, but has to be committed like every write.
        const SQL: &str = "UPDATE change_counter SET position = position WHERE id = 1 RETURNING position";
        let rows = keep_with!(self, |pool| sqlx::query_scalar(for_lease(SQL)).fetch_all(pool).await)?;
        only(rows).map(Position).ok_or(sqlx::Error::RowNotFound)
    }

    fn may_be_superseded(&self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
        }
    }

    async fn notify(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => {}
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.notify().await,
        }
    }
}
