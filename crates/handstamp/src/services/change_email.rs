//! Changes the address of an account: the new one is confirmed before it counts, and the former one can undo it for a week.

use handstamp_core::{EmailAddress, OneTimePurpose};

use super::mail::MessageContent;
use super::one_time::refused_link;
use super::verify_email::AfterLink;
use super::{ActError, Services, SignInCookies};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, Message, OutboxKind, OwnedSession};
use crate::sessions::Session;

impl Services {
    /// Has a link mailed to the new address. The answer is the same if that address has an account, whose owner is told by mail.
    pub(crate) async fn request_email_change(
        &self,
        context: &Context,
        session: &Session,
        email: &str,
    ) -> Result<(), ActError> {
        self.require_mail()?;
        let user = &session.user;
        let email = EmailAddress::parse(email).map_err(|error| ActError::field(Field::Email, error))?;
        if EmailAddress::parse(user.email()).is_ok_and(|current| current.key() == email.key()) {
            return Err(ActError::field(Field::Email, Message::EmailUnchanged));
        }
        if self.count_mail_request(&context.client, &email).await? {
            let token = self.new_token(OneTimePurpose::ChangeEmail, Some(user.id), &email, None);
            let content = MessageContent::of(context, user.name());
            let kind = OutboxKind::EmailChangeRequest;
            let message = self.new_message(kind, Some(user.id), &email, &content, Some(token.id));
            self.store.enqueue_with_token(&token, &message).await?;
            self.outbox_changed();
        }
        Ok(())
    }

    /// The new address that a link confirms, if it belongs to the signed-in user.
    pub(crate) async fn new_email_of_link(&self, session: &Session, link: &str) -> Result<EmailAddress, ActError> {
        let token = self.find_link(link, OneTimePurpose::ChangeEmail).await?;
        if token.user_id != Some(session.user.id) {
            return Err(refused_link("user"));
        }
        Ok(token.email)
    }

    /// Makes the address of a link that of the signed-in user. All other sessions, links and device cookies end, and this session gets
    /// a new token.
    pub(crate) async fn confirm_email_change(
        &self,
        context: &Context,
        session: &Session,
        link: &str,
    ) -> Result<SignInCookies, ActError> {
        let user = &session.user;
        let new = self.new_email_of_link(session, link).await?;
        let used = self.open_link(link, OneTimePurpose::ChangeEmail)?;
        let former = EmailAddress::parse(user.email()).map_err(|error| ActError::field(Field::Email, error))?;
        // An address that was never verified may be that of another person, who must not get the account by undoing the change.
        let undo = user.email_verified.then(|| {
            let token = self.new_token(OneTimePurpose::UndoEmailChange, Some(user.id), &former, None);
            let content =
                MessageContent { new_email: new.as_str().to_owned(), ..MessageContent::of(context, user.name()) };
            let message = self.new_message(OutboxKind::EmailChanged, Some(user.id), &former, &content, Some(token.id));
            (token, message)
        });
        let (undo, notice) = undo.filter(|_| self.mail_is_on()).unzip();
        let (rotated, token) = self.sessions.rotate_secret(session);
        let current = OwnedSession { secret_hash: session.secret_hash, user_id: user.id };
        let event = Event::UserEmailChange { user: user.id };
        let entry = self.new_event(context, &event).with_message(notice);
        let changed = self.store.change_email(used, &former, &new, (current, rotated), entry, undo.as_ref()).await?;
        let changed = self.sessions.wait_until_applied(changed).await?.ok_or_else(|| refused_link("used"))?;
        changed.map_err(|_| refused_link("address_taken"))?;
        self.outbox_changed();
        self.record(context, &event);
        let session = OwnedSession { secret_hash: rotated, user_id: user.id };
        Ok(self.complete_sign_in(session, Some(used.now), token, &context.client))
    }

    /// Gives an account its former address again, by the link in the notice to that address. Its sessions and its password end, since
    /// another person may know them.
    pub(crate) async fn undo_email_change(&self, context: &Context, link: &str) -> Result<AfterLink, ActError> {
        let token = self.find_link(link, OneTimePurpose::UndoEmailChange).await?;
        let used = self.open_link(link, OneTimePurpose::UndoEmailChange)?;
        let user_id = token.user_id.ok_or_else(|| refused_link("used"))?;
        let reset = self.follow_up_reset(user_id, &token.email);
        let event = Event::UserEmailChangeUndo { user: user_id };
        let undone = self.store.undo_email_change(used, &reset, self.new_event(context, &event)).await?;
        let undone = self.sessions.wait_until_applied(undone).await?.ok_or_else(|| refused_link("used"))?;
        undone.map_err(|_| refused_link("address_taken"))?;
        self.record(context, &event);
        Ok(AfterLink::ChoosePassword(self.text_of(&reset)))
    }
}
