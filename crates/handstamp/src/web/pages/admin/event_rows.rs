//! Events of the audit log as the pages of administration list them.

use handstamp_core::{Timestamp, UserId};
use minijinja::{Value, context};

use super::{link, time};
use crate::format::format_relative;
use crate::model::{AuditEvent, EventActor};
use crate::user_agent;
use crate::web::web_error::WebError;
use crate::web::{SharedSite, event_words};

/// From this age on, [`format_relative`] gives the date, which stands beside it anyway.
const SECONDS_OF_RECENT: u64 = 129_600;

/// The rows of events, which name users by their addresses as they are now.
pub(super) async fn rows(site: &SharedSite, events: &[AuditEvent], now: Timestamp) -> Result<Vec<Value>, WebError> {
    let named: Vec<UserId> = events.iter().flat_map(|event| [event.user, event.operator]).flatten().collect();
    let addresses = site.services.addresses_of(&named).await?;
    let person = |id: UserId| {
        let email = addresses.get(&id.as_uuid());
        context! {
            id => id.to_string(), email, href => email.map(|_| link(site, &format!("/account/admin/users/{id}"), &[])),
        }
    };
    let row = |event: &AuditEvent| {
        let at = event_words::time(event);
        let has_client = !event.user_agent.is_empty() || !event.address.is_empty();
        context! {
            what => event_words::describe_to_operators(event),
            name => event.event.as_str(),
            time => time(at),
            ago => (now.since(at).as_secs() < SECONDS_OF_RECENT).then(|| format_relative(at, now)),
            user => event.user.map(person),
            by => by(event),
            operator => event.operator.map(person),
            browser => has_client.then(|| user_agent::describe(&event.user_agent)),
            address => event.address.as_str(),
        }
    };
    Ok(events.iter().map(row).collect())
}

/// The actor of an event in words.
fn by(event: &AuditEvent) -> &'static str {
    match event.actor {
        EventActor::User => "the user",
        EventActor::Visitor => "a visitor",
        EventActor::Operator if event.operator.is_some() => "the administrator",
        EventActor::Operator => "a command, or the application",
        EventActor::System => "Handstamp",
        EventActor::Unknown => "an unknown actor",
    }
}
