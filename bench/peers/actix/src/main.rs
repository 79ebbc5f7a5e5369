//! Greets the signed-in user by name, with actix-identity over a session that is kept in its cookie.

mod database;
mod pages;

use std::path::{Path, PathBuf};

use actix_identity::IdentityMiddleware;
use actix_session::SessionMiddleware;
use actix_session::config::PersistentSession;
use actix_session::storage::CookieSessionStore;
use actix_web::cookie::Key;
use actix_web::cookie::time::Duration;
use actix_web::{App, HttpServer, web};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = PathBuf::from(std::env::var("DATA")?);
    let db = web::Data::new(database::open(&data, std::env::var("USERS")?.parse()?).await?);
    let key = key(&data.join("key"))?;
    let server = HttpServer::new(move || {
        let session = SessionMiddleware::builder(CookieSessionStore::default(), key.clone())
            // The load comes over plain HTTP.
            .cookie_secure(false)
            .session_lifecycle(PersistentSession::default().session_ttl(Duration::days(30)))
            .build();
        App::new()
            .app_data(db.clone())
            .wrap(IdentityMiddleware::default())
            .wrap(session)
            .service(pages::account)
            .service(pages::register)
            .service(pages::logout)
    })
    .bind(("127.0.0.1", 0))?;
    for address in server.addrs() {
        println!("listening on {address}");
    }
    server.run().await?;
    Ok(())
}

/// The key in this file, so that users stay signed in.
fn key(file: &Path) -> std::io::Result<Key> {
    if !file.exists() {
        std::fs::write(file, Key::generate().master())?;
    }
    Ok(Key::from(&std::fs::read(file)?))
}
