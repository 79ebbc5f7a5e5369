//! The user and the backend that axum-login requires of an application.

use std::fmt;

use axum_login::{AuthUser, AuthnBackend, UserId};
use sqlx::{FromRow, SqlitePool};
use tokio::task::spawn_blocking;

#[derive(Clone, FromRow)]
pub struct User {
    id: i64,
    pub name: String,
    password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("User").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

pub struct Credentials {
    pub email: String,
    pub password: String,
}

#[derive(Clone)]
pub struct Backend {
    pub db: SqlitePool,
}

impl Backend {
    /// Registers a user; none if the address is taken.
    pub async fn register(&self, name: &str, credentials: Credentials) -> sqlx::Result<Option<User>> {
        let Credentials { email, password } = credentials;
        let password =
            spawn_blocking(|| password_auth::generate_hash(password)).await.map_err(std::io::Error::other)?;
        sqlx::query_as("insert into users (name, email, password) values (?, ?, ?) on conflict do nothing returning *")
            .bind(name)
            .bind(email)
            .bind(password)
            .fetch_optional(&self.db)
            .await
    }
}

impl AuthnBackend for Backend {
    type User = User;
    type Credentials = Credentials;
    type Error = sqlx::Error;

    async fn authenticate(&self, credentials: Credentials) -> sqlx::Result<Option<User>> {
        let user: Option<User> = sqlx::query_as("select * from users where email = ?")
            .bind(credentials.email)
            .fetch_optional(&self.db)
            .await?;
        let verify =
            || user.filter(|user| password_auth::verify_password(credentials.password, &user.password).is_ok());
        Ok(spawn_blocking(verify).await.map_err(std::io::Error::other)?)
    }

    async fn get_user(&self, id: &UserId<Self>) -> sqlx::Result<Option<User>> {
        sqlx::query_as("select * from users where id = ?").bind(id).fetch_optional(&self.db).await
    }
}
