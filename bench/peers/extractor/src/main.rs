//! Greets the signed-in user by name, by the extractor of `handstamp` with the data in the folder DATA.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use handstamp::{Config, CurrentUser, Handstamp};

/// Joined instead of formatted, which allocates twice, since only the extractor is to be measured.
async fn hello(user: CurrentUser) -> String {
    ["Hello, ", user.name()].concat()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::in_folder(std::env::var("DATA")?, "http://localhost")?;
    let handstamp = Handstamp::open(config).await?;
    let app = Router::new().route("/hello", get(hello)).with_state(handstamp.clone()).merge(handstamp.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
