//! The command `handstamp events`, by which operators list and verify the audit log.

use std::collections::HashMap;

use handstamp::{AuditEvent, AuditLog, AuditReport, EventActor, EventHead, ListEvents, UserId, Users};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use uuid::Uuid;

use crate::cli::{EventsCommand, ListEventsArgs, OutputFlags};
use crate::commands::{find, say, show_json, with_handstamp};
use crate::settings::Settings;
use crate::{CliError, table};

pub(crate) fn run(settings: Settings, command: EventsCommand) -> Result<(), CliError> {
    with_handstamp(settings, async |handstamp| {
        let (log, users) = (handstamp.audit_log(), handstamp.users());
        match command {
            EventsCommand::List { events, output, .. } => {
                let events = list(&log, &users, events).await?;
                if output.json { show_json(&json!(events)) } else { show_events(&users, &events).await }
            }
            EventsCommand::Head { output, .. } => show_head(log.head().await?, output),
            EventsCommand::Verify { since, output, .. } => {
                let bar = progress_bar();
                let report = log.verify(since, |verified, all| show_progress(&bar, verified, all)).await;
                bar.finish_and_clear();
                show_report(&report?, output)
            }
        }
    })
}

/// The events that the flags ask for, in as many pages as they take.
async fn list(log: &AuditLog, users: &Users, args: ListEventsArgs) -> Result<Vec<AuditEvent>, CliError> {
    let mut query = ListEvents::default();
    (query.event, query.after) = (args.name, args.after);
    query.user = match args.user {
        None => None,
        Some(user) => Some(match Uuid::try_parse(&user) {
            Ok(id) => UserId::from_uuid(id),
            Err(_) => find(users, &user).await?.id,
        }),
    };
    let mut events = Vec::new();
    while events.len() < args.limit {
        query.limit = (args.limit - events.len()).min(ListEvents::MAX_LIMIT);
        let page = log.list(&query).await?;
        let Some(last) = page.last() else { break };
        query.before = Some(last.id);
        query.after = query.after.and(last.position);
        events.extend(page);
    }
    Ok(events)
}

async fn show_events(users: &Users, events: &[AuditEvent]) -> Result<(), CliError> {
    if events.is_empty() {
        return say("There are no such events.");
    }
    let mut addresses = HashMap::new();
    let mut rows = Vec::new();
    for event in events {
        let user = match event.user {
            None => String::new(),
            Some(id) => {
                if let std::collections::hash_map::Entry::Vacant(entry) = addresses.entry(id) {
                    // A user who is being deleted has no address any more.
                    entry.insert(users.get(id).await.map_or_else(|_| id.to_string(), |user| user.email));
                }
                addresses[&id].clone()
            }
        };
        let position = event.position.map_or_else(String::new, |position| position.to_string());
        let details: Vec<_> = event.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cells = [
            position,
            event.time.to_string(),
            event.event.clone(),
            user,
            actor(event.actor).to_owned(),
            event.address.clone(),
            details.join(" "),
        ];
        rows.push(cells.map(|cell| printable(&cell)).to_vec());
    }
    table::print(&["position", "time", "event", "user", "by", "address", "details"], &rows).map_err(CliError::failure)
}

fn actor(actor: EventActor) -> &'static str {
    match actor {
        EventActor::Visitor => "visitor",
        EventActor::User => "user",
        EventActor::Operator => "operator",
        EventActor::System => "system",
        _ => "unknown",
    }
}

/// A text without control characters, since a terminal would obey them.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

fn show_head(head: EventHead, output: OutputFlags) -> Result<(), CliError> {
    if output.json {
        let text = head.to_string();
        let link = text.split_once(':').map_or("", |(_, link)| link);
        show_json(&json!({ "head": text, "position": head.position, "link": link }))
    } else {
        say(&head.to_string())
    }
}

/// A progress bar on standard error, if that is a terminal.
fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {pos} of {len} events  {eta} left");
    ProgressBar::new(0).with_style(style.expect("the template is valid"))
}

fn show_progress(bar: &ProgressBar, verified: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(verified);
}

fn show_report(report: &AuditReport, output: OutputFlags) -> Result<(), CliError> {
    if output.json {
        show_json(&json!(report))?;
    }
    if let Some(problem) = &report.problem {
        return Err(CliError::not_intact(format!("the audit log is not intact: {problem}")));
    }
    if output.json {
        return Ok(());
    }
    say(&format!("The audit log is intact: {}.", in_words(report.head.position)))?;
    for (count, what) in [
        (report.erased, "erased when their users were deleted"),
        (report.unsealed, "not sealed yet"),
        (report.unknown_keys, "sealed by a key of an earlier secret, and proven by later seals"),
    ] {
        if count > 0 {
            say(&format!("{} {what}", in_words(count)))?;
        }
    }
    say(&format!("Head: {}", report.head))
}

fn in_words(events: u64) -> String {
    format!("{events} event{}", if events == 1 { "" } else { "s" })
}
