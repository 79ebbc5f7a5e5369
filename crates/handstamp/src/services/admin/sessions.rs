//! An operator lists and revokes the sessions of users.

use handstamp_core::UserId;
use uuid::Uuid;

use super::users::check_other_account;
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
        let event = |user| Event::SessionRevoked { user, sessions: 1 };
        let revoked = self.store.end_session(session_id, self.new_event(context, &event(None))).await?;
        let user = self.sessions.wait_until_applied(revoked).await?;
        let user = Some(user.ok_or(ActError::NotFound(Message::NoSuchSession))?);
        self.record(context, &event(user));
        Ok(())
    }

    /// Revokes all sessions of a user, and returns their number.
    pub(crate) async fn revoke_sessions_of(&self, context: &Context, id: UserId) -> Result<u64, ActError> {
        self.user(id).await?;
        check_other_account(context, id)?;
        let event = |sessions| Event::SessionRevoked { user: Some(id), sessions };
        let revoked = self.store.end_sessions_of(id, self.new_event(context, &event(0))).await?;
        let sessions = self.sessions.wait_until_applied(revoked).await?;
        self.record(context, &event(sessions));
        Ok(sessions)
    }

    /// Revokes all sessions of all users, and returns their number.
    pub(crate) async fn revoke_all_sessions(&self, context: &Context) -> Result<u64, ActError> {
        let event = |sessions| Event::SessionRevoked { user: None, sessions };
        let sessions = self.sessions.end_all(|| self.new_event(context, &event(0))).await?;
        self.record(context, &event(sessions));
        Ok(sessions)
    }
}
