//! Revokes sessions from the user's own list of sessions.

use uuid::Uuid;

use super::Services;
use crate::error::InternalError;
use crate::log;
use crate::model::RevokeOutcome;
use crate::sessions::Session;

impl Services {
    /// Revokes one session of the signed-in user, by its session id (`session_id`).
    pub(crate) async fn end_session(&self, asking: &Session, session_id: Uuid) -> Result<RevokeOutcome, InternalError> {
        let ended = self.store.end_session_by_id(asking.user.id, session_id).await?;
        let ended = self.sessions.wait_until_applied(ended).await?;
        if ended == RevokeOutcome::Revoked {
            log::info!(event = "session_revoked", user = %asking.user.id, sessions = 1, "ended a session");
        }
        Ok(ended)
    }

    /// Revokes all sessions of the signed-in user but the current one.
    pub(crate) async fn end_other_sessions(&self, asking: &Session) -> Result<(), InternalError> {
        let ended = self.store.end_other_sessions(asking.user.id, asking.secret_hash).await?;
        let sessions = self.sessions.wait_until_applied(ended).await?;
        log::info!(event = "session_revoked", user = %asking.user.id, sessions, "ended all other sessions");
        Ok(())
    }
}
