//! An operator creates, finds, changes and deletes users.

use std::time::Duration;

use handstamp_core::{AttemptKey, DisplayName, EmailAddress, GroupName, Network, Password, UserId};

use crate::context::Context;
use crate::events::Event;
use crate::model::{ADMINISTRATORS, Field, FieldErrors, LastAdministrator, ListUsers, Message, NewUser, User};
use crate::services::hashing::Share;
use crate::services::{ActError, Services};
use crate::store::{ChangeGroupsError, EmailTakenError, LastAdministratorError};

/// How long [`LoginThrottle`](crate::services::LoginThrottle) caches a refusal.
const REFUSALS_CACHED_FOR: Duration = Duration::from_secs(1);

/// A user to be created.
pub(crate) struct CreateUser {
    name: DisplayName,
    email: EmailAddress,
    password: Password,
}

impl CreateUser {
    /// Parses the fields of a new user.
    ///
    /// # Errors
    /// What is wrong with each field.
    pub(crate) fn parse(name: &str, email: &str, password: &str) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let name = errors.check(Field::Name, DisplayName::parse(name));
        let email = errors.check(Field::Email, EmailAddress::parse(email));
        let password = errors.check(Field::Password, Password::parse(password));
        match (name, email, password) {
            (Some(name), Some(email), Some(password)) => Ok(Self { name, email, password }),
            _ => Err(errors),
        }
    }
}

impl Services {
    /// The user with this id.
    pub(crate) async fn user(&self, id: UserId) -> Result<User, ActError> {
        let user = self.store.user_by_id(id, self.environment.now()).await?;
        user.ok_or(ActError::NotFound(Message::NoSuchUser))
    }

    /// The user with this address, if there is one.
    pub(crate) async fn user_by_email(&self, email: &str) -> Result<Option<User>, ActError> {
        let email = EmailAddress::parse(email).map_err(|error| ActError::field(Field::Email, error))?;
        Ok(self.store.user_by_email(&email, self.environment.now()).await?)
    }

    /// A page of users, ordered by address.
    pub(crate) async fn list_users(&self, query: &ListUsers) -> Result<Vec<User>, ActError> {
        Ok(self.store.list_users(query, self.environment.now()).await?)
    }

    /// Creates a user, whether registration is open or not. The address counts as verified, since an operator gave it.
    pub(crate) async fn create_user(&self, context: &Context, new: CreateUser) -> Result<UserId, ActError> {
        let CreateUser { name, email, password } = new;
        let share = Share { network: Network::Unknown, account: AttemptKey::account(&email) };
        let permit = self.hashing.reserve(share).await?;
        let hashed = self.hash_new_password(permit, password, name.as_str(), email.as_str()).await?;
        let password_hash = hashed.map_err(|error| ActError::field(Field::Password, error))?;
        let created_at = self.environment.now();
        let id = UserId::new(created_at, self.environment.random());
        let password_hash = Some(password_hash);
        let user =
            NewUser { id, name, email, password_hash, created_at, email_verified_at: Some(created_at), token: None };
        let event = Event::UserCreated { user: id };
        let created = self.store.create_user(&user, None, &[], self.new_event(context, &event)).await?;
        let taken = |EmailTakenError| ActError::field(Field::Email, Message::EmailTaken);
        self.sessions.wait_until_applied(created).await?.map_err(taken)?;
        self.record(context, &event);
        Ok(id)
    }

    /// Disables a user, whose sessions are revoked for good, or enables the user again.
    pub(crate) async fn set_user_disabled(
        &self,
        context: &Context,
        id: UserId,
        disabled: bool,
        last: LastAdministrator,
    ) -> Result<(), ActError> {
        self.user(id).await?;
        if disabled {
            check_other_account(context, id)?;
        }
        let event = if disabled { Event::UserDisabled { user: id } } else { Event::UserEnabled { user: id } };
        let disabled_at = disabled.then(|| self.environment.now());
        let entry = self.new_event(context, &event);
        let changed = self.store.set_disabled(id, disabled_at, self.effective(last), entry).await?;
        self.sessions.wait_until_applied(changed).await?.map_err(last_administrator)?;
        self.record(context, &event);
        Ok(())
    }

    /// Marks the address of a user as verified.
    pub(crate) async fn verify_user(&self, context: &Context, id: UserId) -> Result<(), ActError> {
        self.user(id).await?;
        let event = Event::UserVerified { user: id };
        let verified = self.store.verify_email(id, self.environment.now(), self.new_event(context, &event)).await?;
        self.sessions.wait_until_applied(verified).await?;
        self.record(context, &event);
        Ok(())
    }

    /// Adds a user to groups and removes them from others.
    pub(crate) async fn change_groups(
        &self,
        context: &Context,
        id: UserId,
        added: &[&str],
        removed: &[&str],
        last: LastAdministrator,
    ) -> Result<(), ActError> {
        let parse = |names: &[&str]| {
            let names = names.iter().map(|name| GroupName::parse(name)).collect::<Result<Vec<_>, _>>();
            names.map_err(|error| ActError::field(Field::Group, error))
        };
        let (added, removed) = (parse(added)?, parse(removed)?);
        self.user(id).await?;
        if removed.iter().any(|group| group.as_str() == ADMINISTRATORS) {
            check_other_account(context, id)?;
        }
        let event = Event::AuthzChange { user: id };
        let entry = self.new_event(context, &event);
        let changed = self.store.change_groups(id, &added, &removed, self.effective(last), entry).await?;
        self.sessions.wait_until_applied(changed).await?.map_err(|error| match error {
            ChangeGroupsError::TooMany => ActError::field(Field::Group, Message::TooManyGroups),
            ChangeGroupsError::LastAdministrator(error) => last_administrator(error),
        })?;
        self.record(context, &event);
        Ok(())
    }

    /// Clears the count of wrong passwords for a user, and returns whether there were any. The counts of single devices and
    /// sessions stay.
    pub(crate) async fn unlock_user(&self, context: &Context, id: UserId) -> Result<bool, ActError> {
        let user = self.user(id).await?;
        let email = EmailAddress::parse(&user.email).map_err(|error| ActError::field(Field::Email, error))?;
        let event = Event::UserUnlocked { user: id };
        let keys = [AttemptKey::account(&email), AttemptKey::user(id), AttemptKey::codes_of(id)];
        let unlocked = self.store.unlock(id, &keys, self.new_event(context, &event)).await?;
        // Nodes may cache a refusal for as long.
        tokio::time::sleep(REFUSALS_CACHED_FOR).await;
        self.record(context, &event);
        Ok(unlocked)
    }

    /// Deletes a user with all data. The sessions are revoked.
    pub(crate) async fn delete_user(
        &self,
        context: &Context,
        id: UserId,
        last: LastAdministrator,
    ) -> Result<(), ActError> {
        let user = self.user(id).await?;
        check_other_account(context, id)?;
        self.delete(context, &user, last).await
    }

    /// Whether the last member of `admins` stays. Where there are no pages of administration the group has no meaning.
    pub(in crate::services) fn effective(&self, last: LastAdministrator) -> LastAdministrator {
        if self.config.admin { last } else { LastAdministrator::MayGo }
    }
}

/// Refuses an act of an administrator on the own account, after which it could not be taken back.
pub(in crate::services) fn check_other_account(context: &Context, id: UserId) -> Result<(), ActError> {
    let is_own = context.actor.administrator() == Some(id);
    if is_own { Err(ActError::Forbidden(Message::OwnAccount)) } else { Ok(()) }
}

pub(in crate::services) fn last_administrator(_: LastAdministratorError) -> ActError {
    ActError::Forbidden(Message::LastAdministrator)
}
