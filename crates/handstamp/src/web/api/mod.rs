//! The JSON API under `/api/v1`, for programs in any language. It offers the same actions as the pages, by the same services and
//! under the same limits. Errors are problem documents (RFC 9457). `openapi.json` describes it.

mod body;
pub(super) mod description;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use handstamp_core::{DisplayName, EmailAddress, Password};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::SharedSite;
use super::pages::parse_new_password;
use super::pages::password::WRONG as WRONG_CURRENT;
use super::pages::sign_in::WRONG;
use super::pages::sign_out::end;
use super::templates::format_rfc3339;
use super::user::SignedInUser;
use super::web_error::WebError;
use crate::context::Context;
use crate::error::InternalError;
use crate::model::RevokeOutcome;
use crate::services::{
    ChangePasswordError, ChangePasswordRequest, RegisterError, RegisterRequest, SignInCookies, SignInError,
    SignInRequest,
};
use crate::sessions::{PresentedSessions, Session as LiveSession, SessionLookup};
use body::{Invalid, JsonBody, Refusal};

/// The signed-in user and the session.
#[derive(Serialize, ToSchema)]
pub(super) struct SignedIn {
    user: User,
    session: Session,
}

/// A user.
#[derive(Serialize, ToSchema)]
struct User {
    /// The permanent id of the user: a UUID of version 7 (RFC 9562).
    #[schema(format = Uuid)]
    id: String,
    /// The display name.
    name: String,
    /// The e-mail address: as the user typed it, unless it is verified.
    email: String,
    /// Whether the address is known to belong to the user.
    email_verified: bool,
    /// The groups of the user, sorted by name.
    groups: Vec<String>,
    /// When the account was created (RFC 3339).
    #[schema(format = DateTime)]
    created_at: String,
}

/// The session that a request belongs to.
#[derive(Serialize, ToSchema)]
struct Session {
    /// The session id, as in the list of sessions; it grants no access.
    #[schema(format = Uuid)]
    id: String,
    /// When it ends at the latest (RFC 3339).
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A session of the user.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedSession {
    /// The session id; it grants no access.
    #[schema(format = Uuid)]
    id: String,
    /// Whether it is the session of this request.
    current: bool,
    /// The `User-Agent` of the sign-in.
    user_agent: String,
    /// The client address of the sign-in; empty where it is not known.
    address: String,
    /// When the user signed in (RFC 3339).
    #[schema(format = DateTime)]
    created_at: String,
    /// When the last request came, to within five minutes (RFC 3339).
    #[schema(format = DateTime)]
    last_seen_at: String,
}

/// The credentials of a sign-in.
#[derive(Deserialize, ToSchema)]
pub(super) struct Credentials {
    #[schema(example = "ada@example.com")]
    email: String,
    password: String,
    /// Whether the session lasts for as long as the site allows, rather than for a day at most. The site allows 30 days, unless
    /// its operator sets less.
    #[serde(default = "yes")]
    #[schema(default = true)]
    remember: bool,
}

fn yes() -> bool {
    true
}

/// The data of a new account.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewUser {
    name: String,
    #[schema(example = "ada@example.com")]
    email: String,
    password: String,
}

/// A change of the password.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangePassword {
    current_password: String,
    password: String,
}

/// Shows the signed-in user. If the session is cached in memory, this needs no database statement.
#[utoipa::path(
    get,
    path = "/session",
    responses(
        (status = 200, description = "The user is signed in.", body = SignedIn),
        (status = 401, response = description::Unauthorized),
        (status = 503, response = description::Unavailable),
    ),
    security(("session" = [])),
)]
pub(super) async fn show_session(SignedInUser(session): SignedInUser) -> Json<SignedIn> {
    Json(SignedIn::from(&*session))
}

/// Signs in, and revokes the sessions whose tokens came with the request. The response sets the cookies.
#[utoipa::path(
    post,
    path = "/session",
    request_body = Credentials,
    responses(
        (status = 201, description = "Signed in.", body = SignedIn, headers(("Set-Cookie", description = "The session cookie, and the device cookie."))),
        description::WithABody,
    ),
)]
pub(super) async fn sign_in(
    State(site): State<SharedSite>,
    presented: PresentedSessions,
    context: Context,
    JsonBody(given): JsonBody<Credentials>,
) -> Result<Response, Refusal> {
    let mut invalid = Invalid::default();
    let email = invalid.parse("email", EmailAddress::parse(&given.email));
    let password = invalid.parse("password", Password::parse(&given.password).map_err(|_| WRONG));
    let (Some(email), Some(password)) = (email, password) else { return Err(invalid.into()) };
    let request = SignInRequest { email, password, remember: given.remember };
    match site.services.sign_in(&context, request, &presented.sessions).await {
        Ok(cookies) => welcome(&site, &cookies).await,
        Err(SignInError::Wrong) => Err(Invalid::of("password", WRONG).into()),
        Err(SignInError::Throttled(wait)) => Err(WebError::Throttled(wait).into()),
        Err(SignInError::Internal(error)) => Err(error.into()),
    }
}

/// Signs out: before the response, the session is revoked on every node.
#[utoipa::path(
    delete,
    path = "/session",
    responses(
        (status = 204, description = "No user is signed in any more.", headers(("Set-Cookie", description = "Removes the session cookie."))),
        (status = 403, response = description::CrossSite),
        (status = 503, response = description::Unavailable),
    ),
)]
pub(super) async fn sign_out(
    State(site): State<SharedSite>,
    context: Context,
    presented: PresentedSessions,
) -> Result<Response, Refusal> {
    end(&site, &context, &presented).await?;
    Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), site.cookies.remove_session()))
}

/// Creates an account, and signs its user in.
#[utoipa::path(
    post,
    path = "/users",
    request_body = NewUser,
    responses(
        (status = 201, description = "Registered, and signed in.", body = SignedIn, headers(("Set-Cookie", description = "The session cookie, and the device cookie."))),
        description::WithABody,
    ),
)]
pub(super) async fn register(
    State(site): State<SharedSite>,
    presented: PresentedSessions,
    context: Context,
    JsonBody(given): JsonBody<NewUser>,
) -> Result<Response, Refusal> {
    let mut invalid = Invalid::default();
    let name = invalid.parse("name", DisplayName::parse(&given.name));
    let email = invalid.parse("email", EmailAddress::parse(&given.email));
    let password = invalid.parse("password", parse_new_password(&given.password, &site.services.config.password));
    let (Some(name), Some(email), Some(password)) = (name, email, password) else { return Err(invalid.into()) };
    match site.services.register(&context, RegisterRequest { name, email, password }, &presented.sessions).await {
        Ok(cookies) => welcome(&site, &cookies).await,
        Err(RegisterError::Closed) => Err(WebError::refused(StatusCode::FORBIDDEN, "Registration is closed.").into()),
        Err(RegisterError::EmailTaken) => {
            Err(Invalid::of("email", "This e-mail address already has an account.").into())
        }
        Err(RegisterError::Password(refusal)) => Err(Invalid::of("password", refusal).into()),
        Err(RegisterError::Throttled(wait)) => Err(WebError::Throttled(wait).into()),
        Err(RegisterError::Internal(error)) => Err(error.into()),
    }
}

/// Lists the live sessions of the user, the newest sign-in first.
#[utoipa::path(
    get,
    path = "/sessions",
    responses(
        (status = 200, description = "All live sessions of the account.", body = Vec<ListedSession>),
        (status = 401, response = description::Unauthorized),
        (status = 503, response = description::Unavailable),
    ),
    security(("session" = [])),
)]
pub(super) async fn list_sessions(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
) -> Result<Json<Vec<ListedSession>>, Refusal> {
    let list = site.services.sessions.list(session.user.id).await.map_err(InternalError::from)?;
    let listed = list.into_iter().map(|listed| ListedSession {
        id: listed.session_id.to_string(),
        current: listed.secret_hash == session.secret_hash,
        user_agent: listed.user_agent,
        address: listed.address,
        created_at: format_rfc3339(listed.created_at),
        last_seen_at: format_rfc3339(listed.last_seen_at),
    });
    Ok(Json(listed.collect()))
}

/// Revokes one session of the user.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    params(("id" = String, Path, format = Uuid, description = "The session id, as in the list of sessions.")),
    responses(
        (status = 204, description = "The session is revoked on every node."),
        (status = 401, response = description::Unauthorized),
        (status = 403, response = description::CrossSite),
        (status = 404, response = description::NotFound),
        (status = 503, response = description::Unavailable),
    ),
    security(("session" = [])),
)]
pub(super) async fn revoke_session(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    let session_id = Uuid::try_parse(&id).map_err(|_| WebError::not_found())?;
    match site.services.end_session(&context, &session, session_id).await? {
        RevokeOutcome::Revoked => Ok(StatusCode::NO_CONTENT),
        RevokeOutcome::AlreadyEnded | RevokeOutcome::OfAnotherUser => Err(WebError::not_found().into()),
    }
}

/// Revokes all sessions of the user but the one of this request.
#[utoipa::path(
    post,
    path = "/sessions/revoke-others",
    responses(
        (status = 204, description = "All other sessions are revoked on every node."),
        (status = 401, response = description::Unauthorized),
        (status = 403, response = description::CrossSite),
        (status = 503, response = description::Unavailable),
    ),
    security(("session" = [])),
)]
pub(super) async fn revoke_other_sessions(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
) -> Result<StatusCode, Refusal> {
    site.services.end_other_sessions(&context, &session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Changes the password, revokes all other sessions and gives this one a new token.
#[utoipa::path(
    put,
    path = "/password",
    request_body = ChangePassword,
    responses(
        (status = 204, description = "Changed.", headers(("Set-Cookie", description = "The session cookie, with a new token, and the device cookie."))),
        (status = 401, response = description::Unauthorized),
        description::WithABody,
    ),
    security(("session" = [])),
)]
pub(super) async fn change_password(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    context: Context,
    JsonBody(given): JsonBody<ChangePassword>,
) -> Result<Response, Refusal> {
    let mut invalid = Invalid::default();
    let current =
        invalid.parse("current_password", Password::parse(&given.current_password).map_err(|_| WRONG_CURRENT));
    let new = invalid.parse("password", parse_new_password(&given.password, &site.services.config.password));
    let (Some(current), Some(new)) = (current, new) else { return Err(invalid.into()) };
    match site.services.change_password(&context, &session, ChangePasswordRequest { current, new }).await {
        Ok(cookies) => Ok(with_cookies(StatusCode::NO_CONTENT.into_response(), site.cookies.sign_in_cookies(&cookies))),
        Err(ChangePasswordError::WrongPassword) => Err(Invalid::of("current_password", WRONG_CURRENT).into()),
        Err(ChangePasswordError::Password(refusal)) => Err(Invalid::of("password", refusal).into()),
        Err(ChangePasswordError::SignedOut) => Err(WebError::SignedOut.into()),
        Err(ChangePasswordError::Throttled(wait)) => Err(WebError::Throttled(wait).into()),
        Err(ChangePasswordError::Internal(error)) => Err(error.into()),
    }
}

/// The response after a sign-in: the user, the session and the cookies.
async fn welcome(site: &SharedSite, cookies: &SignInCookies) -> Result<Response, Refusal> {
    let SessionLookup::Active(session) = site.services.sessions.find(cookies.token.text.expose()).await? else {
        // The session was revoked in the meantime.
        return Err(WebError::SignedOut.into());
    };
    let response = (StatusCode::CREATED, Json(SignedIn::from(&*session))).into_response();
    Ok(with_cookies(response, site.cookies.sign_in_cookies(cookies)))
}

fn with_cookies(mut response: Response, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    response.headers_mut().extend(cookies.into_iter().map(|cookie| (SET_COOKIE, cookie)));
    response
}

impl From<&LiveSession> for SignedIn {
    fn from(session: &LiveSession) -> Self {
        let user = &session.user;
        Self {
            user: User {
                id: user.id.to_string(),
                name: user.name().to_owned(),
                email: user.email().to_owned(),
                email_verified: user.email_verified,
                groups: user.group_names().map(str::to_owned).collect(),
                created_at: format_rfc3339(user.created_at),
            },
            session: Session {
                id: session.session_id.to_string(),
                expires_at: format_rfc3339(session.claims.expires_at),
            },
        }
    }
}
