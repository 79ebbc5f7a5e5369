//! Creates an account at a visitor's request, and handles a form that was submitted twice.

use handstamp_core::{AttemptKey, DisplayName, EmailAddress, Password, PasswordPolicy, UserId};

use super::factors::SignedIn;
use super::hashing::Share;
use super::mail::MessageContent;
use super::one_time::BrowserSecret;
use super::{ActError, Services, SignInCookies, SignInRequest, parse_new_password};
use crate::config::Registration;
use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, FieldErrors, Message, NewUser, OwnedSession};
use crate::store::EmailTakenError;

/// A request to create an account.
pub(crate) struct RegisterRequest {
    pub(crate) name: DisplayName,
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
}

impl RegisterRequest {
    /// Parses the fields of a registration. The password is checked as far as that needs no waiting.
    ///
    /// # Errors
    /// What is wrong with each field.
    pub(crate) fn parse(name: &str, email: &str, password: &str, policy: &PasswordPolicy) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let name = errors.check(Field::Name, DisplayName::parse(name));
        let email = errors.check(Field::Email, EmailAddress::parse(email));
        let password = errors.check(Field::Password, parse_new_password(password, policy));
        match (name, email, password) {
            (Some(name), Some(email), Some(password)) => Ok(Self { name, email, password }),
            _ => Err(errors),
        }
    }
}

/// The outcome of a registration.
pub(crate) enum Registered {
    /// The account exists, and its user is signed in.
    SignedIn(SignInCookies),
    /// The account exists once its address is confirmed, in the browser with this secret or by the link.
    Pending(BrowserSecret),
}

impl Services {
    /// Creates an account and begins a remembered session of it; the earlier sessions of this browser are revoked. Where addresses must
    /// be confirmed first, a link is mailed instead.
    pub(crate) async fn register(
        &self,
        context: &Context,
        request: RegisterRequest,
        previous_sessions: &[OwnedSession],
    ) -> Result<Registered, ActError> {
        match self.config.registration {
            Registration::Open => {
                self.create_account(context, request, previous_sessions).await.map(Registered::SignedIn)
            }
            Registration::Confirm => self.register_with_confirmation(context, request).await.map(Registered::Pending),
            Registration::Invite | Registration::Closed => Err(ActError::Forbidden(Message::RegistrationClosed)),
        }
    }

    async fn create_account(
        &self,
        context: &Context,
        request: RegisterRequest,
        previous_sessions: &[OwnedSession],
    ) -> Result<SignInCookies, ActError> {
        let client = &context.client;
        let share = Share { network: client.network, account: AttemptKey::account(&request.email) };
        let permit = self.hashing.reserve(share).await?;
        // Counted before the response can reveal whether the address has an account.
        self.count_registration(client).await?;
        if self.store.has_account(&request.email).await? {
            return Err(Self::taken());
        }
        let hashed =
            self.hash_new_password(permit, request.password, request.name.as_str(), request.email.as_str()).await?;
        let password_hash = hashed.map_err(|refusal| {
            Event::RegisterRefused { reason: "password" }.record();
            ActError::field(Field::Password, refusal)
        })?;

        let id = UserId::new(self.environment.now(), self.environment.random());
        let (session, token) = self.sessions.begin(id, self.session_lifetime(true), client);
        let created_at = session.created_at;
        let (name, email) = (request.name, request.email);
        let verification =
            self.mail_is_on().then(|| self.verification(id, &email, &MessageContent::of(context, name.as_str())));
        let (token_of_mail, message) = verification.unzip();
        let password_hash = Some(password_hash);
        let user =
            NewUser { id, name, email, password_hash, created_at, email_verified_at: None, token: token_of_mail };
        let event = Event::UserCreated { user: id };
        let entry = self.new_event(context, &event).in_session(session.session_id).with_message(message);
        let made = self.store.create_user(&user, Some(&session), previous_sessions, entry).await?;
        match self.sessions.wait_until_applied(made).await? {
            Ok(()) => {
                self.outbox_changed();
                self.record(context, &event);
                Ok(self.complete_sign_in(session.owned(), None, token, client))
            }
            Err(EmailTakenError) => Err(Self::taken()),
        }
    }

    /// The same, but if the address has an account already, its password signs in. A form that is submitted twice, as by a double
    /// click, finds the account that it has just created. Both sessions live, as the browser may have kept the cookie of either. The
    /// attempt counts as any sign-in does.
    pub(crate) async fn register_or_sign_in(
        &self,
        context: &Context,
        request: RegisterRequest,
        previous_sessions: &[OwnedSession],
    ) -> Result<Registered, ActError> {
        let instead =
            SignInRequest { email: request.email.clone(), password: request.password.clone(), remember: true };
        match self.register(context, request, previous_sessions).await {
            Err(ActError::Fields(errors)) if errors.get(Field::Email) == Some(&Message::EmailTaken) => {}
            outcome => return outcome,
        }
        match self.sign_in(context, instead, previous_sessions, "").await {
            Ok(SignedIn::Begun(cookies)) => Ok(Registered::SignedIn(cookies)),
            Ok(SignedIn::NeedsSecondFactor(_)) => Err(ActError::field(Field::Email, Message::EmailTaken)),
            Err(ActError::Internal(error)) => Err(error.into()),
            Err(_) => Err(ActError::field(Field::Email, Message::EmailTaken)),
        }
    }

    fn taken() -> ActError {
        Event::RegisterRefused { reason: "address_taken" }.record();
        ActError::field(Field::Email, Message::EmailTaken)
    }
}
