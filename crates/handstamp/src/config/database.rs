//! The database: its URL, and the section `database` with the connections to PostgreSQL.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;
#[cfg(feature = "sqlite")]
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use handstamp_core::InvalidSetting;
#[cfg(feature = "postgres")]
use url::Url;

use super::setting::parse;
use super::{Config, Setting};

/// The database of accounts and sessions. The features `sqlite` and `postgres` enable its variants.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseUrl {
    /// SQLite: the path of the database file.
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    /// PostgreSQL: a URL, which may contain a password.
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl DatabaseUrl {
    /// Parses `sqlite:PATH`, `postgres://…` or `postgresql://…`.
    ///
    /// # Errors
    /// When it is none of these, or this build lacks the feature. The message does not contain the text, which may hold a
    /// password.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            return Self::sqlite(path.strip_prefix("//").unwrap_or(path));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Self::postgres(text);
        }
        Err(InvalidSetting::new("must begin with sqlite: or postgres://"))
    }

    /// SQLite, in the file `handstamp.db` of this folder.
    #[cfg(feature = "sqlite")]
    pub fn in_folder(folder: &Path) -> Self {
        Self::Sqlite(folder.join("handstamp.db"))
    }

    /// The path of the SQLite file, for a pool of your own on the same database; none for PostgreSQL.
    pub fn path(&self) -> Option<&Path> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => Some(path),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
        }
    }

    #[cfg(feature = "sqlite")]
    fn sqlite(path: &str) -> Result<Self, InvalidSetting> {
        if path.is_empty() || path.contains(['?', '#']) || path == ":memory:" {
            return Err(InvalidSetting::new("must be sqlite: followed by the path of a file"));
        }
        Ok(Self::Sqlite(path.into()))
    }

    #[cfg(not(feature = "sqlite"))]
    fn sqlite(_: &str) -> Result<Self, InvalidSetting> {
        Err(InvalidSetting::new("needs the feature `sqlite`, which this build does not have"))
    }

    #[cfg(feature = "postgres")]
    fn postgres(url: &str) -> Result<Self, InvalidSetting> {
        Url::parse(url).map_err(|error| InvalidSetting::new(format!("is not a URL: {error}")))?;
        Ok(Self::Postgres(url.to_owned()))
    }

    #[cfg(not(feature = "postgres"))]
    fn postgres(_: &str) -> Result<Self, InvalidSetting> {
        Err(InvalidSetting::new("needs the feature `postgres`, which this build does not have"))
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Self::parse(text)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => write!(f, "Sqlite({})", path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

/// The connections to PostgreSQL. SQLite ignores these settings.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PoolConfig {
    /// The maximum number of connections of this node, within [`CONNECTIONS_RANGE`](Self::CONNECTIONS_RANGE); 13 by default.
    /// Three of them are reserved for its lease. The node works with fewer if the server grants no more.
    pub connections: u32,
    /// How long [`Handstamp::open`](crate::Handstamp::open) waits for a server that does not answer or accepts no more
    /// connections; 60 seconds by default.
    pub wait: Duration,
    /// Whether statements are prepared once for each connection; true by default. False for poolers in transaction mode, such as
    /// PgBouncer. Each statement then runs in a transaction of its own, which costs two more round trips, and nodes poll.
    pub prepared_statements: bool,
}

impl PoolConfig {
    /// The connections reserved for the lease: two for heartbeats and for requests that wait for the other nodes, one for LISTEN.
    pub(crate) const LEASE_CONNECTIONS: u32 = 3;
    /// The bounds of [`connections`](Self::connections): the three that are reserved for the lease and one for everything else,
    /// to 1000.
    pub const CONNECTIONS_RANGE: RangeInclusive<u32> = Self::LEASE_CONNECTIONS + 1..=1000;
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { connections: 13, wait: Duration::from_secs(60), prepared_statements: true }
    }
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        Setting::text("database_url", |config: &mut Config, text| {
            config.database = parse(text)?;
            Ok(())
        })
        .secret()
        .values("`sqlite:PATH` or `postgres://…`")
        .default_is("required")
        .about("The database of accounts and sessions."),
        Setting::bounded(
            "database.connections",
            PoolConfig::CONNECTIONS_RANGE,
            |config: &Config| config.pool.connections,
            |config, connections| config.pool.connections = connections,
        )
        .about("The most connections of this node to PostgreSQL. Three of them are reserved for its lease."),
        Setting::flag(
            "database.prepared_statements",
            |config: &Config| config.pool.prepared_statements,
            |config, prepared| config.pool.prepared_statements = prepared,
        )
        .about(
            "Whether statements are prepared once for each connection. `false` for poolers in transaction mode, such as PgBouncer: \
             nodes then poll, as without `session.notify`.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_never_printed() {
        let url = DatabaseUrl::parse("postgres://me:hunter2@db/handstamp").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        assert_eq!(DatabaseUrl::parse("sqlite:///var/lib/h.db"), Ok(DatabaseUrl::Sqlite("/var/lib/h.db".into())));
        assert_eq!("sqlite:h.db".parse(), Ok(DatabaseUrl::Sqlite("h.db".into())));
        for bad in ["", "sqlite:", "sqlite::memory:", "sqlite:h.db?mode=ro", "mysql://db", "h.db"] {
            assert!(DatabaseUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
