use std::str::FromStr;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{OpenError, TIME_LIMIT};

const CONNECTIONS: u32 = 10;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

pub(crate) struct Postgres {
    pub(super) pool: PgPool,
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self, OpenError> {
        // Ends a statement that the database would go on with for longer than anybody waits.
        let limit = TIME_LIMIT.as_millis();
        let options = PgConnectOptions::from_str(url)?
            .application_name("handstamp")
            .options([("statement_timeout", limit), ("lock_timeout", limit)]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        sqlx::migrate!("migrations/postgres").run(&pool).await?;
        Ok(Self { pool })
    }
}
