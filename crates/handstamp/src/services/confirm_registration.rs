//! Registration with confirmation: the account exists only once the address is confirmed.

use handstamp_core::{AttemptKey, DisplayName, OneTimeId, OneTimePurpose, PasswordHash, UserId};

use super::hashing::Share;
use super::mail::MessageContent;
use super::one_time::{BrowserSecret, refused_link};
use super::{ActError, RegisterRequest, Services, SignInCookies};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, NewUser, OneTimeToken, OutboxKind, OwnedSession};
use crate::store::{EmailTakenError, TokenUse};

/// The outcome of a confirmed registration.
pub(crate) enum ConfirmedRegistration {
    /// In the browser that registered, the user is signed in.
    SignedIn(SignInCookies),
    /// In another browser, the password of the registration does not count: another person may have chosen it. This is the text of a
    /// link to set one.
    ChoosePassword(String),
}

impl Services {
    /// Has a link mailed that creates the account, and returns the secret of the browser that may use the code beside it. Nothing shows
    /// whether the address has an account: its owner is told by mail.
    pub(super) async fn register_with_confirmation(
        &self,
        context: &Context,
        request: RegisterRequest,
    ) -> Result<BrowserSecret, ActError> {
        let RegisterRequest { name, email, password } = request;
        let share = Share { network: context.client.network, account: AttemptKey::account(&email) };
        let permit = self.hashing.reserve(share).await?;
        self.count_registration(&context.client).await?;
        let hashed = self.hash_new_password(permit, password, name.as_str(), email.as_str()).await?;
        let hash = hashed.map_err(|refusal| {
            Event::RegisterRefused { reason: "password" }.record();
            ActError::field(Field::Password, refusal)
        })?;
        let browser = self.new_browser_secret();
        if self.count_mail_to(&email).await? {
            let token_id = OneTimeId::from_bytes(self.environment.random());
            let content = MessageContent {
                password_hash: hash.expose().to_owned(),
                browser: Some(browser.hash().0),
                ..MessageContent::of(context, name.as_str())
            };
            let kind = OutboxKind::RegistrationRequest;
            self.enqueue(&self.new_message(kind, None, &email, &content, Some(token_id))).await?;
        }
        Ok(browser)
    }

    /// Creates the account of a registration by its link.
    pub(crate) async fn confirm_registration(
        &self,
        context: &Context,
        link: &str,
        browser: Option<&BrowserSecret>,
        previous_sessions: &[OwnedSession],
    ) -> Result<ConfirmedRegistration, ActError> {
        let purpose = OneTimePurpose::ConfirmRegistration;
        let token = self.find_link(link, purpose).await?;
        let used = self.open_link(link, purpose)?;
        let is_same_browser = browser.is_some_and(|browser| token.browser == Some(browser.hash()));
        self.create_registered(context, token, used, is_same_browser, previous_sessions).await
    }

    /// Creates the account of a registration by the code of the mail, in the browser that registered.
    pub(crate) async fn confirm_registration_by_code(
        &self,
        context: &Context,
        browser: &BrowserSecret,
        code: &str,
        previous_sessions: &[OwnedSession],
    ) -> Result<ConfirmedRegistration, ActError> {
        let purpose = OneTimePurpose::ConfirmRegistration;
        let token = self.store.token_of_browser(browser.hash(), purpose, self.sessions.now()).await?;
        let used = self.check_code(token.as_ref(), code).await?;
        let token = token.ok_or_else(|| refused_link("used"))?;
        self.create_registered(context, token, used, true, previous_sessions).await
    }

    async fn create_registered(
        &self,
        context: &Context,
        token: OneTimeToken,
        used: TokenUse,
        is_same_browser: bool,
        previous_sessions: &[OwnedSession],
    ) -> Result<ConfirmedRegistration, ActError> {
        let content = MessageContent::parse(&token.content);
        let name = DisplayName::parse(&content.name).map_err(|_| refused_link("invalid"))?;
        let id = UserId::new(self.environment.now(), self.environment.random());
        let (session, issued) = self.sessions.begin(id, self.session_lifetime(true), &context.client);
        let reset = self.follow_up_reset(id, &token.email);
        let password_hash = is_same_browser.then(|| PasswordHash::from_stored(content.password_hash));
        let (email, now) = (token.email, used.now);
        let token = (!is_same_browser).then(|| reset.clone());
        let user = NewUser { id, name, email, password_hash, created_at: now, email_verified_at: Some(now), token };
        let first_session = is_same_browser.then_some(&session);
        let event = Event::UserCreated { user: id };
        let entry = self.new_event(context, &event);
        let created = self.store.confirm_registration(used, &user, first_session, previous_sessions, entry).await?;
        let created = self.sessions.wait_until_applied(created).await?.ok_or_else(|| refused_link("used"))?;
        created.map_err(|EmailTakenError| refused_link("address_taken"))?;
        self.record(context, &event);
        Ok(if is_same_browser {
            ConfirmedRegistration::SignedIn(self.complete_sign_in(session.owned(), None, issued, &context.client))
        } else {
            ConfirmedRegistration::ChoosePassword(self.text_of(&reset))
        })
    }
}
