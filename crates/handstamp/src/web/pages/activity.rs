//! The page that shows users what has happened to their account.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::Timestamp;
use minijinja::{Value, context};
use uuid::Uuid;

use crate::format::{format_datetime, format_relative, format_rfc3339};
use crate::model::{AuditEvent, EventActor, ListEvents};
use crate::sessions::Session;
use crate::user_agent;
use crate::web::SharedSite;
use crate::web::event_words;
use crate::web::form::FormFields;
use crate::web::respond::page;
use crate::web::user::{SignedInUser, Visitor};
use crate::web::web_error::WebError;

const EVENTS_OF_A_PAGE: usize = 25;

/// From this age on, [`format_relative`] gives the date, which stands beside it anyway.
const SECONDS_OF_RECENT: u64 = 129_600;

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    SignedInUser(session): SignedInUser,
    RawQuery(query): RawQuery,
) -> Result<Response, WebError> {
    let before = before(query.as_deref().unwrap_or_default())?;
    let query =
        ListEvents { user: Some(session.user.id), before, limit: EVENTS_OF_A_PAGE + 1, ..ListEvents::default() };
    let mut events = site.services.list_events(&query).await?;
    let has_more = events.len() > EVENTS_OF_A_PAGE;
    events.truncate(EVENTS_OF_A_PAGE);
    let now = site.services.sessions.now();
    let older = events.last().filter(|_| has_more).map(|event| event.id.to_string());
    let rows: Vec<Value> = events.into_iter().map(|event| row(&event.without_operator(), &session, now)).collect();
    let values = context! { events => rows, older, is_first => before.is_none() };
    page(&site, &Visitor::Authenticated(session), StatusCode::OK, "account/activity.html", values)
}

/// The id of the event before which the page begins.
fn before(query: &str) -> Result<Option<Uuid>, WebError> {
    let fields = FormFields::parse(query.as_bytes())?;
    match fields.get("before")? {
        "" => Ok(None),
        id => Uuid::try_parse(id).map(Some).map_err(|_| WebError::not_found()),
    }
}

fn row(event: &AuditEvent, reading: &Session, now: Timestamp) -> Value {
    let time = event_words::time(event);
    let is_recent = now.since(time).as_secs() < SECONDS_OF_RECENT;
    let has_client = !event.user_agent.is_empty() || !event.address.is_empty();
    context! {
        what => event_words::describe(event),
        time => format_datetime(time),
        time_iso => format_rfc3339(time),
        ago => is_recent.then(|| format_relative(time, now)),
        browser => has_client.then(|| user_agent::describe(&event.user_agent)),
        address => event.address.as_str(),
        by_operator => event.actor == EventActor::Operator,
        current => event.session_id == Some(reading.session_id),
    }
}
