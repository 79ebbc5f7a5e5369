//! The audit log: makes the entries that the transactions of acts write, seals them, and lists them.

mod seal;
mod verify;

use std::sync::Arc;

use handstamp_core::{EventHead, UserId};

use super::Services;
use crate::context::{Actor, Context};
use crate::events::{Event, EventFields};
use crate::internal_error::InternalError;
use crate::log;
use crate::model::{AuditEvent, AuditReport, EventActor, EventContent, ListEvents, NewEvent};
use verify::Progress;

/// The most events that one transaction erases, so that none takes long. Only scripts that sign in for years have more.
const ERASED_AT_ONCE: usize = 5000;

impl Services {
    /// The entry of an act in the audit log, which the transaction of the act writes by `Tx::write_event`.
    pub(crate) fn new_event(&self, context: &Context, event: &Event<'_>) -> NewEvent {
        let EventFields { user, others } = event.fields();
        let client = &context.client;
        let (actor, session) = match context.actor {
            Actor::User { id, session_id } if user == Some(id) => (EventActor::User, Some(session_id)),
            // Another user of the same browser, of whom nothing must stay when that account is deleted.
            Actor::Visitor | Actor::User { .. } => (EventActor::Visitor, None),
            Actor::Operator => (EventActor::Operator, None),
            Actor::Administrator { session_id, .. } => (EventActor::Operator, Some(session_id)),
            Actor::System => (EventActor::System, None),
        };
        let content = EventContent {
            actor,
            operator: context.actor.administrator().map(|id| id.as_uuid()),
            address: client.address.clone(),
            user_agent: client.user_agent.clone(),
            session,
            request: log::request_id().map_or_else(String::new, |id| id.as_str().to_owned()),
            fields: others,
        };
        NewEvent {
            id: self.event_writer.new_id(self.sessions.clock(), self.environment.random()),
            time: self.sessions.now(),
            name: event.name(),
            user,
            content,
            salt: self.environment.random(),
            message: None,
            is_sent: self.config.webhooks.sends(event.name()),
            deleted: None,
            writer: Arc::clone(&self.event_writer),
        }
    }

    /// A page of the audit log.
    pub(crate) async fn list_events(&self, query: &ListEvents) -> Result<Vec<AuditEvent>, InternalError> {
        Ok(self.store.list_events(query).await?)
    }

    /// The newest sealed position and its link.
    pub(crate) async fn events_head(&self) -> Result<EventHead, InternalError> {
        Ok(self.store.events_head().await?)
    }

    /// Verifies the audit log, and that it leads to the head `since`.
    pub(crate) async fn verify_events(
        &self,
        since: Option<EventHead>,
        progress: &mut Progress<'_>,
    ) -> Result<AuditReport, InternalError> {
        verify::verify(&self.store, &self.event_writer.keys, since, progress).await
    }

    /// Erases the events of a user who is being deleted, until the rest is few enough for the transaction that deletes the user.
    pub(super) async fn erase_most_events(&self, context: &Context, user: UserId) -> Result<(), InternalError> {
        let event = Event::EventsErased {};
        while self.store.erase_some_events(user, ERASED_AT_ONCE, self.new_event(context, &event)).await? > 0 {
            event.record_for(context);
        }
        Ok(())
    }
}
