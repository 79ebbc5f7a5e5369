//! A small application to start from: each user keeps private notes. Accounts and notes are in one SQLite file.
//!
//! APP_URL is the URL at which browsers reach the application; it must be https unless the host is a loopback host. LISTEN and
//! DATA_DIR can be set too.

use std::net::SocketAddr;
use std::path::Path;

use axum::extract::{Form, FromRef, Path as PathParts, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, serve};
use handstamp::{Config, CurrentUser, Handstamp};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::net::TcpListener;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The state of the application, available to every handler.
#[derive(Clone, FromRef)]
struct App {
    handstamp: Handstamp,
    database: SqlitePool,
}

#[derive(Serialize, sqlx::FromRow)]
struct Note {
    id: i64,
    text: String,
}

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

#[derive(Serialize, Default)]
struct NotesPage {
    notes: Vec<Note>,
    error: Option<&'static str>,
}

async fn home(user: Option<CurrentUser>) -> Redirect {
    Redirect::to(if user.is_some() { "/notes" } else { "/account/login?next=%2Fnotes" })
}

async fn show(State(app): State<App>, user: CurrentUser) -> Result<Response, Failure> {
    notes_page(&app, &user, None).await
}

async fn add(State(app): State<App>, user: CurrentUser, Form(note): Form<NewNote>) -> Result<Response, Failure> {
    let text = note.text.trim();
    if text.is_empty() || text.chars().count() > 1000 {
        let page = notes_page(&app, &user, Some("A note has 1 to 1000 characters.")).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    sqlx::query("INSERT INTO notes (user_id, text) VALUES ($1, $2)")
        .bind(user.id().as_uuid())
        .bind(text)
        .execute(&app.database)
        .await?;
    Ok(Redirect::to("/notes").into_response())
}

/// Deletes a note of the user. The note of another user gets the same response as one that does not exist.
async fn delete(State(app): State<App>, user: CurrentUser, PathParts(id): PathParts<i64>) -> Result<Response, Failure> {
    let deleted = sqlx::query("DELETE FROM notes WHERE id = $1 AND user_id = $2")
        .bind(id)
        .bind(user.id().as_uuid())
        .execute(&app.database)
        .await?;
    if deleted.rows_affected() == 0 {
        return Ok(StatusCode::NOT_FOUND.into_response());
    }
    Ok(Redirect::to("/notes").into_response())
}

async fn notes_page(app: &App, user: &CurrentUser, error: Option<&'static str>) -> Result<Response, Failure> {
    let notes = sqlx::query_as("SELECT id, text FROM notes WHERE user_id = $1 ORDER BY id DESC LIMIT 100")
        .bind(user.id().as_uuid())
        .fetch_all(&app.database)
        .await?;
    Ok(app.handstamp.render("notes.html", Some(user), NotesPage { notes, error })?)
}

/// An internal error: it is logged, and the response does not reveal it.
struct Failure(AnyError);

impl<E: Into<AnyError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        eprintln!("a request could not be answered: {}", self.0);
        (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side.").into_response()
    }
}

/// The table of notes. A user's notes are deleted with the account.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS notes (
    id      INTEGER PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    text    TEXT NOT NULL
) STRICT";

/// The name of the site, and the page of notes.
fn configure(config: &mut Config) {
    config.site_name = "Notes".to_owned();
    config.templates = vec![("notes.html".to_owned(), include_str!("../templates/notes.html").to_owned())];
}

/// The application, whose notes are in the same database file as the accounts.
async fn open(handstamp: Handstamp, file: &Path) -> Result<App, AnyError> {
    let database = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file).foreign_keys(true)).await?;
    sqlx::query(TABLE).execute(&database).await?;
    Ok(App { handstamp, database })
}

fn routes(app: App) -> Router {
    let handstamp = app.handstamp.clone();
    let ours = Router::new()
        .route("/", get(home))
        .route("/notes", get(show).post(add))
        .route("/notes/{id}/delete", post(delete))
        .with_state(app);
    // Other sites cannot make a browser write to these routes.
    ours.layer(handstamp.csrf_layer()).merge(handstamp.router())
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let setting = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let url = setting("APP_URL", "http://localhost:3000");
    let mut config = Config::in_folder(setting("DATA_DIR", "notes-data"), &url)?;
    configure(&mut config);
    let file = config.database.path().expect("Config::in_folder uses SQLite").to_owned();
    let app = open(Handstamp::open(config).await?, &file).await?;
    let listener = TcpListener::bind(setting("LISTEN", "127.0.0.1:3000")).await?;
    println!("Notes is at {url} (listening on {})", listener.local_addr()?);
    let handstamp = app.handstamp.clone();
    // Handstamp's rate limits need the address of the client.
    let service = routes(app).into_make_service_with_connect_info::<SocketAddr>();
    serve(listener, service).with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) }).await?;
    handstamp.close().await;
    Ok(())
}

#[cfg(test)]
mod tests;
