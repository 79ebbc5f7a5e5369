//! The page on which an administrator searches the audit log.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use handstamp_core::{Timestamp, UserId};
use minijinja::context;
use uuid::Uuid;

use super::{admin_page, event_rows, link};
use crate::events::ACTS;
use crate::model::{EventActor, EventSearch, Field, FieldErrors, Message};
use crate::services::ActError;
use crate::web::SharedSite;
use crate::web::extract::Administrator;
use crate::web::form::QueryFields;
use crate::web::pages::messages;
use crate::web::web_error::WebError;

const HERE: &str = "/account/admin/events";
const EVENTS_OF_A_PAGE: usize = 50;

/// The events that can be chosen beside those of acts.
const OTHERS: [&str; 4] = ["authn_login_fail", "events_erased", "users_imported", "users_exported"];

/// The actors that can be chosen, with their names.
const ACTORS: [(&str, EventActor); 4] = [
    ("operator", EventActor::Operator),
    ("user", EventActor::User),
    ("visitor", EventActor::Visitor),
    ("system", EventActor::System),
];

pub(in crate::web) async fn show(
    State(site): State<SharedSite>,
    Administrator { session, .. }: Administrator,
    QueryFields(fields): QueryFields,
) -> Result<Response, WebError> {
    let typed = |name: &str| fields.get(name).map(str::trim);
    let (event, user, actor) = (typed("event")?, typed("user")?, typed("actor")?);
    let (from, until, before) = (typed("from")?, typed("until")?, typed("before")?);
    let mut errors = FieldErrors::default();
    let search = EventSearch {
        name: (!event.is_empty()).then(|| event.to_owned()),
        user: errors.check(Field::User, user_id(&site, user).await?).flatten(),
        actor: ACTORS.iter().find(|(name, _)| *name == actor).map(|(_, actor)| *actor),
        from: errors.check(Field::From, time(from)).flatten(),
        until: errors.check(Field::Until, time(until)).flatten(),
        before: match before {
            "" => None,
            id => Some(Uuid::try_parse(id).map_err(|_| WebError::not_found())?),
        },
    };
    let has_errors = errors.iter().next().is_some();
    let (rows, next) = if has_errors {
        (Vec::new(), None)
    } else {
        let page = site.services.search_events(&search, EVENTS_OF_A_PAGE).await?;
        (event_rows::rows(&site, &page.events, site.services.sessions.now()).await?, page.next)
    };
    let filters = [("event", event), ("user", user), ("actor", actor), ("from", from), ("until", until)];
    let older = next.map(|next| {
        let next = next.to_string();
        link(&site, HERE, &[filters.as_slice(), &[("before", next.as_str())]].concat())
    });
    let names: Vec<&str> = ACTS.iter().copied().chain(OTHERS).collect();
    let values = context! {
        events => rows,
        older,
        newest => search.before.map(|_| link(&site, HERE, &filters)),
        is_filtered => filters.iter().any(|(_, value)| !value.is_empty()),
        names,
        actors => ACTORS.map(|(name, _)| name).to_vec(),
        values => context! { event, user, actor, from, until },
        errors => messages(&errors, &[Field::User, Field::From, Field::Until]),
    };
    let status = if has_errors { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    admin_page(&site, &session, status, "admin/events.html", values)
}

/// The user of an id, which may be deleted, or of an address.
async fn user_id(site: &SharedSite, text: &str) -> Result<Result<Option<UserId>, Message>, WebError> {
    if text.is_empty() {
        return Ok(Ok(None));
    }
    if let Ok(id) = Uuid::try_parse(text) {
        return Ok(Ok(Some(UserId::from_uuid(id))));
    }
    match site.services.user_by_email(text).await {
        Ok(Some(user)) => Ok(Ok(Some(user.id))),
        Ok(None) | Err(ActError::Fields(_)) => Ok(Err(Message::NoAccount)),
        Err(error) => Err(error.into()),
    }
}

/// A time in UTC, as a field of the browser gives it: `2027-01-15T08:00`.
fn time(text: &str) -> Result<Option<Timestamp>, Message> {
    if text.is_empty() {
        return Ok(None);
    }
    // The parser would leave out an offset, as of +01:00.
    if text.get(10..).is_none_or(|clock| clock.contains(['+', '-'])) {
        return Err(Message::TimeMalformed);
    }
    let time: jiff::civil::DateTime = text.trim_end_matches('Z').parse().map_err(|_| Message::TimeMalformed)?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| Message::TimeMalformed)?;
    let seconds = u64::try_from(time.timestamp().as_second()).map_err(|_| Message::TimeMalformed)?;
    Ok(Some(Timestamp::from_unix_seconds(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_a_browser_gives_them_in_utc() {
        for text in ["2027-01-15T08:00", "2027-01-15T08:00:00", "2027-01-15T08:00:00Z", "2027-01-15 08:00"] {
            assert_eq!(time(text), Ok(Some(Timestamp::from_unix_seconds(1_800_000_000))), "{text}");
        }
        assert_eq!(time(""), Ok(None));
        for text in
            ["yesterday", "2027-13-01T00:00", "1969-12-31T23:59", "2027-01-15T08:00+01:00", "9".repeat(999).as_str()]
        {
            assert_eq!(time(text), Err(Message::TimeMalformed), "{text}");
        }
    }
}
