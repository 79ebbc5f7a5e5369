//! An operator searches the audit log, a page at a time.

use uuid::Uuid;

use crate::model::{AuditEvent, EventPage, EventSearch};
use crate::services::{ActError, Services};

/// How many events one statement reads.
const READ_AT_ONCE: usize = 500;
/// How many events are read for a page at most. Where few of them are found, the page is short, and the next one goes on.
const READ_FOR_A_PAGE: usize = 5000;

impl EventSearch {
    /// Whether an event is found. The statements of the store check one of the conditions by an index, and not the others.
    fn finds(&self, event: &AuditEvent) -> bool {
        self.name.as_ref().is_none_or(|name| *name == event.event)
            && self.user.is_none_or(|user| event.user == Some(user))
            && self.actor.is_none_or(|actor| event.actor == actor)
    }
}

impl Services {
    /// A page of at most `limit` events, the newest first.
    pub(crate) async fn search_events(&self, search: &EventSearch, limit: usize) -> Result<EventPage, ActError> {
        let (mut events, mut read) = (Vec::new(), 0);
        let mut before = search.before.unwrap_or(Uuid::max());
        loop {
            let asked = if read == 0 { limit + 1 } else { READ_AT_ONCE };
            let rows = self.store.search_events(search, before, asked).await?;
            let is_end = rows.len() < asked;
            read += rows.len();
            before = rows.last().map_or(before, |event| event.id);
            events.extend(rows.into_iter().filter(|event| search.finds(event)));
            if events.len() > limit {
                events.truncate(limit);
                let next = events.last().map(|event| event.id);
                return Ok(EventPage { events, next });
            }
            if is_end || read >= READ_FOR_A_PAGE {
                return Ok(EventPage { events, next: (!is_end).then_some(before) });
            }
        }
    }
}
