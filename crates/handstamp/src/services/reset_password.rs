//! Sets a new password by a mailed link, for a user who has lost the old one.

use handstamp_core::{AttemptKey, EmailAddress, OneTimeId, OneTimePurpose, Password, UserId};

use super::hashing::Share;
use super::mail::MessageContent;
use super::one_time::refused_link;
use super::{ActError, Services, parse_new_password};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, FieldErrors, NewOneTimeToken, OutboxKind};

impl Services {
    /// Has a reset link mailed to the account with this address, if there is one. The work is the same if there is none.
    pub(crate) async fn request_reset(&self, context: &Context, email: &str) -> Result<(), ActError> {
        self.require_mail()?;
        let email = EmailAddress::parse(email).map_err(|error| ActError::field(Field::Email, error))?;
        if self.count_mail_request(&context.client, &email).await? {
            let token_id = OneTimeId::from_bytes(self.environment.random());
            let content = MessageContent::of(context, "");
            let message = self.new_message(OutboxKind::ResetRequest, None, &email, &content, Some(token_id));
            self.enqueue(&message).await?;
        }
        Ok(())
    }

    /// Parses a new password, as far as that needs no waiting.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse_reset(&self, password: &str) -> Result<Password, FieldErrors> {
        parse_new_password(password, &self.config.password).map_err(|error| FieldErrors::of(Field::Password, error))
    }

    /// Sets a new password by a reset link, and ends all sessions, other links and device cookies of the account. The user has to
    /// sign in with the new password. A password that is refused keeps the link.
    pub(crate) async fn reset_password(
        &self,
        context: &Context,
        link: &str,
        password: Password,
    ) -> Result<(), ActError> {
        let purpose = OneTimePurpose::ResetPassword;
        let token = self.find_link(link, purpose).await?;
        let user_id = token.user_id.ok_or_else(|| refused_link("used"))?;
        let user = self.user(user_id).await?;
        // Each use costs a strength estimate and a hash.
        self.count_link_use(token.id).await?;
        let share = Share { network: context.client.network, account: AttemptKey::user(user_id) };
        let permit = self.hashing.reserve(share).await?;
        let hashed = self.hash_new_password(permit, password, &user.name, &user.email).await?;
        let new = hashed.map_err(|refusal| ActError::field(Field::Password, refusal))?;
        let content = MessageContent::of(context, &user.name);
        let notice = self.notice(OutboxKind::PasswordChanged, Some(user_id), &user.email, &content);
        let used = self.open_link(link, purpose)?;
        let event = Event::AuthnPasswordReset { user: user_id };
        let entry = self.new_event(context, &event).with_message(notice);
        let reset = self.store.reset_password(used, &new, entry).await?;
        if !self.sessions.wait_until_applied(reset).await? {
            return Err(refused_link("used"));
        }
        self.outbox_changed();
        self.record(context, &event);
        Ok(())
    }

    /// The token with which a user sets a new password right after another link has ended the old one, in the same browser.
    pub(super) fn follow_up_reset(&self, user_id: UserId, email: &EmailAddress) -> NewOneTimeToken {
        self.new_token(OneTimePurpose::ResetPassword, Some(user_id), email, None)
    }

    /// A reset link that an operator passes on, for a user who gets no mail. Earlier ones of the user end.
    pub(crate) async fn create_reset_link(&self, context: &Context, user_id: UserId) -> Result<String, ActError> {
        let user = self.user(user_id).await?;
        let email = EmailAddress::parse(&user.email).map_err(|error| ActError::field(Field::Email, error))?;
        let token = self.follow_up_reset(user_id, &email);
        let event = Event::ResetLinkCreated { user: user_id };
        self.store.store_token(&token, self.new_event(context, &event)).await?;
        self.record(context, &event);
        Ok(self.link(&token))
    }
}
