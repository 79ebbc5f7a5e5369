//! Deletes the account of the signed-in user.

use handstamp_core::UserId;

use super::mail::MessageContent;
use super::{ActError, Services};
use crate::context::Context;
use crate::events::Event;
use crate::model::{OutboxKind, User};
use crate::sessions::Session;

impl Services {
    /// Deletes the account of the signed-in user with all that belongs to it. No node serves a session of it when this returns.
    pub(crate) async fn delete_account(&self, context: &Context, session: &Session) -> Result<(), ActError> {
        let user = self.user(session.user.id).await?;
        self.delete(context, &user).await
    }

    /// Whether one of these users was deleted, as of a form that is sent twice.
    pub(crate) async fn is_deleted(&self, user_id: UserId) -> Result<bool, ActError> {
        Ok(self.store.user_by_id(user_id, self.sessions.now()).await?.is_none())
    }

    pub(super) async fn delete(&self, context: &Context, user: &User) -> Result<(), ActError> {
        let content = MessageContent::of(context, &user.name);
        // The message belongs to no user, so that it outlives the account until it is sent.
        let notice = self.notice(OutboxKind::AccountDeleted, None, &user.email, &content);
        let event = Event::UserDeleted { user: user.id };
        self.erase_most_events(context, user.id).await?;
        let entry = self.new_event(context, &event).with_message(notice);
        let deleted = self.store.delete_user(user.id, entry).await?;
        self.sessions.wait_until_applied(deleted).await?;
        self.outbox_changed();
        self.record(context, &event);
        Ok(())
    }
}
