//! Signs out: revokes the sessions whose tokens a browser shows.

use super::Services;
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::OwnedSession;

impl Services {
    /// Revokes sessions: when this returns, every copy of their tokens is dead on every node. It also waits for sessions that have
    /// ended already, since some node may not have applied that yet.
    pub(crate) async fn sign_out(&self, context: &Context, presented: &[OwnedSession]) -> Result<(), InternalError> {
        let event = |session: &OwnedSession| Event::SessionEnded { user: session.user_id };
        let ended = presented.iter().map(|session| (*session, self.new_event(context, &event(session)))).collect();
        self.sessions.wait_until_applied(self.store.end_sessions(ended).await?).await?;
        for session in presented {
            self.record(context, &event(session));
        }
        Ok(())
    }
}
