//! An operator sets the password of a user, by the command line only: the web administration has reset links instead.

use handstamp_core::{AttemptKey, EmailAddress, Network, Password, UserId};

use crate::context::Context;
use crate::events::Event;
use crate::model::{Field, OutboxKind};
use crate::services::hashing::Share;
use crate::services::mail::MessageContent;
use crate::services::{ActError, Services};

impl Services {
    /// Sets the password of a user, whom a mail tells of it. All sessions, links and device cookies of the user end, and the counts of
    /// wrong passwords are cleared.
    pub(crate) async fn set_password(&self, context: &Context, id: UserId, password: &str) -> Result<(), ActError> {
        let password = Password::parse(password).map_err(|error| ActError::field(Field::Password, error))?;
        let user = self.user(id).await?;
        let email = EmailAddress::parse(&user.email).map_err(|error| ActError::field(Field::Email, error))?;
        let share = Share { network: Network::Unknown, account: AttemptKey::user(id) };
        let permit = self.hashing.reserve(share).await?;
        let hashed = self.hash_new_password(permit, password, &user.name, &user.email).await?;
        let new = hashed.map_err(|error| ActError::field(Field::Password, error))?;
        let content = MessageContent::of(context, &user.name);
        let notice = self.notice(OutboxKind::PasswordChanged, Some(id), &user.email, &content);
        let event = Event::AuthnPasswordSet { user: id };
        let entry = self.new_event(context, &event).with_message(notice);
        let set = self.store.set_password((id, &email), &new, self.sessions.now(), entry).await?;
        self.sessions.wait_until_applied(set).await?;
        self.outbox_changed();
        self.record(context, &event);
        Ok(())
    }
}
