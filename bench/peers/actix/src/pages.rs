//! The pages of the peer, without protection against forgery: the load sends no tokens.

use std::error::Error;

use actix_identity::Identity;
use actix_web::web::{Data, Form, Html, Redirect};
use actix_web::{Either, HttpMessage, HttpRequest, HttpResponse, Responder, get, post, web};
use askama::Template;
use serde::Deserialize;
use sqlx::SqlitePool;

/// Every error is internal: actix-web answers it with 500.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    name: String,
}

#[get("/account")]
pub async fn account(identity: Option<Identity>, db: Data<SqlitePool>) -> Result<Either<Html, Redirect>> {
    let login = || Either::Right(Redirect::to("/account/login").see_other());
    let Some(identity) = identity else { return Ok(login()) };
    let id: i64 = identity.id()?.parse()?;
    let name = sqlx::query_scalar("select name from users where id = ?").bind(id).fetch_optional(&**db).await?;
    let Some(name) = name else { return Ok(login()) };
    Ok(Either::Left(Html::new(Account { name }.render()?)))
}

#[derive(Deserialize)]
struct Registration {
    name: String,
    email: String,
    password: String,
}

#[post("/account/register")]
pub async fn register(
    request: HttpRequest,
    db: Data<SqlitePool>,
    Form(form): Form<Registration>,
) -> Result<Either<Redirect, HttpResponse>> {
    let password = web::block(|| password_auth::generate_hash(form.password)).await?;
    let id: Option<i64> = sqlx::query_scalar(
        "insert into users (name, email, password) values (?, ?, ?) on conflict do nothing returning id",
    )
    .bind(form.name)
    .bind(form.email)
    .bind(password)
    .fetch_optional(&**db)
    .await?;
    let Some(id) = id else { return Ok(Either::Right(HttpResponse::Conflict().finish())) };
    Identity::login(&request.extensions(), id.to_string())?;
    Ok(Either::Left(Redirect::to("/account").see_other()))
}

#[post("/account/logout")]
pub async fn logout(identity: Option<Identity>) -> impl Responder {
    if let Some(identity) = identity {
        identity.logout();
    }
    Redirect::to("/").see_other()
}
