//! The table of sessions of the former system, in our database or in its own. It is only read.

#[cfg(feature = "postgres")]
use std::str::FromStr;
use std::time::Duration;

use handstamp_core::Timestamp;
use handstamp_core::legacy_cookie::LegacyKind;
use sqlx::AssertSqlSafe;

use super::statement::within_time;
use super::{Error, Result};
use crate::config::DatabaseUrl;

/// Sessions are read one at a time, each once. A flood of cookies then waits here, and takes no connection of ours.
const CONNECTIONS: u32 = 2;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// A number from here on is one of milliseconds.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// A row of the table: the session, or the user of it, and when it expires.
pub(crate) struct LegacyRow {
    pub(crate) content: String,
    pub(crate) expires_at: Option<Timestamp>,
}

/// The table of sessions of the former system.
pub(crate) struct LegacyTable {
    pool: TablePool,
    sql: String,
}

enum TablePool {
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
}

/// The columns of the table: the key, the content and the expiry.
fn columns(kind: LegacyKind, is_postgres: bool) -> [&'static str; 3] {
    match kind {
        LegacyKind::BetterAuth => ["token", "userId", "expiresAt"],
        // connect-pg-simple, and connect-sqlite3.
        LegacyKind::ExpressSession if is_postgres => ["sid", "sess", "expire"],
        LegacyKind::ExpressSession => ["sid", "sess", "expired"],
        _ => ["session_key", "session_data", "expire_date"],
    }
}

impl LegacyTable {
    /// The table of this name, to which a connection is opened when it is first read.
    pub(crate) fn new(url: &DatabaseUrl, kind: LegacyKind, table: &str) -> Result<Self> {
        let table = table.split('.').map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join(".");
        match url {
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => {
                let [key, content, expiry] = columns(kind, false);
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
                let options = options.busy_timeout(ACQUIRE_TIMEOUT);
                let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(CONNECTIONS);
                let pool = TablePool::Sqlite(pool.acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options));
                let sql = format!(
                    "SELECT CAST(\"{content}\" AS TEXT), CAST(\"{expiry}\" AS TEXT) FROM {table} WHERE \"{key}\" = $1"
                );
                Ok(Self { pool, sql })
            }
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => {
                let [key, content, expiry] = columns(kind, true);
                let options = sqlx::postgres::PgConnectOptions::from_str(url)?.application_name("handstamp");
                let options = options.options([("default_transaction_read_only", "on")]);
                let pool = sqlx::postgres::PgPoolOptions::new().max_connections(CONNECTIONS);
                let pool = TablePool::Postgres(pool.acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options));
                let seconds = format!("EXTRACT(EPOCH FROM CAST(\"{expiry}\" AS TIMESTAMPTZ))");
                let sql = format!(
                    "SELECT CAST(\"{content}\" AS TEXT), CAST(CAST({seconds} AS BIGINT) AS TEXT)
                     FROM {table} WHERE \"{key}\" = $1"
                );
                Ok(Self { pool, sql })
            }
        }
    }

    /// The session with this key.
    pub(crate) async fn find(&self, key: &str) -> Result<Option<LegacyRow>> {
        let sql = AssertSqlSafe(self.sql.as_str());
        let read = async {
            match &self.pool {
                #[cfg(feature = "sqlite")]
                TablePool::Sqlite(pool) => sqlx::query_as(sql).bind(key).fetch_optional(pool).await,
                #[cfg(feature = "postgres")]
                TablePool::Postgres(pool) => sqlx::query_as(sql).bind(key).fetch_optional(pool).await,
            }
        };
        let row: Option<(String, Option<String>)> = within_time(read).await?;
        row.map(|(content, expiry)| Ok(LegacyRow { content, expires_at: expiry.as_deref().map(time).transpose()? }))
            .transpose()
    }

    pub(crate) async fn close(&self) {
        match &self.pool {
            #[cfg(feature = "sqlite")]
            TablePool::Sqlite(pool) => pool.close().await,
            #[cfg(feature = "postgres")]
            TablePool::Postgres(pool) => pool.close().await,
        }
    }
}

/// The time of a number of seconds or milliseconds, or of a date and a time, in UTC where it does not say otherwise.
fn time(text: &str) -> Result<Timestamp> {
    let number = |text: &str| text.split('.').next().and_then(|whole| whole.parse::<u64>().ok());
    let seconds = match number(text) {
        Some(milliseconds) if milliseconds >= MILLISECONDS_FROM => Some(milliseconds / 1000),
        Some(seconds) if !text.contains(['-', ':']) => Some(seconds),
        _ => {
            let utc = jiff::tz::TimeZone::UTC;
            let in_utc = || text.parse::<jiff::civil::DateTime>().and_then(|time| utc.to_timestamp(time));
            let time = text.parse::<jiff::Timestamp>().or_else(|_| in_utc()).ok();
            time.and_then(|time| u64::try_from(time.as_second()).ok())
        }
    };
    seconds.map(Timestamp::from_unix_seconds).ok_or_else(|| Error::decode("the expiry of a former session is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_read_in_the_forms_of_all_stores() {
        for text in [
            "1800000000",
            "1800000000000",
            "1800000000123.0",
            "2027-01-15 08:00:00",
            "2027-01-15 08:00:00.25",
            "2027-01-15T08:00:00.123Z",
            "2027-01-15T09:00:00+01:00",
        ] {
            assert_eq!(time(text).unwrap(), Timestamp::from_unix_seconds(1_800_000_000), "{text}");
        }
        for text in ["", "soon", "-1", "2027-01-15 25:00"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
