//! The quick start: an axum application that greets the signed-in user by name.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use handstamp::{Config, CurrentUser, Handstamp};

async fn hello(user: CurrentUser) -> String {
    format!("Hello, {}", user.name())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handstamp = Handstamp::open(Config::in_folder("handstamp-data", "http://localhost:3000")?).await?;
    let app = Router::new().route("/", get(hello)).with_state(handstamp.clone()).merge(handstamp.router());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
