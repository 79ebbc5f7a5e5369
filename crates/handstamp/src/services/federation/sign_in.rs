//! Signs a user in through a provider, and makes an account for a person who has none.

use handstamp_core::{
    AssuranceLevel, Authentication, AuthenticationMethods, DisplayName, EmailAddress, Timestamp, UserId,
};

use super::callback::{Answered, Completed};
use super::provider::Person;
use super::{Failure, Refusal};
use crate::config::Registration;
use crate::context::Context;
use crate::events::Event;
use crate::model::{Credentials, Identity, IdentityCreated, IdentitySignIn, NewUser};
use crate::services::factors::FirstFactor;
use crate::services::mail::MessageContent;
use crate::services::{Services, SignInCookies};

impl Services {
    /// Begins a session of the user whom the identity is connected with, and revokes the earlier sessions of this browser. The session is
    /// remembered. A person who is not known gets an account, if registration is open.
    pub(super) async fn sign_in_through(
        &self,
        context: &Context,
        answered: &Answered<'_>,
    ) -> Result<Completed, Failure> {
        let person = &answered.person;
        // The second try is for an account that was changed between our read and our write.
        for _ in 0..2 {
            let found = self.store.identity_of_subject(&person.issuer, &person.subject).await?;
            let Some(identity) = found else {
                return self.register_through(context, answered).await.map(Completed::SignedIn);
            };
            let user = identity.user_id;
            let refused = |refusal| self.refuse_provider(answered.provider, Some(user), refusal);
            let Some(account) = self.store.credentials_by_id(user).await? else { continue };
            if account.disabled {
                self.store.count_failed_sign_in(Some(user), self.sessions.now()).await?;
                return Err(refused(Refusal::Disabled));
            }
            self.apply_groups(answered.provider, person, user).await?;
            let needs_another = !person.has_second_factor && self.needs_second_factor(&account).await?;
            let signed = if needs_another {
                self.wait_for_second_factor(answered, &account, &identity).await?
            } else {
                self.begin_session_through(context, answered, &account, &identity).await?
            };
            match signed {
                Signed::Done(completed) => return Ok(completed),
                Signed::Replayed => return Err(refused(Refusal::Replayed)),
                Signed::Changed => {}
            }
        }
        Err(self.refuse_provider(answered.provider, None, Refusal::Ended))
    }

    async fn begin_session_through(
        &self,
        context: &Context,
        answered: &Answered<'_>,
        account: &Credentials,
        identity: &Identity,
    ) -> Result<Signed, Failure> {
        let (client, user) = (&context.client, account.user_id);
        let (mut session, token) = self.sessions.begin(user, self.session_lifetime(true), client);
        session.authentication = authentication(&answered.person, session.created_at);
        session.provider = Some(answered.session_of(identity));
        let notice = self.new_device_notice(context, user).await?;
        let events = self.sign_in_events(context, &session, notice);
        let (used, ended) = (answered.used(self), answered.callback.previous_sessions);
        let signed = self.store.sign_in_by_identity(&used, account.version, &session, ended, events).await?;
        match self.sessions.wait_until_applied(signed).await? {
            IdentitySignIn::Done(unused) => {
                self.outbox_changed();
                self.record_sign_in(context, user, unused);
                let cookies = self.complete_sign_in(session.owned(), account.devices_void_until, token, client);
                Ok(Signed::Done(Completed::SignedIn(cookies)))
            }
            IdentitySignIn::Replayed => Ok(Signed::Replayed),
            IdentitySignIn::Changed => Ok(Signed::Changed),
        }
    }

    /// Has the sign-in wait for the second factor of the account.
    async fn wait_for_second_factor(
        &self,
        answered: &Answered<'_>,
        account: &Credentials,
        identity: &Identity,
    ) -> Result<Signed, Failure> {
        let first = FirstFactor {
            methods: AuthenticationMethods::FEDERATED,
            remember: true,
            attempted: Vec::new(),
            code: None,
            provider: Some(answered.session_of(identity)),
        };
        let (used, presented) = (answered.used(self), answered.callback.presented_pending);
        let (begun, pending) = self.begin_pending_sign_in_through(account, &first, &used, presented).await?;
        Ok(match begun {
            IdentitySignIn::Done(_) => Signed::Done(Completed::NeedsSecondFactor(pending)),
            IdentitySignIn::Replayed => Signed::Replayed,
            IdentitySignIn::Changed => Signed::Changed,
        })
    }

    /// Makes an account without a password, which the identity is connected with. The address is never one of another account.
    async fn register_through(&self, context: &Context, answered: &Answered<'_>) -> Result<SignInCookies, Failure> {
        let (client, person) = (&context.client, &answered.person);
        let refused = |refusal| self.refuse_provider(answered.provider, None, refusal);
        if answered.callback.session.is_some() {
            return Err(refused(Refusal::NotConnected));
        }
        match self.config.registration {
            Registration::Open => {}
            // Only the owner of an address may learn that it has an account.
            Registration::Confirm if person.email_verified || person.email.is_none() => {}
            Registration::Confirm => return Err(refused(Refusal::EmailUnverified)),
            Registration::Invite | Registration::Closed => return Err(refused(Refusal::RegistrationClosed)),
        }
        let Some(email) = person.email.clone() else { return Err(refused(Refusal::NoEmail)) };
        // Counted before the response can reveal whether the address has an account.
        self.count_registration(client).await?;
        if self.store.has_account(&email).await? {
            return Err(refused(Refusal::AccountExists));
        }
        let id = UserId::new(self.environment.now(), self.environment.random());
        let identity = self.new_identity(answered, id);
        let (mut session, token) = self.sessions.begin(id, self.session_lifetime(true), client);
        session.authentication = authentication(person, session.created_at);
        session.provider = Some(answered.session_of(&identity));
        let (created_at, name) = (session.created_at, name_of(person, &email));
        let verifies = !person.email_verified && self.mail_is_on();
        let verification = verifies.then(|| self.verification(id, &email, &MessageContent::of(context, name.as_str())));
        let (token_of_mail, message) = verification.unzip();
        let email_verified_at = person.email_verified.then_some(created_at);
        let user =
            NewUser { id, name, email, password_hash: None, created_at, email_verified_at, token: token_of_mail };
        let (created, connected) = (
            Event::UserCreated { user: id },
            Event::IdentityConnected { user: id, provider: answered.provider.event_name },
        );
        let entry = |event: &Event<'_>| self.new_event(context, event).in_session(session.session_id);
        let (created_entry, connected_entry) = (entry(&created).with_message(message), entry(&connected));
        let (used, ended) = (answered.used(self), answered.callback.previous_sessions);
        let made = self
            .store
            .create_user_with_identity(&user, &identity, &used, &session, ended, created_entry, connected_entry)
            .await?;
        match self.sessions.wait_until_applied(made).await? {
            IdentityCreated::Created => {}
            IdentityCreated::EmailTaken => return Err(refused(Refusal::AccountExists)),
            IdentityCreated::IdentityTaken | IdentityCreated::Replayed => return Err(refused(Refusal::Replayed)),
            IdentityCreated::LoggedOut => return Err(refused(Refusal::Ended)),
        }
        self.outbox_changed();
        self.record(context, &created);
        self.record(context, &connected);
        self.apply_groups(answered.provider, person, id).await?;
        Ok(self.complete_sign_in(session.owned(), None, token, client))
    }

    /// The identity of an answer, for this user.
    pub(super) fn new_identity(&self, answered: &Answered<'_>, user_id: UserId) -> Identity {
        let (person, now) = (&answered.person, self.sessions.now());
        Identity {
            id: uuid::Builder::from_random_bytes(self.environment.random()).into_uuid(),
            user_id,
            provider: answered.provider.name.clone(),
            issuer: person.issuer.clone(),
            subject: person.subject.clone(),
            email: person.email.as_ref().map_or_else(String::new, |email| email.as_str().to_owned()),
            created_at: now,
            used_at: None,
        }
    }
}

/// The outcome of a sign-in by an identity that is connected.
enum Signed {
    Done(Completed),
    /// The attempt was completed before.
    Replayed,
    /// The account, or the session at the provider, has changed since it was read.
    Changed,
}

/// The authentication of a session that a provider vouches for. Its time is that of the sign-in there, if the provider tells it.
pub(super) fn authentication(person: &Person, now: Timestamp) -> Authentication {
    let at = person.authenticated_at.map_or(now, |at| at.min(now));
    let federated = AuthenticationMethods::FEDERATED;
    if person.has_second_factor {
        let methods = federated.and(AuthenticationMethods::MULTIPLE_FACTORS);
        return Authentication::new(methods, AssuranceLevel::TWO_FACTORS, at);
    }
    Authentication::new(federated, AssuranceLevel::ONE_FACTOR, at)
}

/// The name that the provider tells, or else the part of the address before the @.
fn name_of(person: &Person, email: &EmailAddress) -> DisplayName {
    let of_email = email.as_str().rsplit_once('@').map_or(email.as_str(), |(name, _)| name);
    let names = [person.name.as_deref(), Some(of_email), Some("?")];
    names.into_iter().flatten().find_map(|name| DisplayName::parse(name).ok()).expect("the last is a name")
}
