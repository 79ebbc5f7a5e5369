//! The connections to PostgreSQL.

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
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Connections to a server, as many as there may be or as it grants.
///
/// The pool of sqlx goes on trying to open a connection that the server refuses, for as long as one may wait at all, though
/// others become free meanwhile. So a task that waits for a new connection looks for a free one as well.
pub(crate) struct Pool {
    connections: PgPool,
    /// As many as there may be connections. The pool of sqlx then has no queue, which would be served before a task that looks
    /// for a free one.
    places: Semaphore,
}

/// A connection that is in the pool again when this is dropped.
pub(crate) struct Held<'a> {
    connection: PoolConnection<Postgres>,
    _place: SemaphorePermit<'a>,
}

impl Pool {
    /// At most so many connections, each of which is opened when it is first needed.
    pub(super) fn new(pool: PgPoolOptions, most: u32, options: &PgConnectOptions) -> Self {
        let connections = pool.max_connections(most).connect_lazy_with(options.clone());
        Self { connections, places: Semaphore::new(most as usize) }
    }

    /// A connection, as soon as there is one.
    pub(crate) async fn acquire(&self) -> sqlx::Result<Held<'_>> {
        let place = self.places.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let mut new = pin!(self.connections.acquire());
        loop {
            if let Ok(connection) = timeout(LOOK_EVERY, &mut new).await {
                return Ok(Held { connection: connection?, _place: place });
            }
            if let Some(mut connection) = self.connections.try_acquire()
                && connection.ping().await.is_ok()
            {
                return Ok(Held { connection, _place: place });
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

impl Deref for Held<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
