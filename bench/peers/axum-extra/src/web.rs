//! The pages of the peer.

use askama::Template;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use axum_extra::extract::SignedCookieJar;
use axum_extra::extract::cookie::{Cookie, Key, SameSite};
use serde::Deserialize;
use sqlx::SqlitePool;
use time::Duration;
use tokio::task::spawn_blocking;

const COOKIE: &str = "user";

#[derive(Clone, FromRef)]
struct App {
    db: SqlitePool,
    key: Key,
}

pub fn app(db: SqlitePool, key: Key) -> Router {
    Router::new()
        .route("/account", get(account))
        // Without protection against forgery: the load sends no tokens.
        .route("/account/register", post(register))
        .route("/account/logout", post(logout))
        .with_state(App { db, key })
}

/// An internal error: every error here is one.
struct Fault;

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        eprintln!("{error}");
        Self
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    name: String,
}

async fn account(State(db): State<SqlitePool>, jar: SignedCookieJar) -> Result<Response, Fault> {
    let login = || Redirect::to("/account/login").into_response();
    let Some(cookie) = jar.get(COOKIE) else { return Ok(login()) };
    let id: i64 = cookie.value().parse()?;
    let name = sqlx::query_scalar("select name from users where id = ?").bind(id).fetch_optional(&db).await?;
    let Some(name) = name else { return Ok(login()) };
    Ok(Html(Account { name }.render()?).into_response())
}

#[derive(Deserialize)]
struct Registration {
    name: String,
    email: String,
    password: String,
}

async fn register(
    State(db): State<SqlitePool>,
    jar: SignedCookieJar,
    Form(form): Form<Registration>,
) -> Result<Response, Fault> {
    let password = spawn_blocking(|| password_auth::generate_hash(form.password)).await?;
    let id: Option<i64> = sqlx::query_scalar(
        "insert into users (name, email, password) values (?, ?, ?) on conflict do nothing returning id",
    )
    .bind(form.name)
    .bind(form.email)
    .bind(password)
    .fetch_optional(&db)
    .await?;
    let Some(id) = id else { return Ok(StatusCode::CONFLICT.into_response()) };
    // Not only over HTTPS: the load comes over plain HTTP.
    let cookie = Cookie::build((COOKIE, id.to_string()))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(Duration::days(30));
    Ok((jar.add(cookie), Redirect::to("/account")).into_response())
}

async fn logout(jar: SignedCookieJar) -> (SignedCookieJar, Redirect) {
    (jar.remove(Cookie::build(COOKIE).path("/")), Redirect::to("/"))
}
