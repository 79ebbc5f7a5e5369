//! Revokes sessions from the user's own list of sessions.

use uuid::Uuid;

use super::Services;
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::RevokeOutcome;
use crate::sessions::Session;

impl Services {
    /// Revokes one session of the signed-in user, by its session id (`session_id`).
    pub(crate) async fn end_session(
        &self,
        context: &Context,
        asking: &Session,
        session_id: Uuid,
    ) -> Result<RevokeOutcome, InternalError> {
        let event = Event::SessionRevoked { user: Some(asking.user.id), sessions: 1 };
        let entry = self.new_event(context, &event);
        let ended = self.store.end_session_by_id(asking.user.id, session_id, entry).await?;
        let ended = self.sessions.wait_until_applied(ended).await?;
        if ended == RevokeOutcome::Revoked {
            self.record(context, &event);
        }
        Ok(ended)
    }

    /// Revokes all sessions of the signed-in user but the current one.
    pub(crate) async fn end_other_sessions(&self, context: &Context, asking: &Session) -> Result<(), InternalError> {
        let event = |sessions| Event::SessionRevoked { user: Some(asking.user.id), sessions };
        let entry = self.new_event(context, &event(0));
        let ended = self.store.end_other_sessions(asking.user.id, asking.secret_hash, entry).await?;
        let sessions = self.sessions.wait_until_applied(ended).await?;
        self.record(context, &event(sessions));
        Ok(())
    }
}
