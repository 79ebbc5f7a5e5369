//! Statements and transactions on either database: the one module that knows which of the two it talks to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use handstamp_core::{AttemptKey, SessionSecretHash, Timestamp, UserId};
use sqlx::database::Database;
use sqlx::{Arguments, Encode, FromRow, Type};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::protocol::Committed;
use super::statement_span::traced;
use super::{Error, Result, Store, to_db_time};
use crate::model::{EventWriter, NewEvent};

/// The longest time of a statement or a transaction, with the wait for a connection: a database that is frozen or cut off
/// sends no error.
pub(super) const TIME_LIMIT: Duration = Duration::from_millis(2500);

const STATEMENTS: &str = "handstamp_db_statements_total";

pub(super) fn describe_metrics() {
    metrics::describe_counter!(
        STATEMENTS,
        "Statements sent to the database, by purpose; BEGIN and COMMIT are not counted"
    );
}

/// A statement with its purpose, under which `handstamp_db_statements_total` counts each execution. One text serves SQLite and
/// PostgreSQL; `$1` is the first argument.
#[derive(Clone, Copy)]
pub(super) struct Sql {
    text: &'static str,
    purpose: &'static str,
}

/// A statement of a request.
pub(super) const fn request(text: &'static str) -> Sql {
    Sql { text, purpose: "request" }
}

/// A statement that keeps this node's lease, or reads the state of the other nodes.
pub(super) const fn lease(text: &'static str) -> Sql {
    Sql { text, purpose: "lease" }
}

/// A statement of the background jobs.
pub(super) const fn maintenance(text: &'static str) -> Sql {
    Sql { text, purpose: "maintenance" }
}

tokio::task_local! {
    /// Set in the tasks of background jobs.
    static IN_JOB: ();
}

/// Counts the statements of requests within this future as those of background jobs, which share some of them.
pub(crate) fn as_maintenance<F: Future>(job: F) -> impl Future<Output = F::Output> {
    IN_JOB.scope((), job)
}

impl Sql {
    /// The text of a statement that is about to be executed.
    pub(super) fn counted(self) -> &'static str {
        let is_of_a_job = self.purpose == "request" && IN_JOB.try_with(|()| ()).is_ok();
        let purpose = if is_of_a_job { "maintenance" } else { self.purpose };
        metrics::counter!(STATEMENTS, "purpose" => purpose).increment(1);
        self.text
    }
}

/// An argument of a statement.
#[derive(Clone, Copy)]
pub(super) enum Arg<'a> {
    Uuid(Uuid),
    OptionalUuid(Option<Uuid>),
    Integer(i64),
    OptionalInteger(Option<i64>),
    Text(&'a str),
    OptionalText(Option<&'a str>),
    Bytes(&'a [u8]),
    OptionalBytes(Option<&'a [u8]>),
}

impl From<Uuid> for Arg<'_> {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

impl From<Option<Uuid>> for Arg<'_> {
    fn from(value: Option<Uuid>) -> Self {
        Self::OptionalUuid(value)
    }
}

impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<Option<i64>> for Arg<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::OptionalInteger(value)
    }
}

impl From<UserId> for Arg<'_> {
    fn from(id: UserId) -> Self {
        Self::Uuid(id.as_uuid())
    }
}

impl From<Option<UserId>> for Arg<'_> {
    fn from(id: Option<UserId>) -> Self {
        Self::OptionalUuid(id.map(|id| id.as_uuid()))
    }
}

impl From<Timestamp> for Arg<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Integer(to_db_time(time))
    }
}

impl From<Option<Timestamp>> for Arg<'_> {
    fn from(time: Option<Timestamp>) -> Self {
        Self::OptionalInteger(time.map(to_db_time))
    }
}

impl<'a> From<&'a SessionSecretHash> for Arg<'a> {
    fn from(hash: &'a SessionSecretHash) -> Self {
        Self::Bytes(hash.as_bytes())
    }
}

impl<'a> From<&'a AttemptKey> for Arg<'a> {
    fn from(key: &'a AttemptKey) -> Self {
        Self::Bytes(key.as_bytes())
    }
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<Option<&'a str>> for Arg<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::OptionalText(value)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<Option<&'a [u8]>> for Arg<'a> {
    fn from(value: Option<&'a [u8]>) -> Self {
        Self::OptionalBytes(value)
    }
}

/// A number of rows for a LIMIT.
pub(super) fn limit(rows: usize) -> Arg<'static> {
    Arg::Integer(i64::try_from(rows).unwrap_or(i64::MAX))
}

/// The arguments as one of the databases takes them.
fn arguments<DB: Database>(args: &[Arg<'_>]) -> sqlx::Result<DB::Arguments>
where
    Uuid: for<'q> Encode<'q, DB> + Type<DB>,
    Option<Uuid>: for<'q> Encode<'q, DB> + Type<DB>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    Option<i64>: for<'q> Encode<'q, DB> + Type<DB>,
    Option<Uuid>: for<'q> Encode<'q, DB> + Type<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> Option<&'q str>: Encode<'q, DB> + Type<DB>,
    for<'q> &'q [u8]: Encode<'q, DB> + Type<DB>,
    for<'q> Option<&'q [u8]>: Encode<'q, DB> + Type<DB>,
{
    let mut arguments = DB::Arguments::default();
    for arg in args {
        let added = match *arg {
            Arg::Uuid(value) => arguments.add(value),
            Arg::OptionalUuid(value) => arguments.add(value),
            Arg::Integer(value) => arguments.add(value),
            Arg::OptionalInteger(value) => arguments.add(value),
            Arg::Text(value) => arguments.add(value),
            Arg::OptionalText(value) => arguments.add(value),
            Arg::Bytes(value) => arguments.add(value),
            Arg::OptionalBytes(value) => arguments.add(value),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A row of SQLite.
#[cfg(feature = "sqlite")]
pub(super) trait SqliteRecord: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow> {}
#[cfg(feature = "sqlite")]
impl<T: for<'r> FromRow<'r, sqlx::sqlite::SqliteRow>> SqliteRecord for T {}
#[cfg(not(feature = "sqlite"))]
pub(super) trait SqliteRecord {}
#[cfg(not(feature = "sqlite"))]
impl<T> SqliteRecord for T {}

/// A row of PostgreSQL.
#[cfg(feature = "postgres")]
pub(super) trait PostgresRecord: for<'r> FromRow<'r, sqlx::postgres::PgRow> {}
#[cfg(feature = "postgres")]
impl<T: for<'r> FromRow<'r, sqlx::postgres::PgRow>> PostgresRecord for T {}
#[cfg(not(feature = "postgres"))]
pub(super) trait PostgresRecord {}
#[cfg(not(feature = "postgres"))]
impl<T> PostgresRecord for T {}

/// A row of either database: tuples of `i64`, `String`, `Vec<u8>`, `Uuid` and their options are.
pub(super) trait Record: SqliteRecord + PostgresRecord + Send + Unpin {}
impl<T: SqliteRecord + PostgresRecord + Send + Unpin> Record for T {}

/// A connection to either database, for one statement.
enum Connection<'c> {
    #[cfg(feature = "sqlite")]
    Sqlite(&'c mut sqlx::SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres {
        connection: &'c mut sqlx::PgConnection,
        /// Whether the statement is prepared once for all its executions.
        prepared: bool,
    },
}

#[cfg(feature = "postgres")]
impl<'c> Connection<'c> {
    /// The connection of a transaction.
    fn of(transaction: &'c mut PostgresTransaction<'_>) -> Self {
        let prepared = transaction.prepared;
        Self::Postgres { connection: &mut transaction.connection, prepared }
    }
}

impl Connection<'_> {
    /// Executes a statement and gives the number of affected rows.
    async fn execute(self, sql: Sql, args: &[Arg<'_>]) -> sqlx::Result<u64> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => {
                let query = sqlx::query_with(sql.counted(), arguments::<sqlx::Sqlite>(args)?);
                query.execute(connection).await.map(|done| done.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { connection, prepared } => {
                let query = sqlx::query_with(sql.counted(), arguments::<sqlx::Postgres>(args)?);
                query.persistent(prepared).execute(connection).await.map(|done| done.rows_affected())
            }
        }
    }

    /// Executes a statement and gives its rows. SQLite reports a failed commit of `… RETURNING` only when the statement is
    /// stepped to its end, so all rows are fetched wherever rows are.
    async fn fetch_all<R: Record>(self, sql: Sql, args: &[Arg<'_>]) -> sqlx::Result<Vec<R>> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(connection) => {
                sqlx::query_as_with(sql.counted(), arguments::<sqlx::Sqlite>(args)?).fetch_all(connection).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { connection, prepared } => {
                let query = sqlx::query_as_with(sql.counted(), arguments::<sqlx::Postgres>(args)?);
                query.persistent(prepared).fetch_all(connection).await
            }
        }
    }
}

/// The connections for statements outside of transactions.
#[derive(Clone, Copy)]
pub(super) enum Pool {
    /// Those that read for requests.
    Read,
    /// Those that keep this node's lease. A flood of requests must not cost the lease that keeps them from the database; on
    /// SQLite their commits are not synced, since a lease ends with the process.
    Lease,
}

/// The databases, by their names in traces.
#[cfg(feature = "sqlite")]
const SQLITE: &str = "sqlite";
#[cfg(feature = "postgres")]
const POSTGRES: &str = "postgresql";

/// The text of a traced statement that begins a transaction. It also waits for a connection and, on SQLite, for the lock.
const BEGIN: &str = "BEGIN";

impl Store {
    fn system(&self) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => SQLITE,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => POSTGRES,
        }
    }

    /// Executes a statement and gives the number of affected rows.
    pub(super) async fn execute(&self, pool: Pool, sql: Sql, args: &[Arg<'_>]) -> Result<u64> {
        let work = async {
            match self {
                #[cfg(feature = "sqlite")]
                Self::Sqlite(database) => {
                    let mut connection = database.pool(pool).acquire().await?;
                    Connection::Sqlite(&mut connection).execute(sql, args).await
                }
                #[cfg(feature = "postgres")]
                Self::Postgres(database) => {
                    if !database.keeps_state() {
                        let mut alone =
                            PostgresTransaction::begin(database.pool(pool), database.begin(), false).await?;
                        let done = Connection::of(&mut alone).execute(sql, args).await?;
                        return alone.commit().await.map(|()| done);
                    }
                    let mut connection = database.pool(pool).acquire().await?;
                    Connection::Postgres { connection: &mut connection, prepared: true }.execute(sql, args).await
                }
            }
        };
        Ok(traced(self.system(), sql.text, within_time(work)).await?)
    }

    /// Executes a statement and gives its rows.
    pub(super) async fn fetch_all<R: Record>(&self, pool: Pool, sql: Sql, args: &[Arg<'_>]) -> Result<Vec<R>> {
        let work = async {
            match self {
                #[cfg(feature = "sqlite")]
                Self::Sqlite(database) => {
                    let mut connection = database.pool(pool).acquire().await?;
                    Connection::Sqlite(&mut connection).fetch_all(sql, args).await
                }
                #[cfg(feature = "postgres")]
                Self::Postgres(database) => {
                    if !database.keeps_state() {
                        let mut alone =
                            PostgresTransaction::begin(database.pool(pool), database.begin(), false).await?;
                        let rows = Connection::of(&mut alone).fetch_all(sql, args).await?;
                        return alone.commit().await.map(|()| rows);
                    }
                    let mut connection = database.pool(pool).acquire().await?;
                    Connection::Postgres { connection: &mut connection, prepared: true }.fetch_all(sql, args).await
                }
            }
        };
        Ok(traced(self.system(), sql.text, within_time(work)).await?)
    }

    /// Executes a statement that gives one row at most.
    pub(super) async fn fetch_optional<R: Record>(&self, pool: Pool, sql: Sql, args: &[Arg<'_>]) -> Result<Option<R>> {
        Ok(self.fetch_all(pool, sql, args).await?.pop())
    }

    /// Executes a statement that gives one row.
    pub(super) async fn fetch_one<R: Record>(&self, pool: Pool, sql: Sql, args: &[Arg<'_>]) -> Result<R> {
        self.fetch_optional(pool, sql, args).await?.ok_or_else(Error::row_not_found)
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Tx<'_>> {
        self.begin_on(Durability::Synced).await
    }

    /// Begins a transaction that writes, and that may take so long.
    pub(super) async fn begin_within(&self, limit: Duration) -> Result<Tx<'_>> {
        let mut tx = self.begin_on(Durability::Synced).await?;
        tx.deadline = Instant::now() + limit;
        match tx.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => {}
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => {
                // The limit of the connection is that of other transactions.
                const LIMIT: Sql = request("SELECT set_config('statement_timeout', $1, true)");
                let limit = limit.as_millis().to_string();
                let _: Vec<(String,)> = tx.fetch_all(LIMIT, &[limit.as_str().into()]).await?;
            }
        }
        Ok(tx)
    }

    /// Begins a transaction that counts attempts. On SQLite its commit is not synced: a killed process loses nothing, and a
    /// power cut the counts of the last moments at most.
    pub(super) async fn begin_attempts(&self) -> Result<Tx<'_>> {
        self.begin_on(Durability::NotSynced).await
    }

    #[cfg_attr(not(feature = "sqlite"), expect(unused_variables, reason = "PostgreSQL has one kind of commit"))]
    async fn begin_on(&self, durability: Durability) -> Result<Tx<'_>> {
        let deadline = Instant::now() + TIME_LIMIT;
        let inner = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(database) => {
                let begun = async {
                    let mut connection = database.writing_pool(durability).acquire().await?;
                    let lock = database.lock.begin(&mut connection).await?;
                    Ok(Inner::Sqlite { _lock: lock, connection })
                };
                traced(self.system(), BEGIN, within(deadline, begun))
                    .await
                    .map_err(|error| database.lock.explain(error))?
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => {
                let begun = async {
                    Ok(Inner::Postgres(
                        PostgresTransaction::begin(&database.pool, database.begin(), database.keeps_state()).await?,
                    ))
                };
                traced(self.system(), BEGIN, within(deadline, begun)).await?
            }
        };
        Ok(Tx { inner, deadline, written: Vec::new() })
    }
}

/// Whether a commit on SQLite waits for the disk.
#[derive(Clone, Copy)]
pub(super) enum Durability {
    Synced,
    NotSynced,
}

/// A transaction on either database, which must end within [`TIME_LIMIT`]. Dropped without [`commit`](Tx::commit) it is rolled
/// back: on SQLite when the connection is released, on PostgreSQL by closing the connection. Where a rollback is an expected
/// outcome, [`rollback`](Tx::rollback) keeps the connection.
pub(super) struct Tx<'a> {
    inner: Inner<'a>,
    deadline: Instant,
    /// The events that it has written.
    written: Vec<WrittenEvent>,
}

/// The fields of an event that are noted once it is committed.
struct WrittenEvent {
    name: &'static str,
    time: Timestamp,
    writer: Arc<EventWriter>,
}

enum Inner<'a> {
    #[cfg(feature = "sqlite")]
    Sqlite { _lock: super::sqlite_lock::Held<'a>, connection: sqlx::pool::PoolConnection<sqlx::Sqlite> },
    #[cfg(feature = "postgres")]
    Postgres(PostgresTransaction<'a>),
}

#[cfg(feature = "postgres")]
struct PostgresTransaction<'a> {
    connection: super::postgres_pool::PooledConnection<'a>,
    is_open: bool,
    /// Whether its statements are prepared once for all transactions of the connection.
    prepared: bool,
}

#[cfg(feature = "postgres")]
impl<'a> PostgresTransaction<'a> {
    /// Begins a transaction by this statement. Through a pooler in transaction mode one process of the server both prepares and executes
    /// a statement within a transaction only.
    async fn begin(pool: &'a super::postgres_pool::Pool, by: &'static str, prepared: bool) -> sqlx::Result<Self> {
        let mut transaction = Self { connection: pool.acquire().await?, is_open: true, prepared };
        sqlx::raw_sql(by).execute(&mut *transaction.connection).await?;
        Ok(transaction)
    }

    async fn commit(mut self) -> sqlx::Result<()> {
        sqlx::raw_sql("COMMIT").execute(&mut *self.connection).await?;
        self.is_open = false;
        Ok(())
    }
}

#[cfg(feature = "postgres")]
impl Drop for PostgresTransaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.connection.close_on_drop();
        }
    }
}

impl Tx<'_> {
    /// Executes a statement and gives the number of affected rows.
    pub(super) async fn execute(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<u64> {
        let (deadline, system) = (self.deadline, self.system());
        Ok(traced(system, sql.text, within(deadline, self.connection().execute(sql, args))).await?)
    }

    /// Executes a statement and gives its rows.
    pub(super) async fn fetch_all<R: Record>(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<Vec<R>> {
        let (deadline, system) = (self.deadline, self.system());
        Ok(traced(system, sql.text, within(deadline, self.connection().fetch_all(sql, args))).await?)
    }

    /// Executes a statement that gives one row at most.
    pub(super) async fn fetch_optional<R: Record>(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<Option<R>> {
        Ok(self.fetch_all(sql, args).await?.pop())
    }

    /// Executes a statement that gives one row.
    pub(super) async fn fetch_one<R: Record>(&mut self, sql: Sql, args: &[Arg<'_>]) -> Result<R> {
        self.fetch_optional(sql, args).await?.ok_or_else(Error::row_not_found)
    }

    /// Waits for transactions that write sessions or one-time tokens, and keeps others from doing so until the end of this one. On SQLite
    /// a transaction that writes is alone anyway.
    pub(super) async fn lock_sessions_and_tokens(&mut self) -> Result<()> {
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => Ok(()),
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => {
                const LOCK: Sql = request("LOCK TABLE one_time_tokens, sessions IN SHARE ROW EXCLUSIVE MODE");
                self.execute(LOCK, &[]).await.map(drop)
            }
        }
    }

    /// Notes an event that the transaction has written.
    pub(super) fn note_written(&mut self, event: &NewEvent) {
        let NewEvent { name, time, .. } = *event;
        self.written.push(WrittenEvent { name, time, writer: Arc::clone(&event.writer) });
    }

    /// Commits.
    pub(super) async fn commit(mut self) -> Result<()> {
        let written = std::mem::take(&mut self.written);
        self.end("COMMIT").await?;
        written.iter().for_each(|WrittenEvent { name, time, writer }| writer.note_written(name, *time));
        Ok(())
    }

    /// Commits a change that no node can have cached.
    pub(super) async fn commit_with<T>(self, value: T) -> Result<Committed<T>> {
        self.commit().await?;
        Ok(Committed { value, position: None })
    }

    /// Undoes everything.
    pub(super) async fn rollback(self) -> Result<()> {
        self.end("ROLLBACK").await
    }

    /// Undoes everything, and returns a value whose propagation needs no wait.
    pub(super) async fn rollback_with<T>(self, value: T) -> Result<Committed<T>> {
        self.rollback().await?;
        Ok(Committed { value, position: None })
    }

    async fn end(mut self, sql: &'static str) -> Result<()> {
        let (deadline, system) = (self.deadline, self.system());
        let ended = async {
            match &mut self.inner {
                #[cfg(feature = "sqlite")]
                Inner::Sqlite { connection, .. } => {
                    sqlx::query(sql).execute(&mut **connection).await?;
                }
                #[cfg(feature = "postgres")]
                Inner::Postgres(transaction) => {
                    sqlx::raw_sql(sql).execute(&mut *transaction.connection).await?;
                    transaction.is_open = false;
                }
            }
            Ok(())
        };
        Ok(traced(system, sql, within(deadline, ended)).await?)
    }

    fn system(&self) -> &'static str {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { .. } => SQLITE,
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => POSTGRES,
        }
    }

    fn connection(&mut self) -> Connection<'_> {
        match &mut self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite { connection, .. } => Connection::Sqlite(connection),
            #[cfg(feature = "postgres")]
            Inner::Postgres(transaction) => Connection::of(transaction),
        }
    }
}

/// Ends work that takes longer than [`TIME_LIMIT`], with an error that says so.
pub(super) async fn within_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    within(Instant::now() + TIME_LIMIT, work).await
}

async fn within<T>(deadline: Instant, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout_at(deadline, work).await.unwrap_or_else(|_| {
        let limit = TIME_LIMIT.as_secs_f32();
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit} seconds"))))
    })
}
