//! Disconnects an identity from a signed-in user.

use super::Provider;
use crate::context::Context;
use crate::events::Event;
use crate::model::{Identity, IdentityRemoved, Message};
use crate::services::factors::recipient;
use crate::services::{ActError, Services, SignInCookies};
use crate::sessions::Session;

impl Services {
    /// The identities that are connected with a user, the oldest first.
    pub(crate) async fn identities_of(&self, session: &Session) -> Result<Vec<Identity>, ActError> {
        Ok(self.store.identities_of(session.user.id).await?)
    }

    /// Disconnects the identity of this provider. All other sessions of the user end. None if there is no such identity, as after a form
    /// that is sent twice.
    pub(crate) async fn disconnect_identity(
        &self,
        context: &Context,
        session: &Session,
        provider: &Provider,
    ) -> Result<Option<SignInCookies>, ActError> {
        let (user, now) = (session.user.id, self.sessions.now());
        let event = Event::IdentityDisconnected { user, provider: provider.event_name };
        let (continued, token) = self.sessions.continue_as(session, session.authentication);
        let notice = self.factor_notice(context, recipient(session), "identity_disconnected", None);
        let entry = self.new_event(context, &event).in_session(continued.session_id).with_message(notice);
        let configured = self.configured_providers();
        let removed = self.store.remove_identity(&provider.name, &configured, &continued, now, entry).await?;
        match self.sessions.wait_until_applied(removed).await? {
            IdentityRemoved::Removed => {}
            IdentityRemoved::NotFound => return Ok(None),
            IdentityRemoved::LastWayIn => return Err(ActError::Forbidden(Message::LastIdentity)),
            IdentityRemoved::SignedOut => return Err(ActError::SignedOut),
        }
        self.outbox_changed();
        self.record(context, &event);
        Ok(Some(self.complete_sign_in(continued.owned(), Some(now), token, &context.client)))
    }
}
