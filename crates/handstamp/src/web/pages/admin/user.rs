//! The page of one user for administrators, and the acts on the user.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::{EmailAddress, Timestamp, UserId};
use minijinja::{Value, context};
use uuid::Uuid;

use super::{admin_page, link, time};
use crate::format::{format_relative, format_rfc3339};
use crate::model::{Field, FieldErrors, LastAdministrator, ListEvents, ListedSession, Message, Passkey};
use crate::services::{ActError, OperatorAct, UserOverview};
use crate::sessions::Session;
use crate::user_agent;
use crate::web::SharedSite;
use crate::web::extract::Administrator;
use crate::web::form::{FormFields, QueryFields};
use crate::web::pages::messages;
use crate::web::redirect::see_other;
use crate::web::web_error::WebError;

const USERS: &str = "/account/admin/users";

/// The notices after an act, by their names in the URL.
const NOTICES: &[(&str, &str)] = &[
    ("disabled", "The account is disabled, and the user is signed out everywhere."),
    ("enabled", "The account is enabled."),
    ("unlocked", "The wrong passwords and codes are forgotten."),
    ("nothing-to-unlock", "There were no wrong passwords or codes."),
    ("sessions-ended", "The user is signed out everywhere."),
    ("link-mailed", "The link is on its way to the user."),
    ("factors-reset", "The second factors and passkeys are removed, and the user is signed out everywhere."),
    ("groups-changed", "The groups are changed."),
];

/// The outcome of an act, and the texts that were typed, which the page shows beside the user.
#[derive(Default)]
struct Shown<'a> {
    status: StatusCode,
    notice: Option<&'static str>,
    /// Why an act was refused.
    refusal: Option<Message>,
    group: &'a str,
    email: &'a str,
    errors: FieldErrors,
}

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    Administrator { session, .. }: Administrator,
    Path(id): Path<String>,
    QueryFields(fields): QueryFields,
) -> Result<Response, WebError> {
    let asked = fields.get("notice")?;
    let notice = NOTICES.iter().find(|(name, _)| *name == asked).map(|(_, words)| *words);
    user_page(&site, &session, user_id(&id)?, Shown { notice, ..Shown::default() }).await
}

pub(in crate::web) async fn disable(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let id = user_id(&id)?;
    let done = site.services.set_user_disabled(&context, id, true, LastAdministrator::Stays).await;
    answer(&site, &session, id, done.map(|()| "disabled"), Shown::default()).await
}

pub(in crate::web) async fn enable(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let id = user_id(&id)?;
    let done = site.services.set_user_disabled(&context, id, false, LastAdministrator::Stays).await;
    answer(&site, &session, id, done.map(|()| "enabled"), Shown::default()).await
}

pub(in crate::web) async fn unlock(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let id = user_id(&id)?;
    let done = site.services.unlock_user(&context, id).await;
    let done = done.map(|found| if found { "unlocked" } else { "nothing-to-unlock" });
    answer(&site, &session, id, done, Shown::default()).await
}

pub(in crate::web) async fn end_sessions(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let id = user_id(&id)?;
    let done = site.services.revoke_sessions_of(&context, id).await;
    answer(&site, &session, id, done.map(|_| "sessions-ended"), Shown::default()).await
}

pub(in crate::web) async fn mail_reset_link(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let id = user_id(&id)?;
    let done = site.services.mail_reset_link(&context, id).await;
    answer(&site, &session, id, done.map(|()| "link-mailed"), Shown::default()).await
}

pub(in crate::web) async fn reset_factors(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let id = user_id(&id)?;
    let done = site.services.reset_factors(&context, id).await;
    answer(&site, &session, id, done.map(|_| "factors-reset"), Shown::default()).await
}

/// Adds the user to `group`, or removes the user from the group `remove`.
pub(in crate::web) async fn change_groups(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    Path(id): Path<String>,
    fields: FormFields,
) -> Result<Response, WebError> {
    let id = user_id(&id)?;
    let (group, remove) = (fields.get("group")?.trim(), fields.get("remove")?);
    let removed: &[&str] = if remove.is_empty() { &[] } else { &[remove] };
    let added: &[&str] = if group.is_empty() && !remove.is_empty() { &[] } else { &[group] };
    let done = site.services.change_groups(&context, id, added, removed, LastAdministrator::Stays).await;
    answer(&site, &session, id, done.map(|()| "groups-changed"), Shown { group, ..Shown::default() }).await
}

/// Deletes the user whose address was typed again.
pub(in crate::web) async fn delete(
    State(site): State<SharedSite>,
    Administrator { session, context }: Administrator,
    Path(id): Path<String>,
    fields: FormFields,
) -> Result<Response, WebError> {
    let id = user_id(&id)?;
    let email = fields.get("email")?.trim();
    let shown = Shown { email, ..Shown::default() };
    let user = match site.services.user(id).await {
        Ok(user) => user,
        // Of a form that is sent twice, the first has deleted the user.
        Err(ActError::NotFound(_)) if site.services.is_deleted(&context, id).await? => return Ok(deleted(&site)),
        Err(error) => return Err(error.into()),
    };
    let key = |text: &str| EmailAddress::parse(text).ok().map(|email| email.key().to_owned());
    if key(email).is_none() || key(email) != key(&user.email) {
        let errors = FieldErrors::of(Field::Email, Message::OtherAddress);
        return answer(&site, &session, id, Err(errors.into()), shown).await;
    }
    match site.services.delete_user(&context, id, LastAdministrator::Stays).await {
        Ok(()) => Ok(deleted(&site)),
        Err(error) => answer(&site, &session, id, Err(error), shown).await,
    }
}

fn deleted(site: &SharedSite) -> Response {
    see_other(&site.urls.page("/account/admin/users?notice=deleted"))
}

/// The id of a user in a path.
fn user_id(text: &str) -> Result<UserId, WebError> {
    Uuid::try_parse(text).map(UserId::from_uuid).map_err(|_| WebError::not_found())
}

/// The answer to an act: a redirect to the page of the user, or the page with the reason why it was refused.
async fn answer(
    site: &SharedSite,
    session: &Arc<Session>,
    id: UserId,
    done: Result<&str, ActError>,
    shown: Shown<'_>,
) -> Result<Response, WebError> {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    match done {
        Ok(notice) => Ok(see_other(&site.urls.page(&format!("{USERS}/{id}?notice={notice}")))),
        Err(ActError::Fields(errors)) => user_page(site, session, id, Shown { status, errors, ..shown }).await,
        Err(ActError::Forbidden(message)) => {
            user_page(site, session, id, Shown { status, refusal: Some(message), ..shown }).await
        }
        Err(error) => Err(error.into()),
    }
}

async fn user_page(
    site: &SharedSite,
    session: &Arc<Session>,
    id: UserId,
    shown: Shown<'_>,
) -> Result<Response, WebError> {
    const EVENTS: usize = 10;
    let overview = site.services.user_overview(session.user.id, id).await?;
    let query = ListEvents { user: Some(id), limit: EVENTS + 1, ..ListEvents::default() };
    let mut events = site.services.list_events(&query).await?;
    let has_more = events.len() > EVENTS;
    events.truncate(EVENTS);
    let now = site.services.sessions.now();
    let UserOverview { user, factors, passkeys, sessions, .. } = &overview;
    let why_not = |act| overview.refusal(act).map(|message| message.to_string());
    let events = super::event_rows::rows(site, &events, now).await?;
    let values = context! {
        notice => shown.notice,
        refusal => shown.refusal.map(|message| message.to_string()),
        here => link(site, &format!("{USERS}/{id}"), &[]),
        user => context! {
            id => id.to_string(), name => user.name.as_str(), email => user.email.as_str(), email_verified => user.email_verified,
            created => time(user.created_at), signed_in => user.signed_in_at.map(time), disabled => user.disabled,
            groups => user.groups.clone(), legacy_id => user.legacy_id.as_deref(),
        },
        has_password => factors.has_password,
        totp_since => factors.totp_since.map(time),
        recovery_codes => factors.recovery_codes,
        passkeys => passkeys.iter().map(passkey_row).collect::<Vec<_>>(),
        sessions => sessions.iter().map(|listed| session_row(listed, now)).collect::<Vec<_>>(),
        events,
        all_events => has_more.then(|| link(site, "/account/admin/events", &[("user", &id.to_string())])),
        why_not => context! {
            disable => why_not(OperatorAct::Disable), end_sessions => why_not(OperatorAct::EndSessions),
            reset_link => why_not(OperatorAct::MailResetLink), reset_factors => why_not(OperatorAct::ResetFactors),
            demote => why_not(OperatorAct::Demote), delete => why_not(OperatorAct::Delete),
        },
        values => context! { group => shown.group, email => shown.email },
        errors => messages(&shown.errors, &[Field::Group, Field::Email]),
    };
    admin_page(site, session, shown.status, "admin/user.html", values)
}

fn passkey_row(passkey: &Passkey) -> Value {
    context! {
        name => passkey.name.as_str(), synced => passkey.backed_up, created => time(passkey.created_at),
        used => passkey.used_at.map(time),
    }
}

fn session_row(listed: &ListedSession, now: Timestamp) -> Value {
    context! {
        browser => user_agent::describe(&listed.user_agent),
        address => listed.address.as_str(),
        since => time(listed.created_at),
        last_seen => context! {
            text => format_relative(listed.last_seen_at, now), iso => format_rfc3339(listed.last_seen_at),
        },
    }
}
