//! The accounts of the benchmark, in SQLite.

use std::path::Path;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

const TABLE: &str = "create table if not exists users (
    id integer primary key,
    name text not null,
    email text not null unique,
    password text not null
)";

/// No password verifies against `!`.
const FILL: &str = "with recursive numbers (number) as (
    select count(*) + 1 from users
    union all
    select number + 1 from numbers where number < ?1
)
insert into users (name, email, password)
select 'Person ' || number, 'person' || number || '@example.com', '!' from numbers where number <= ?1";

/// The database in this folder, with at least `users` accounts.
pub async fn open(folder: &Path, users: i64) -> sqlx::Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("peer.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let db = SqlitePool::connect_with(options).await?;
    sqlx::query(TABLE).execute(&db).await?;
    sqlx::query(FILL).bind(users).execute(&db).await?;
    Ok(db)
}
