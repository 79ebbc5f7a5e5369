//! Greets the signed-in user by name, with axum-login. Its sessions are in SQLite or in memory: STORE=sqlite|memory.

mod database;
mod users;
mod web;

use std::path::PathBuf;

use tower_sessions::{ExpiredDeletion, MemoryStore};
use tower_sessions_sqlx_store::SqliteStore;

use users::Backend;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = PathBuf::from(std::env::var("DATA")?);
    let db = database::open(&data, std::env::var("USERS")?.parse()?).await?;
    let backend = Backend { db: db.clone() };
    let app = match std::env::var("STORE")?.as_str() {
        "sqlite" => {
            let store = SqliteStore::new(db);
            store.migrate().await?;
            tokio::spawn(store.clone().continuously_delete_expired(std::time::Duration::from_secs(60)));
            web::app(store, backend)
        }
        "memory" => web::app(MemoryStore::default(), backend),
        other => return Err(format!("STORE is sqlite or memory, not {other:?}").into()),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
