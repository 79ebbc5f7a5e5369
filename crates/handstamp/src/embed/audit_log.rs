//! The handle for the audit log: listing its events and verifying it.

use std::sync::Arc;

use handstamp_core::EventHead;

use crate::error::Error;
use crate::model::{AuditEvent, AuditReport, ListEvents};
use crate::services::Services;

/// The audit log of a site: [`Handstamp::audit_log`](crate::Handstamp::audit_log). Each act writes its event in its own
/// transaction, and a job seals the events within a second.
#[derive(Clone)]
pub struct AuditLog(Arc<Services>);

impl AuditLog {
    pub(crate) fn new(services: &Arc<Services>) -> Self {
        Self(Arc::clone(services))
    }

    /// A page of events, such as those of one user. Events of deleted users are not among them.
    ///
    /// ```no_run
    /// # async fn show(handstamp: handstamp::Handstamp, user: handstamp::UserId) -> Result<(), handstamp::Error> {
    /// let mut query = handstamp::ListEvents::default();
    /// query.user = Some(user);
    /// for event in handstamp.audit_log().list(&query).await? {
    ///     println!("{} {} from {}", event.time, event.event, event.address);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, query: &ListEvents) -> Result<Vec<AuditEvent>, Error> {
        Ok(self.0.list_events(query).await?)
    }

    /// The head of the sealed events, which proves all of them. Keep it outside of the database, for [`verify`](Self::verify).
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn head(&self) -> Result<EventHead, Error> {
        Ok(self.0.events_head().await?)
    }

    /// Verifies the whole log, and that it leads to `since`, a head that was kept. Without one, events that were removed from the
    /// end cannot be noticed. Calls `progress` with the number of verified events and of all events, after every two thousand.
    ///
    /// # Errors
    /// When the database cannot be read. The report has the problem of a log that was changed.
    pub async fn verify(
        &self,
        since: Option<EventHead>,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<AuditReport, Error> {
        Ok(self.0.verify_events(since, &mut progress).await?)
    }
}
