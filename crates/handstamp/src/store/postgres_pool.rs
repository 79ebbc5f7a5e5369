//! A pool of connections to PostgreSQL that also works when the server grants fewer than configured.

use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// How often a task that waits for a new connection looks for a free one.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Connections to a server: up to the configured number, or as many as the server grants.
///
/// When the server refuses a connection, sqlx's pool retries until its time-out, although other connections become free
/// meanwhile. So a task that waits for a new connection also looks for a free one.
pub(crate) struct Pool {
    connections: PgPool,
    /// One permit per connection. So sqlx's pool never has a queue, which would be served before a task that looks for a free
    /// connection.
    permits: Semaphore,
}

/// A connection, returned to the pool on drop.
pub(crate) struct PooledConnection<'a> {
    connection: PoolConnection<Postgres>,
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    /// A pool of at most `max` connections, each opened when it is first needed.
    pub(super) fn new(pool: PgPoolOptions, max: u32, options: &PgConnectOptions) -> Self {
        let connections = pool.max_connections(max).connect_lazy_with(options.clone());
        Self { connections, permits: Semaphore::new(max as usize) }
    }

    /// Waits for a connection.
    pub(crate) async fn acquire(&self) -> sqlx::Result<PooledConnection<'_>> {
        let permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut new = pin!(self.connections.acquire());
        loop {
            if let Ok(connection) = timeout(POLL_INTERVAL, &mut new).await {
                return Ok(PooledConnection { connection: connection?, _permit: permit });
            }
            if let Some(mut connection) = self.connections.try_acquire()
                && connection.ping().await.is_ok()
            {
                return Ok(PooledConnection { connection, _permit: permit });
            }
        }
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        (*self.connections.connect_options()).clone()
    }

    pub(super) async fn migrate(&self, migrations: &Migrator) -> Result<(), MigrateError> {
        migrations.run(&self.connections).await
    }

    pub(super) async fn close(&self) {
        self.connections.close().await;
    }
}

impl PooledConnection<'_> {
    /// Closes the connection when this is dropped, instead of returning it to the pool.
    pub(super) fn close_on_drop(&mut self) {
        self.connection.close_on_drop();
    }
}

impl Deref for PooledConnection<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for PooledConnection<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
