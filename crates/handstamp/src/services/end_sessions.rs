//! Revokes sessions from the user's own list of sessions.

use uuid::Uuid;

use super::Services;
use crate::error::InternalError;
use crate::log;
use crate::sessions::Session;
use crate::store::ByHandle;

impl Services {
    /// Revokes one session of the signed-in user, by its session id (`handle`).
    pub(crate) async fn end_session(&self, asking: &Session, handle: Uuid) -> Result<ByHandle, InternalError> {
        let ended = self.store.end_session_by_handle(asking.user.id, handle).await?;
        let ended = self.sessions.in_force(ended).await?;
        if ended == ByHandle::Ended {
            log::info!(event = "session_revoked", user = %asking.user.id, sessions = 1, "ended a session");
        }
        Ok(ended)
    }

    /// Revokes all sessions of the signed-in user but the current one.
    pub(crate) async fn end_other_sessions(&self, asking: &Session) -> Result<(), InternalError> {
        let ended = self.store.end_other_sessions(asking.user.id, asking.id_hash).await?;
        let sessions = self.sessions.in_force(ended).await?;
        log::info!(event = "session_revoked", user = %asking.user.id, sessions, "ended all other sessions");
        Ok(())
    }
}
