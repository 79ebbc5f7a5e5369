//! The pages of the peer.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use axum_login::{AuthManagerLayerBuilder, login_required};
use serde::Deserialize;
use time::Duration;
use tower_sessions::{Expiry, SessionManagerLayer, SessionStore};

use crate::users::{Backend, Credentials};

type AuthSession = axum_login::AuthSession<Backend>;

pub fn app(store: impl SessionStore + Clone, backend: Backend) -> Router {
    let sessions = SessionManagerLayer::new(store)
        // The load comes over plain HTTP.
        .with_secure(false)
        .with_expiry(Expiry::OnInactivity(Duration::days(30)));
    Router::new()
        .route("/account", get(account))
        .route_layer(login_required!(Backend, login_url = "/account/login"))
        // Without protection against forgery: the load sends no tokens.
        .route("/account/register", post(register))
        .route("/account/logout", post(logout))
        .layer(AuthManagerLayerBuilder::new(backend, sessions).build())
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

async fn account(session: AuthSession) -> Result<Response, Fault> {
    let Some(user) = session.user else { return Ok(StatusCode::UNAUTHORIZED.into_response()) };
    Ok(Html(Account { name: user.name }.render()?).into_response())
}

#[derive(Deserialize)]
struct Registration {
    name: String,
    email: String,
    password: String,
}

async fn register(mut session: AuthSession, Form(form): Form<Registration>) -> Result<Response, Fault> {
    let credentials = Credentials { email: form.email, password: form.password };
    let Some(user) = session.backend.register(&form.name, credentials).await? else {
        return Ok(StatusCode::CONFLICT.into_response());
    };
    session.login(&user).await?;
    Ok(Redirect::to("/account").into_response())
}

async fn logout(mut session: AuthSession) -> Result<Redirect, Fault> {
    session.logout().await?;
    Ok(Redirect::to("/"))
}
