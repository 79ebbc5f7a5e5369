//! Seals the events of the audit log, and makes events of the failed sign-ins that were counted.

use std::time::Duration;

use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::FailedSignIns;
use crate::services::{JobOutcome, Services};

/// How many counts of failed sign-ins one transaction replaces by their events.
const COUNTS_AT_ONCE: usize = 100;

const HOUR: Duration = Duration::from_secs(3600);

impl Services {
    /// Seals all events that are not sealed yet. Any node may do that at any time, since sealing holds a lock.
    pub(crate) async fn seal_events(&self) -> Result<JobOutcome, InternalError> {
        let (mut oldest, mut refused) = (self.store.oldest_unsealed_event().await?, 0);
        if oldest.is_some() {
            loop {
                let batch = self.store.seal_events(&self.event_writer.keys, refused).await?;
                self.event_writer.note_sealed(batch.sealed);
                refused += batch.refused;
                if !batch.more {
                    break;
                }
            }
            oldest = self.store.oldest_unsealed_event().await?;
        }
        self.event_writer.note_oldest_unsealed(oldest);
        if refused > 0
            && let Some(unsaid) = self.refused_events.is_due(self.environment.clock_reading().monotonic)
        {
            Event::EventsRefused { events: refused, unsaid }.record();
        }
        Ok(JobOutcome::Done)
    }

    /// Makes an event of each count of failed sign-ins whose hour is over.
    pub(crate) async fn write_failed_sign_ins(&self) -> Result<JobOutcome, InternalError> {
        let context = Context::system();
        loop {
            let counts = self.store.failed_sign_ins(self.sessions.now(), COUNTS_AT_ONCE).await?;
            if counts.is_empty() {
                return Ok(JobOutcome::Done);
            }
            let entry = |counted: FailedSignIns| {
                let event = self.new_event(&context, &Event::AuthnLoginFail { user: counted.user });
                let [from, until] = [counted.from, counted.from.after(HOUR)].map(|time| time.to_string());
                (counted, event.with("from", from).with("until", until))
            };
            self.store.write_failed_sign_ins(counts.into_iter().map(entry).collect()).await?;
        }
    }
}
