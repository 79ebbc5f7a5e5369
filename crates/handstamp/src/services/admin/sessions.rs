//! An operator lists and revokes the sessions of users.

use handstamp_core::UserId;
use uuid::Uuid;

use crate::context::Context;
use crate::events::Event;
use crate::model::{ListedSession, Message};
use crate::services::{ActError, Services};

impl Services {
    /// The live sessions of a user, the newest first.
    pub(crate) async fn sessions_of(&self, id: UserId) -> Result<Vec<ListedSession>, ActError> {
        self.user(id).await?;
        Ok(self.sessions.list(id).await?)
    }

    /// Revokes one session by its id.
    pub(crate) async fn revoke_session(&self, context: &Context, session_id: Uuid) -> Result<(), ActError> {
        let revoked = self.store.end_session(session_id).await?;
        let user = self.sessions.wait_until_applied(revoked).await?;
        let user = Some(user.ok_or(ActError::NotFound(Message::NoSuchSession))?);
        self.record(context, &Event::SessionRevoked { user, sessions: 1 });
        Ok(())
    }

    /// Revokes all sessions of a user, and returns their number.
    pub(crate) async fn revoke_sessions_of(&self, context: &Context, id: UserId) -> Result<u64, ActError> {
        self.user(id).await?;
        let sessions = self.sessions.wait_until_applied(self.store.end_sessions_of(id).await?).await?;
        self.record(context, &Event::SessionRevoked { user: Some(id), sessions });
        Ok(sessions)
    }

    /// Revokes all sessions of all users, and returns their number.
    pub(crate) async fn revoke_all_sessions(&self, context: &Context) -> Result<u64, ActError> {
        let sessions = self.sessions.end_all().await?;
        self.record(context, &Event::SessionRevoked { user: None, sessions });
        Ok(sessions)
    }
}
