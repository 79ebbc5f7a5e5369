//! The tables of the invalidation log and of the nodes.

use std::time::Duration;

use handstamp_core::{SessionSecretHash, Timestamp, UserId};
use uuid::Uuid;

use super::protocol::{
    Committed, Invalidation, InvalidationLog, InvalidationScope, MAX_INVALIDATIONS, NodeId, NodeRow, Position,
};
use super::statement::{self, Pool, Sql, Tx, lease, limit, request};
use super::{Error, Result, Store, to_db_time};

impl Tx<'_> {
    /// Commits a change of what nodes may have cached: gives each scope its position in the invalidation log, last of all, since
    /// other writers wait from there until the commit.
    pub(super) async fn commit_invalidating<T>(
        mut self,
        value: T,
        scopes: &[InvalidationScope],
    ) -> Result<Committed<T>> {
        let position = append(&mut self, scopes).await?;
        self.commit().await?;
        Ok(Committed { value, position })
    }

    /// Commits what an earlier try may have done already: its propagation is waited for as well, and with it that of all changes before.
    #[cfg(feature = "federation")]
    pub(super) async fn commit_at_newest<T>(mut self, value: T) -> Result<Committed<T>> {
        const NEWEST: Sql = request("SELECT position FROM change_counter WHERE id = 1");
        let (newest,): (i64,) = self.fetch_one(NEWEST, &[]).await?;
        self.commit().await?;
        Ok(Committed { value, position: Some(Position(newest)) })
    }
}

/// Appends invalidations to the log within a transaction and returns the position of the last, or none.
async fn append(tx: &mut Tx<'_>, scopes: &[InvalidationScope]) -> Result<Option<Position>> {
    const NEXT_POSITIONS: Sql = request("UPDATE change_counter SET position = position + $1 RETURNING position");
    const APPEND: Sql = request("INSERT INTO changes (position, kind, subject) VALUES ($1, $2, $3)");
    if scopes.is_empty() {
        return Ok(None);
    }
    let count = i64::try_from(scopes.len()).expect("a transaction logs hundreds of invalidations at most");
    let (newest,): (i64,) = tx.fetch_one(NEXT_POSITIONS, &[count.into()]).await?;
    for (scope, position) in scopes.iter().zip(newest - count + 1..) {
        let (kind, bytes) = columns(scope);
        tx.execute(APPEND, &[position.into(), kind.into(), bytes.as_slice().into()]).await?;
    }
    Ok(Some(Position(newest)))
}

/// The stored form of a scope.
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

impl InvalidationLog for Store {
    type Error = Error;

    async fn join(&self, node: NodeId, lease: Duration) -> Result<Position> {
        const SQL: &str = "INSERT INTO nodes (id, position, renewals, lease, version)
             SELECT $1, position, 0, $2, $3 FROM change_counter WHERE id = 1 RETURNING position";
        let milliseconds = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
        let args = [node.0.into(), milliseconds.into(), env!("CARGO_PKG_VERSION").into()];
        let (newest,): (i64,) = self.fetch_one(Pool::Lease, statement::lease(SQL), &args).await?;
        Ok(Position(newest))
    }

    async fn renew(&self, node: NodeId, position: Position) -> Result<Option<Position>> {
        // The reported position never decreases, since an older renewal may be run after a newer one.
        const SQL: &str = "UPDATE nodes SET renewals = renewals + 1,
                position = CASE WHEN position < $2 THEN $2 ELSE position END
             WHERE id = $1 RETURNING (SELECT position FROM change_counter WHERE id = 1)";
        let args = [node.0.into(), position.0.into()];
        let newest: Option<(i64,)> = self.fetch_optional(Pool::Lease, lease(SQL), &args).await?;
        Ok(newest.map(|(newest,)| Position(newest)))
    }

    async fn leave(&self, node: NodeId) -> Result<()> {
        const SQL: &str = "DELETE FROM nodes WHERE id = $1";
        self.execute(Pool::Lease, lease(SQL), &[node.0.into()]).await.map(drop)
    }

    async fn invalidations_after(&self, position: Position) -> Result<Vec<Invalidation>> {
        const SQL: &str = "SELECT position, kind, subject FROM changes WHERE position > $1 ORDER BY position LIMIT $2";
        let rows: Vec<(i64, String, Vec<u8>)> =
            self.fetch_all(Pool::Lease, lease(SQL), &[position.0.into(), limit(MAX_INVALIDATIONS)]).await?;
        Ok(rows.into_iter().map(invalidation).collect())
    }

    async fn nodes(&self) -> Result<(Position, Vec<NodeRow>)> {
        const SQL: &str = "SELECT change_counter.position, nodes.id, nodes.position, nodes.renewals, nodes.lease
             FROM change_counter LEFT JOIN nodes ON 1 = 1 WHERE change_counter.id = 1 ORDER BY nodes.id";
        let rows: Vec<NodeColumns> = self.fetch_all(Pool::Lease, lease(SQL), &[]).await?;
        let newest = rows.first().ok_or_else(Error::row_not_found)?.0;
        Ok((Position(newest), rows.into_iter().filter_map(node).collect()))
    }

    async fn evict(&self, node: NodeRow) -> Result<()> {
        const SQL: &str = "DELETE FROM nodes WHERE id = $1 AND renewals = $2";
        self.execute(Pool::Lease, lease(SQL), &[node.id.0.into(), node.renewals.into()]).await.map(drop)
    }

    async fn forget(&self, position: Position) -> Result<()> {
        const SQL: &str = "DELETE FROM changes WHERE position <= $1";
        self.execute(Pool::Lease, lease(SQL), &[position.0.into()]).await.map(drop)
    }

    async fn clock(&self) -> Result<Option<Duration>> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(None),
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => Ok(database.clock().await?),
        }
    }

    async fn confirm(&self) -> Result<Position> {
        // It changes nothing, but has to be committed like every write.
        const SQL: &str = "UPDATE change_counter SET position = position WHERE id = 1 RETURNING position";
        let (newest,): (i64,) = self.fetch_one(Pool::Lease, lease(SQL), &[]).await?;
        Ok(Position(newest))
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
            Self::Sqlite(database) => database.notifications.send().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.notify().await,
        }
    }
}
