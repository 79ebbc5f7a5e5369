//! Signs out: revokes the sessions whose tokens a browser shows.

use super::Services;
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{OwnedSession, PresentedLegacy};

impl Services {
    /// Revokes sessions: when this returns, every copy of their tokens is dead on every node. It also waits for sessions that have
    /// ended already, since some node may not have applied that yet. Sessions of the former framework, and those that they were
    /// exchanged for, end with them: otherwise the next request would sign in again.
    pub(crate) async fn sign_out(
        &self,
        context: &Context,
        presented: &[OwnedSession],
        legacy: &[PresentedLegacy],
    ) -> Result<(), InternalError> {
        let event = |session: &OwnedSession| Event::SessionEnded { user: session.user_id };
        let end = self.legacy_end(legacy).await?;
        let ended = presented.iter().map(|session| (*session, self.new_event(context, &event(session)))).collect();
        self.sessions.wait_until_applied(self.store.end_sessions_and_legacy(ended, &end).await?).await?;
        for session in presented {
            self.record(context, &event(session));
        }
        if !end.digests.is_empty() {
            Event::LegacySessionEnded { sessions: end.digests.len() as u64 }.record_for(context);
        }
        Ok(())
    }
}
