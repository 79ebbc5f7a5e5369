//! Greets the signed-in user by name, with a signed cookie that holds the user's id.

mod database;
mod web;

use std::path::{Path, PathBuf};

use axum_extra::extract::cookie::Key;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = PathBuf::from(std::env::var("DATA")?);
    let db = database::open(&data, std::env::var("USERS")?.parse()?).await?;
    let app = web::app(db, key(&data.join("key"))?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// The key in this file, so that users stay signed in.
fn key(file: &Path) -> std::io::Result<Key> {
    if !file.exists() {
        std::fs::write(file, Key::generate().master())?;
    }
    Ok(Key::from(&std::fs::read(file)?))
}
