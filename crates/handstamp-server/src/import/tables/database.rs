//! The database of another system, which is only read.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use futures_util::TryStreamExt;
use handstamp::private_files::cannot;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, Row, SqliteConnection, TypeInfo, ValueRef};
use url::Url;

use super::layout::{Column, Table};
use crate::user_file::System;

/// How long a database that is locked or does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// The most columns of all tables that are looked at.
const MAX_COLUMNS: i64 = 100_000;

/// Where the database is.
pub(super) enum Location {
    Sqlite(PathBuf),
    /// The URL, which may contain a password.
    Postgres(Url),
}

impl Location {
    /// Parses a URL as SQLAlchemy, Django's dj-database-url, Rails and Laravel write it. No message has its text, since it may
    /// contain a password.
    pub(super) fn parse(text: &str, system: System) -> Result<Self, String> {
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        // SQLAlchemy names the driver after a plus sign.
        let (scheme, _) = scheme.split_once('+').unwrap_or((scheme, ""));
        match scheme {
            "sqlite" | "sqlite3" => match rest.strip_prefix("///") {
                Some("" | ":memory:") | None => {
                    Err("the URL of SQLite is sqlite:///app.db, or with a path from the root \
                                                     folder sqlite:////srv/app.db"
                        .to_owned())
                }
                Some(path) => Ok(Self::Sqlite(path.into())),
            },
            "postgres" | "postgresql" => Url::parse(&format!("postgresql:{rest}"))
                .map(Self::Postgres)
                .map_err(|error| format!("the URL of the database is not valid: {error}")),
            "mysql" | "mariadb" => {
                Err("MySQL and MariaDB are not read; write the users to a file first, as the guide of \
                                        importing shows"
                    .to_owned())
            }
            _ => Err(format!(
                "--from {} reads a database, so name its URL, such as sqlite:///app.db or postgresql://user@host/database",
                system.name()
            )),
        }
    }

    /// The location without the password.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(url) => {
                let host = url.host_str().unwrap_or("localhost");
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("postgresql://{host}{port}{}", url.path())
            }
        }
    }
}

/// The SQL of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A connection.
pub(super) enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    fn new(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }

    /// The text, which is empty for NULL.
    pub(super) fn text(&self, field: &str) -> Result<String, String> {
        match self {
            Self::Null => Ok(String::new()),
            Self::Text(text) => Ok(text.clone()),
            Self::Bytes(_) => Err(format!("{field} is not UTF-8")),
        }
    }

    /// The text of an id, which for bytes is their hexadecimal digits.
    pub(super) fn id(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.clone()),
            Self::Bytes(bytes) => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

impl Database {
    /// Connects, so that nothing can be written.
    pub(super) async fn connect(location: &Location) -> Result<Self, String> {
        match location {
            Location::Sqlite(path) => {
                if let Err(error) = std::fs::metadata(path) {
                    return Err(cannot("read", path, &error));
                }
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .read_only(true)
                    .create_if_missing(false)
                    .busy_timeout(PATIENCE)
                    // Views of a hostile database call no function with side effects.
                    .pragma("trusted_schema", "OFF")
                    .disable_statement_logging();
                options.connect().await.map(Self::Sqlite)
            }
            Location::Postgres(url) => {
                let options = PgConnectOptions::from_str(url.as_str())
                    .map(|options| options.application_name("handstamp import").disable_statement_logging());
                match options {
                    Ok(options) => Self::connect_postgres(&options).await.map(Self::Postgres),
                    Err(error) => Err(error),
                }
            }
        }
        .map_err(|error| format!("cannot read {}: {error}", location.shown()))
    }

    async fn connect_postgres(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
        let connecting = async {
            let mut connection = options.connect().await?;
            let settings =
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SET TIME ZONE 'UTC'; SET datestyle = 'ISO'";
            connection.execute(sqlx::raw_sql(settings)).await?;
            Ok(connection)
        };
        tokio::time::timeout(CONNECT_WITHIN, connecting).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Calls `act` with the values of each row, of which few are in memory at once. It ends early when `act` returns false.
    pub(super) async fn each_row(
        &mut self,
        sql: &str,
        mut act: impl AsyncFnMut(Vec<Value>) -> bool,
    ) -> sqlx::Result<()> {
        let query = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                let mut rows = sqlx::query(query).fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    if !act(sqlite_values(&row)?).await {
                        break;
                    }
                }
            }
            Self::Postgres(connection) => {
                let mut rows = sqlx::query(query).fetch(connection);
                while let Some(row) = rows.try_next().await? {
                    if !act(postgres_values(&row)?).await {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The rows of a statement that has few.
    pub(super) async fn rows(&mut self, sql: &str) -> sqlx::Result<Vec<Vec<Value>>> {
        let mut rows = Vec::new();
        self.each_row(sql, async |row| {
            rows.push(row);
            true
        })
        .await?;
        Ok(rows)
    }

    /// All tables and views, with their columns.
    pub(super) async fn tables(&mut self) -> sqlx::Result<Vec<Table>> {
        match self {
            Self::Sqlite(connection) => sqlite_tables(connection).await,
            Self::Postgres(connection) => postgres_tables(connection).await,
        }
    }
}

fn sqlite_values(row: &SqliteRow) -> sqlx::Result<Vec<Value>> {
    let value = |index: usize| {
        let value = row.try_get_raw(index)?;
        Ok(match value.type_info().name() {
            _ if value.is_null() => Value::Null,
            "INTEGER" => Value::Text(row.try_get_unchecked::<i64, _>(index)?.to_string()),
            "REAL" => Value::Text(row.try_get_unchecked::<f64, _>(index)?.to_string()),
            _ => Value::new(row.try_get_unchecked(index)?),
        })
    };
    (0..row.len()).map(value).collect()
}

/// The columns are of the type text.
fn postgres_values(row: &PgRow) -> sqlx::Result<Vec<Value>> {
    let value = |index: usize| {
        let bytes: Option<Vec<u8>> = row.try_get_unchecked(index)?;
        Ok(bytes.map_or(Value::Null, Value::new))
    };
    (0..row.len()).map(value).collect()
}

async fn sqlite_tables(connection: &mut SqliteConnection) -> sqlx::Result<Vec<Table>> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY name LIMIT 10000",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        // A view whose table is gone has no columns.
        let columns: Vec<(String, i64)> =
            sqlx::query_as("SELECT name, pk FROM pragma_table_xinfo($1) WHERE hidden <> 1 ORDER BY cid")
                .bind(&name)
                .fetch_all(&mut *connection)
                .await
                .unwrap_or_default();
        let mut keys = columns.iter().filter(|(_, key)| *key > 0);
        let key = keys.next().filter(|_| keys.next().is_none()).map(|(name, _)| name.clone());
        let columns = columns.into_iter().map(|(name, _)| Column { name, is_bytes: false }).collect();
        tables.push(Table { schema: None, name, columns, key });
    }
    Ok(tables)
}

async fn postgres_tables(connection: &mut PgConnection) -> sqlx::Result<Vec<Table>> {
    let rows: Vec<(bool, String, String, String, bool, bool)> = sqlx::query_as(
        "SELECT coalesce(n.nspname = current_schema(), false), n.nspname::text, c.relname::text, a.attname::text,
                a.atttypid = 'bytea'::regtype, coalesce(i.indkey::text = a.attnum::text, false)
         FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
         WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
         ORDER BY 1 DESC, 2, 3, a.attnum LIMIT $1",
    )
    .bind(MAX_COLUMNS)
    .fetch_all(connection)
    .await?;
    let mut tables: Vec<Table> = Vec::new();
    for (is_current, schema, name, column, is_bytes, is_key) in rows {
        let schema = (!is_current).then_some(schema);
        if tables.last().is_none_or(|last| (&last.schema, &last.name) != (&schema, &name)) {
            tables.push(Table { schema, name, ..Table::default() });
        }
        let Some(table) = tables.last_mut() else { continue };
        if is_key {
            table.key = Some(column.clone());
        }
        table.columns.push(Column { name: column, is_bytes });
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        Location::parse(text, System::Flask).map(|location| location.shown())
    }

    #[test]
    fn urls_are_read_as_sqlalchemy_writes_them() {
        for (text, shown) in [
            ("sqlite:///app.db", "app.db"),
            ("sqlite:///instance/my app.db", "instance/my app.db"),
            ("sqlite:////srv/app.db", "/srv/app.db"),
            ("sqlite+pysqlite:////srv/app.db", "/srv/app.db"),
            ("postgresql://ada:secret@db.example.com:5433/app", "postgresql://db.example.com:5433/app"),
            ("postgres+psycopg2://localhost/app?sslmode=disable", "postgresql://localhost/app"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn other_texts_are_refused_without_being_repeated() {
        for (text, says) in [
            ("sqlite://app.db", "sqlite:///app.db"),
            ("sqlite:///", "sqlite:///app.db"),
            ("sqlite:///:memory:", "sqlite:///app.db"),
            ("mysql://ada:secret@localhost/app", "MySQL"),
            ("postgresql://ada:secret@local host/app", "not valid"),
            ("app.db:secret", "name its URL"),
            ("users.csv", "name its URL"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says) && !error.contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn bytes_are_no_text_but_an_id() {
        assert_eq!(Value::new(b"$2b$".to_vec()), Value::Text("$2b$".to_owned()));
        let bytes = Value::new(vec![0xff, 0x01]);
        assert_eq!((bytes.id().as_deref(), bytes.text("name").is_err()), (Some("ff01"), true));
        assert_eq!((Value::Null.id(), Value::Null.text("name")), (None, Ok(String::new())));
    }
}
