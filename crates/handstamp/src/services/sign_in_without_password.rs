//! Signs in a user whom the embedding application has authenticated.

use handstamp_core::{AssuranceLevel, Authentication, AuthenticationMethods, UserId};

use super::{ActError, Services, SignInCookies};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Message, OwnedSession};

impl Services {
    /// Begins a session of this user without a method of authentication, and revokes the earlier sessions of this browser. A user with a
    /// second factor is refused: the application has not checked it.
    pub(crate) async fn sign_in_without_password(
        &self,
        context: &Context,
        user: UserId,
        remember: bool,
        previous_sessions: &[OwnedSession],
    ) -> Result<SignInCookies, ActError> {
        self.sign_in_at(context, user, remember, previous_sessions, AssuranceLevel::ONE_FACTOR).await
    }

    /// The same, with a session at this level. Only tests ask for a higher one than the first.
    pub(crate) async fn sign_in_at(
        &self,
        context: &Context,
        user: UserId,
        remember: bool,
        previous_sessions: &[OwnedSession],
        level: AssuranceLevel,
    ) -> Result<SignInCookies, ActError> {
        // A try fails if the credentials were changed between our read and our write.
        loop {
            let account = self.store.credentials_by_id(user).await?;
            let account = account.ok_or(ActError::NotFound(Message::NoSuchUser))?;
            if account.disabled {
                Event::AuthnLoginFail { user: Some(user) }.record();
                return Err(ActError::Forbidden(Message::UserDisabled));
            }
            if level == AssuranceLevel::ONE_FACTOR && self.needs_second_factor(&account).await? {
                return Err(ActError::Forbidden(Message::HasSecondFactor));
            }
            let (mut session, token) = self.sessions.begin(user, self.session_lifetime(remember), &context.client);
            let methods = AuthenticationMethods::default();
            session.authentication = Authentication::new(methods, level, session.created_at);
            let notice = self.new_device_notice(context, user).await?;
            let events = self.sign_in_events(context, &session, notice);
            let signed = self.store.sign_in(account.version, &session, previous_sessions, events).await?;
            if let Some(unused) = self.sessions.wait_until_applied(signed).await? {
                self.outbox_changed();
                self.record_sign_in(context, user, unused);
                return Ok(self.complete_sign_in(session.owned(), account.devices_void_until, token, &context.client));
            }
        }
    }
}
