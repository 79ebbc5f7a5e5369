//! Signs in by a mailed code, in the browser that asked for it.

use handstamp_core::{AssuranceLevel, Authentication, AuthenticationMethods, EmailAddress, OneTimeId, OneTimePurpose};

use super::factors::{FirstFactor, SignedIn};
use super::mail::MessageContent;
use super::one_time::BrowserSecret;
use super::{ActError, Services};
use crate::context::Context;
use crate::model::{Field, Message, OutboxKind, OwnedSession};

impl Services {
    /// Whether users can sign in with a mailed code.
    pub(crate) fn sign_in_by_code_is_on(&self) -> bool {
        self.config.sign_in.mail && self.mail_is_on()
    }

    /// Has a code mailed to the account with this address, if there is one, and returns the secret of the browser that may use it. The
    /// work is the same if there is no account.
    pub(crate) async fn request_sign_in_code(&self, context: &Context, email: &str) -> Result<BrowserSecret, ActError> {
        let email = EmailAddress::parse(email).map_err(|error| ActError::field(Field::Email, error))?;
        let browser = self.new_browser_secret();
        if self.count_mail_request(&context.client, &email).await? {
            let token_id = OneTimeId::from_bytes(self.environment.random());
            let content = MessageContent { browser: Some(browser.hash().0), ..MessageContent::of(context, "") };
            let message = self.new_message(OutboxKind::SignInRequest, None, &email, &content, Some(token_id));
            self.enqueue(&message).await?;
        }
        Ok(browser)
    }

    /// Begins a remembered session by a mailed code, and revokes the earlier sessions of this browser. The code verifies the address: if
    /// it was never verified, what was there before ends. If the user has a second factor, the sign-in waits for it.
    pub(crate) async fn sign_in_by_code(
        &self,
        context: &Context,
        browser: &BrowserSecret,
        code: &str,
        previous_sessions: &[OwnedSession],
    ) -> Result<SignedIn, ActError> {
        let wrong = || ActError::field(Field::Code, Message::WrongCode);
        let now = self.sessions.now();
        let token = self.store.token_of_browser(browser.hash(), OneTimePurpose::SignIn, now).await?;
        let used = self.check_code(token.as_ref(), code).await?;
        let user_id = token.and_then(|token| token.user_id).ok_or_else(wrong)?;
        let account = self.store.credentials_by_id(user_id).await?.ok_or_else(wrong)?;
        if self.needs_second_factor(&account).await? && self.user(user_id).await?.email_verified {
            let methods = AuthenticationMethods::ONE_TIME_CODE;
            let first =
                FirstFactor { methods, remember: true, attempted: Vec::new(), code: Some(used), provider: None };
            let pending = self.begin_pending_sign_in(&account, &first, "").await?;
            return Ok(SignedIn::NeedsSecondFactor(pending.ok_or_else(wrong)?));
        }
        let (mut session, issued) = self.sessions.begin(user_id, self.session_lifetime(true), &context.client);
        let methods = AuthenticationMethods::ONE_TIME_CODE;
        session.authentication = Authentication::new(methods, AssuranceLevel::ONE_FACTOR, session.created_at);
        let notice = self.new_device_notice(context, user_id).await?;
        let events = self.sign_in_events(context, &session, notice);
        let signed = self.store.sign_in_by_token(used, account.version, &session, previous_sessions, events).await?;
        let unused = self.sessions.wait_until_applied(signed).await?.ok_or_else(wrong)?;
        self.finish_sign_in(context, session.owned(), issued, unused).await.map(SignedIn::Begun)
    }
}
