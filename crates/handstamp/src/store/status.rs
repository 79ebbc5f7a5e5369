//! The state of the nodes, of the outbox and of the database, as operators see it.

use std::time::Duration;

use uuid::Uuid;

use super::protocol::{NodeId, NodeRow, Position};
use super::statement::{Pool, request};
use super::{Error, Result, Store, from_db_time};
use crate::model::{DatabaseStatus, UndeliveredMessage};

/// A node as its row says.
#[derive(Clone, Debug)]
pub(crate) struct NodeStatusRow {
    pub(crate) row: NodeRow,
    /// None for a version from before it was stored.
    pub(crate) version: Option<String>,
}

/// The most messages that are counted: the rest is more than that.
pub(crate) const COUNTED_MESSAGES: u64 = 10_000;

type NodeColumns = (i64, Option<Uuid>, Option<i64>, Option<i64>, Option<i64>, Option<String>);

/// The kind, when it was written, when it is due, the attempts, and the last error.
type UndeliveredColumns = (String, i64, i64, i64, String);

impl Store {
    /// The newest position of the invalidation log and all nodes.
    pub(crate) async fn node_statuses(&self) -> Result<(Position, Vec<NodeStatusRow>)> {
        const SQL: &str =
            "SELECT change_counter.position, nodes.id, nodes.position, nodes.renewals, nodes.lease, nodes.version
             FROM change_counter LEFT JOIN nodes ON 1 = 1 WHERE change_counter.id = 1 ORDER BY nodes.id";
        let rows: Vec<NodeColumns> = self.fetch_all(Pool::Read, request(SQL), &[]).await?;
        let newest = rows.first().ok_or_else(Error::row_not_found)?.0;
        let node = |(_, id, position, renewals, lease, version): NodeColumns| {
            let lease = Duration::from_millis(lease?.try_into().unwrap_or(0));
            let row = NodeRow { id: NodeId(id?), position: Position(position?), renewals: renewals?, lease };
            Some(NodeStatusRow { row, version })
        };
        Ok((Position(newest), rows.into_iter().filter_map(node).collect()))
    }

    /// The newest messages that could not be delivered yet.
    pub(crate) async fn undelivered_messages(&self) -> Result<Vec<UndeliveredMessage>> {
        const SQL: &str = "SELECT kind, created_at, due_at, attempts, last_error FROM outbox
             WHERE last_error IS NOT NULL ORDER BY id DESC LIMIT 10";
        let rows: Vec<UndeliveredColumns> = self.fetch_all(Pool::Read, request(SQL), &[]).await?;
        let message = |(kind, created_at, due_at, attempts, error): UndeliveredColumns| UndeliveredMessage {
            kind,
            created_at: from_db_time(created_at),
            due_at: from_db_time(due_at),
            attempts: attempts.try_into().unwrap_or(0),
            error,
        };
        Ok(rows.into_iter().map(message).collect())
    }

    /// The kind, the version and the size of the database, and the version of its tables.
    pub(crate) async fn database_status(&self) -> Result<DatabaseStatus> {
        const SCHEMA: &str = "SELECT MAX(version) FROM handstamp_migrations";
        let (kind, version, size) = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => (
                "SQLite",
                "SELECT sqlite_version()",
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
            ),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => (
                "PostgreSQL",
                "SELECT current_setting('server_version')",
                "SELECT pg_database_size(current_database())",
            ),
        };
        let (schema,): (i64,) = self.fetch_one(Pool::Read, request(SCHEMA), &[]).await?;
        let (version,): (String,) = self.fetch_one(Pool::Read, request(version), &[]).await?;
        // Some databases that speak PostgreSQL's protocol do not tell.
        let size: Option<(i64,)> = self.fetch_optional(Pool::Read, request(size), &[]).await.unwrap_or_default();
        Ok(DatabaseStatus { kind, version, schema, bytes: size.and_then(|(bytes,)| bytes.try_into().ok()) })
    }

    /// The settings of the database on which it depends that a commit survives a crash, by name.
    pub(crate) async fn durability_settings(&self) -> Result<Vec<(String, String)>> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => {
                let (mode,): (String,) = self.fetch_one(Pool::Read, request("PRAGMA journal_mode"), &[]).await?;
                Ok(vec![("journal_mode".to_owned(), mode)])
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {
                const SQL: &str = "SELECT name, setting FROM pg_settings WHERE name IN
                     ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names') ORDER BY name";
                self.fetch_all(Pool::Read, request(SQL), &[]).await
            }
        }
    }

    /// Whether a pooler in transaction mode was before the server at the start, although statements are prepared.
    pub(crate) fn is_pooled(&self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => database.is_pooled(),
        }
    }
}
