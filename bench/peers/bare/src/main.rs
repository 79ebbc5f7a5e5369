//! Sends the answer in the file ANSWER to every client: its headers, an empty line, and its body.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, Response};
use axum::routing::get;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let answer = std::fs::read(std::env::var("ANSWER")?)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("there is no empty line")?;
    let body = Bytes::copy_from_slice(&answer[end + 4..]);
    let headers = std::str::from_utf8(&answer[..end])?.lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<(HeaderName, HeaderValue)> = headers
        .filter(|(name, _)| !matches!(*name, "date" | "content-length" | "connection"))
        .map(|(name, value)| Ok((name.parse()?, value.parse()?)))
        .collect::<Result<_, Box<dyn std::error::Error>>>()?;
    let account = async move || {
        let mut response = Response::new(Body::from(body));
        response.headers_mut().extend(headers);
        response
    };
    let paths = ["/account", "/auth/request", "/hello"];
    let app = paths.iter().fold(Router::new(), |app, path| app.route(path, get(account.clone())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
