//! An operator changes the name and the address of a user.

use handstamp_core::{DisplayName, EmailAddress, OneTimePurpose, UserId};

use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, FieldErrors, Message, OutboxKind, User};
use crate::services::mail::MessageContent;
use crate::services::{ActError, Services};
use crate::store::EmailTakenError;

/// The changes of a user; none of what stays.
pub(crate) struct EditUser {
    name: Option<DisplayName>,
    email: Option<EmailAddress>,
    /// Whether the new address counts as verified.
    email_verified: bool,
}

impl EditUser {
    /// Parses the fields that change.
    ///
    /// # Errors
    /// What is wrong with each field.
    pub(crate) fn parse(name: Option<&str>, email: Option<&str>, email_verified: bool) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let name = name.map(|name| errors.check(Field::Name, DisplayName::parse(name)));
        let email = email.map(|email| errors.check(Field::Email, EmailAddress::parse(email)));
        match (name, email) {
            (Some(None), _) | (_, Some(None)) => Err(errors),
            (name, email) => Ok(Self { name: name.flatten(), email: email.flatten(), email_verified }),
        }
    }
}

impl Services {
    /// Changes the address of a user, and then the name. A new address ends all sessions, links and device cookies of the user. The
    /// former one gets the mail that a change by the user sends, with a link to undo it.
    pub(crate) async fn edit_user(&self, context: &Context, id: UserId, edit: EditUser) -> Result<(), ActError> {
        let user = self.user(id).await?;
        if let Some(email) = edit.email {
            self.replace_email(context, &user, &email, edit.email_verified).await?;
        }
        if let Some(name) = edit.name {
            let event = Event::UserUpdated { user: id };
            let changed = self.store.change_name(id, &name, self.new_event(context, &event)).await?;
            self.sessions.wait_until_applied(changed).await?;
            self.record(context, &event);
        }
        Ok(())
    }

    async fn replace_email(
        &self,
        context: &Context,
        user: &User,
        new: &EmailAddress,
        verified: bool,
    ) -> Result<(), ActError> {
        let former = EmailAddress::parse(&user.email).map_err(|error| ActError::field(Field::Email, error))?;
        // An address that was never verified may be that of another person, who must not get the account by undoing the change.
        let undo = user.email_verified.then(|| {
            let token = self.new_token(OneTimePurpose::UndoEmailChange, Some(user.id), &former, None);
            let content =
                MessageContent { new_email: new.as_str().to_owned(), ..MessageContent::of(context, &user.name) };
            let message = self.new_message(OutboxKind::EmailChanged, Some(user.id), &former, &content, Some(token.id));
            (token, message)
        });
        let (undo, notice) = undo.filter(|_| self.mail_is_on()).unzip();
        let now = self.sessions.now();
        let event = Event::UserEmailChange { user: user.id };
        let entry = self.new_event(context, &event).with_message(notice);
        let times = (now, verified.then_some(now));
        let changed = self.store.replace_email(user.id, (&former, new), times, entry, undo.as_ref()).await?;
        let changed = self.sessions.wait_until_applied(changed).await?;
        let changed = changed.ok_or(ActError::NotFound(Message::NoSuchUser))?;
        changed.map_err(|EmailTakenError| ActError::field(Field::Email, Message::EmailTaken))?;
        self.outbox_changed();
        self.record(context, &event);
        Ok(())
    }
}
