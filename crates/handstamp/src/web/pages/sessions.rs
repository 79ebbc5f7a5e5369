//! The page that lists the sessions of the user, and revokes them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::{Value, context};
use uuid::Uuid;

use crate::context::Context;
use crate::format::{format_datetime, format_relative, format_rfc3339};
use crate::model::{ListedSession, RevokeOutcome};
use crate::sessions::Session;
use crate::user_agent::describe;
use crate::web::SharedSite;
use crate::web::form::FormFields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

const HERE: &str = "/account/sessions";

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
) -> Result<Response, WebError> {
    let mut list = site.services.sessions.list(session.user.id).await?;
    // The current session comes first, since a user who looks for an unknown device starts with the known one.
    list.sort_by_key(|listed| listed.secret_hash != session.secret_hash);
    let now = site.services.sessions.now();
    let rows: Vec<Value> = list.iter().map(|listed| row(listed, &session, now)).collect();
    let values = context! { sessions => rows, has_others => list.len() > 1 };
    page(&site, &Visitor::Authenticated(session), StatusCode::OK, "account/sessions.html", values)
}

fn row(listed: &ListedSession, asking: &Session, now: handstamp_core::Timestamp) -> Value {
    context! {
        browser => describe(&listed.user_agent),
        address => listed.address.as_str(),
        since => format_datetime(listed.created_at),
        since_iso => format_rfc3339(listed.created_at),
        last_seen => format_relative(listed.last_seen_at, now),
        last_seen_iso => format_rfc3339(listed.last_seen_at),
        current => listed.secret_hash == asking.secret_hash,
        id => listed.session_id.to_string(),
    }
}

pub(in crate::web) async fn revoke(
    State(site): State<SharedSite>,
    context: Context,
    SignedInUser(session): SignedInUser,
    fields: FormFields,
) -> Result<Response, WebError> {
    let session_id =
        Uuid::try_parse(fields.get("session")?).ok().filter(|session_id| session_id.get_version_num() == 4);
    let session_id = session_id.ok_or_else(WebError::not_found)?;
    match site.services.end_session(&context, &session, session_id).await? {
        // A form that is sent twice finds the session revoked.
        RevokeOutcome::Revoked | RevokeOutcome::AlreadyEnded => Ok(see_other(&site.urls.page(HERE))),
        RevokeOutcome::OfAnotherUser => Err(WebError::not_found()),
    }
}

pub(in crate::web) async fn revoke_others(
    State(site): State<SharedSite>,
    context: Context,
    SignedInUser(session): SignedInUser,
) -> Result<Response, WebError> {
    site.services.end_other_sessions(&context, &session).await?;
    Ok(see_other(&site.urls.page(HERE)))
}
