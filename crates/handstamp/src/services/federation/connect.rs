//! Connects an identity with the user of a session, and has a user authenticate again through a provider.

use super::callback::Answered;
use super::sign_in::authentication;
use super::{Failure, Refusal};
use crate::context::Context;
use crate::events::Event;
use crate::model::{IdentityConnected, IdentitySignIn};
use crate::services::factors::recipient;
use crate::services::{Services, SignInCookies};
use crate::sessions::{IssuedToken, Session};
use handstamp_core::Authentication;

impl Services {
    /// Connects the identity. The other sessions, one-time tokens and device cookies of the user end, and this session continues at its
    /// level.
    pub(super) async fn connect_identity(
        &self,
        context: &Context,
        answered: &Answered<'_>,
        session: &Session,
    ) -> Result<SignInCookies, Failure> {
        let user = session.user.id;
        let refused = |refusal| self.refuse_provider(answered.provider, Some(user), refusal);
        let identity = self.new_identity(answered, user);
        let event = Event::IdentityConnected { user, provider: answered.provider.event_name };
        let (continued, token) = self.sessions.continue_as(session, session.authentication);
        let notice = self.factor_notice(context, recipient(session), "identity_connected", None);
        let entry = self.new_event(context, &event).in_session(continued.session_id).with_message(notice);
        let used = answered.used(self);
        let connected = self.store.connect_identity(&identity, &used, &continued, entry).await?;
        match self.sessions.wait_until_applied(connected).await? {
            IdentityConnected::Connected => {}
            IdentityConnected::Replayed => return Err(refused(Refusal::Replayed)),
            IdentityConnected::Taken => return Err(refused(Refusal::Taken)),
            IdentityConnected::ProviderTaken => return Err(refused(Refusal::ProviderTaken)),
            IdentityConnected::SignedOut => return Err(refused(Refusal::Session)),
        }
        self.outbox_changed();
        self.record(context, &event);
        Ok(self.complete_sign_in(continued.owned(), Some(used.now), token, &context.client))
    }

    /// Notes that the user has authenticated again, and gives the session a new token. The identity has to be connected with this user.
    pub(super) async fn confirm_through(
        &self,
        context: &Context,
        answered: &Answered<'_>,
        session: &Session,
    ) -> Result<IssuedToken, Failure> {
        let (user, person) = (session.user.id, &answered.person);
        let refused = |refusal| self.refuse_provider(answered.provider, Some(user), refusal);
        let found = self.store.identity_of_subject(&person.issuer, &person.subject).await?;
        let identity = found.filter(|identity| identity.user_id == user).ok_or_else(|| refused(Refusal::User))?;
        let (before, again) = (session.authentication, authentication(person, self.sessions.now()));
        // Another way to authenticate may be stronger than this one.
        let methods = before.methods().and(again.methods());
        let now = Authentication::new(methods, before.assurance().max(again.assurance()), again.at());
        let (continued, token) = self.sessions.continue_as(session, now);
        let event = Event::AuthnReauthentication { user };
        let entry = self.new_event(context, &event);
        let done = self.store.confirm_by_identity(identity.id, &answered.used(self), &continued, entry).await?;
        match self.sessions.wait_until_applied(done).await? {
            IdentitySignIn::Done(_) => {}
            IdentitySignIn::Replayed => return Err(refused(Refusal::Replayed)),
            IdentitySignIn::Changed => return Err(refused(Refusal::Session)),
        }
        self.record(context, &event);
        Ok(token)
    }
}
