//! The app behind the measured proxies: a small page, a WebSocket that echoes, and long bodies in both directions.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use futures_util::{StreamExt, stream};

/// The length of a small page.
const PAGE: usize = 1024;
const CHUNK: usize = 64 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let text = format!("{:PAGE$}", "<!doctype html><title>App</title><h1>Notes</h1>");
    let page = Bytes::from(text);
    let app = Router::new()
        .route("/", get(async move || Html(page)))
        .route("/socket", any(socket))
        .route("/download/{length}", get(download))
        .route("/upload", post(upload));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// A WebSocket that echoes. Its buffers are small, since there are ten thousand.
async fn socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.read_buffer_size(1024).write_buffer_size(0).on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// A body of so many bytes.
async fn download(Path(length): Path<usize>) -> Response {
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let chunks = (0..length).step_by(CHUNK).map(move |sent| chunk.slice(..CHUNK.min(length - sent)));
    let body = Body::from_stream(stream::iter(chunks.map(Ok::<_, Infallible>)));
    ([(CONTENT_LENGTH, length.to_string()), (CONTENT_TYPE, "application/octet-stream".to_owned())], body)
        .into_response()
}

/// Receives a body, and gives its length.
async fn upload(body: Body) -> Result<String, StatusCode> {
    let mut length = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        length += chunk.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok(length.to_string())
}
