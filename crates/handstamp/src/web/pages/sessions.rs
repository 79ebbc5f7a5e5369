//! The page that lists the sessions of the user, and revokes them.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use minijinja::{Value, context};
use uuid::Uuid;

use crate::sessions::Session;
use crate::store::{ByHandle, ListedSession};
use crate::web::SharedSite;
use crate::web::device::describe;
use crate::web::failure::Failure;
use crate::web::form::Fields;
use crate::web::redirect::see_other;
use crate::web::respond::page;
use crate::web::user::{Member, Visitor};
use crate::web::views::{ago, iso, moment};

const HERE: &str = "/account/sessions";

pub(in crate::web) async fn show(State(site): State<SharedSite>, Member(session): Member) -> Result<Response, Failure> {
    let mut list = site.accounts.sessions.list(session.user.id).await?;
    // The current session comes first, since a user who looks for an unknown device starts with the known one.
    list.sort_by_key(|listed| listed.id_hash != session.id_hash);
    let now = site.accounts.sessions.now();
    let rows: Vec<Value> = list.iter().map(|listed| row(listed, &session, now)).collect();
    let values = context! { sessions => rows, has_others => list.len() > 1 };
    page(&site, &Visitor::Member(session), StatusCode::OK, "sessions.html", values)
}

fn row(listed: &ListedSession, asking: &Session, now: handstamp_core::Timestamp) -> Value {
    context! {
        browser => describe(&listed.user_agent),
        address => listed.address.as_str(),
        since => moment(listed.created_at),
        since_iso => iso(listed.created_at),
        last_seen => ago(listed.last_seen_at, now),
        last_seen_iso => iso(listed.last_seen_at),
        current => listed.id_hash == asking.id_hash,
        handle => listed.handle.to_string(),
    }
}

pub(in crate::web) async fn revoke(
    State(site): State<SharedSite>,
    Member(session): Member,
    fields: Fields,
) -> Result<Response, Failure> {
    let handle = Uuid::try_parse(fields.get("session")?).ok().filter(|handle| handle.get_version_num() == 4);
    let handle = handle.ok_or_else(Failure::not_found)?;
    match site.accounts.end_session(&session, handle).await? {
        // A form that is sent twice finds the session revoked.
        ByHandle::Ended | ByHandle::HadEnded => Ok(see_other(&site.places.page(HERE))),
        ByHandle::OfAnother => Err(Failure::not_found()),
    }
}

pub(in crate::web) async fn revoke_others(
    State(site): State<SharedSite>,
    Member(session): Member,
) -> Result<Response, Failure> {
    site.accounts.end_other_sessions(&session).await?;
    Ok(see_other(&site.places.page(HERE)))
}
