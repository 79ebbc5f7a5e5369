//! Deletes the account of the signed-in user.

use handstamp_core::UserId;

use super::admin::last_administrator;
use super::mail::MessageContent;
use super::{ActError, Services};
use crate::context::Context;
use crate::events::Event;
use crate::model::{LastAdministrator, OutboxKind, User};
use crate::sessions::Session;
use crate::store::LastAdministratorError;

impl Services {
    /// Deletes the account of the signed-in user with all that belongs to it. No node serves a session of it when this returns. Of a
    /// form that is sent twice, the other may have deleted it meanwhile.
    pub(crate) async fn delete_account(&self, context: &Context, session: &Session) -> Result<(), ActError> {
        match self.store.user_by_id(session.user.id, self.sessions.now()).await? {
            Some(user) => self.delete(context, &user, LastAdministrator::Stays).await,
            None => self.wait_until_deleted(context, session.user.id).await,
        }
    }

    /// Whether a user was deleted, as by the first form of two. No node serves a session of the user when this returns.
    pub(crate) async fn is_deleted(&self, context: &Context, user_id: UserId) -> Result<bool, ActError> {
        if self.store.user_by_id(user_id, self.sessions.now()).await?.is_some() {
            return Ok(false);
        }
        self.wait_until_deleted(context, user_id).await?;
        Ok(true)
    }

    /// Waits until every node has applied the deletion of a user who is deleted: some node may not have applied it yet.
    async fn wait_until_deleted(&self, context: &Context, user_id: UserId) -> Result<(), ActError> {
        let entry = self.new_event(context, &Event::UserDeleted { user: user_id });
        let deleted = self.store.delete_user(user_id, LastAdministrator::MayGo, entry).await?;
        // There is no such user, and no refusal.
        self.sessions.wait_until_applied(deleted).await?.map_err(last_administrator)
    }

    pub(super) async fn delete(&self, context: &Context, user: &User, last: LastAdministrator) -> Result<(), ActError> {
        let last = self.effective(last);
        // The deletion checks it again. Before that, other transactions erase most events of the user.
        if last == LastAdministrator::Stays && self.store.is_last_administrator(user.id).await? {
            return Err(last_administrator(LastAdministratorError));
        }
        let content = MessageContent::of(context, &user.name);
        // The message belongs to no user, so that it outlives the account until it is sent.
        let notice = self.notice(OutboxKind::AccountDeleted, None, &user.email, &content);
        let event = Event::UserDeleted { user: user.id };
        self.erase_most_events(context, user.id).await?;
        let entry = self.new_event(context, &event).with_message(notice);
        let deleted = self.store.delete_user(user.id, last, entry).await?;
        self.sessions.wait_until_applied(deleted).await?.map_err(last_administrator)?;
        self.outbox_changed();
        self.record(context, &event);
        Ok(())
    }
}
