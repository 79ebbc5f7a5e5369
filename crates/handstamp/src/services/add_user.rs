//! Creates an account on an operator's command.

use handstamp_core::{AttemptKey, DisplayName, EmailAddress, Network, Password, UserId};

use super::Services;
use super::hashing::Share;
use crate::context::Context;
use crate::error::Error;
use crate::events::Event;
use crate::model::NewUser;
use crate::store::EmailTakenError;

impl Services {
    /// Creates an account for a user, whether registration is open or not. Its address counts as verified, since an operator
    /// gave it.
    pub(crate) async fn add_user(
        &self,
        context: &Context,
        name: &str,
        email: &str,
        password: &str,
    ) -> Result<UserId, Error> {
        let name = DisplayName::parse(name).map_err(Error::refused)?;
        let email = EmailAddress::parse(email).map_err(Error::refused)?;
        let password = Password::parse(password).map_err(Error::refused)?;
        let share = Share { network: Network::Unknown, account: AttemptKey::account(&email) };
        let permit = self.hashing.reserve(share).await?;
        let hashed = self.hash_new_password(permit, password, name.as_str(), email.as_str()).await?;
        let created_at = self.environment.now();
        let id = UserId::new(created_at, self.environment.random());
        let password_hash = hashed.map_err(Error::refused)?;
        let user = NewUser { id, name, email, password_hash, created_at, email_verified_at: Some(created_at) };
        match self.sessions.wait_until_applied(self.store.create_user(&user, None, &[]).await?).await? {
            Ok(()) => {
                Event::UserCreated { user: id }.record_for(context);
                Ok(id)
            }
            Err(EmailTakenError) => Err(Error::refused("This e-mail address already has an account.")),
        }
    }
}
