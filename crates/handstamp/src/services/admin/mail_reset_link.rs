//! An operator has a link to set a new password mailed to a user. The operator does not see it.

use handstamp_core::{EmailAddress, OneTimeId, UserId};

use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, Message, OutboxKind};
use crate::services::mail::MessageContent;
use crate::services::{ActError, Services};

impl Services {
    /// Has a reset link mailed to the address of a user. The token is made when the mail is sent.
    ///
    /// # Errors
    /// When the user is disabled, or the site sends no mail.
    pub(crate) async fn mail_reset_link(&self, context: &Context, id: UserId) -> Result<(), ActError> {
        let user = self.user(id).await?;
        if !self.mail_is_on() {
            return Err(ActError::Forbidden(Message::NoMailForOperators));
        }
        if user.disabled {
            return Err(ActError::Forbidden(Message::UserDisabled));
        }
        let email = EmailAddress::parse(&user.email).map_err(|error| ActError::field(Field::Email, error))?;
        let token_id = OneTimeId::from_bytes(self.environment.random());
        let content = MessageContent::of(context, &user.name);
        // The message is bound to the user when its token is made.
        let message = self.new_message(OutboxKind::OperatorReset, None, &email, &content, Some(token_id));
        let event = Event::ResetLinkCreated { user: id };
        self.store.write_event(self.new_event(context, &event).with_message(Some(message))).await?;
        self.outbox_changed();
        self.record(context, &event);
        Ok(())
    }
}
