//! The operator's commands on accounts and sessions.

use std::time::Duration;

use handstamp_core::{AttemptKey, EmailAddress, GroupName};

use super::Services;
use crate::context::Context;
use crate::error::Error;
use crate::events::Event;
use crate::model::{ListedSession, User};
use crate::store::{GROUPS_PER_USER, TooManyGroupsError};

/// How long `LoginThrottle::remembered` caches a refusal.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// The operator's commands. Each returns once every node has applied its change.
impl Services {
    /// The account of an address.
    pub(crate) async fn user(&self, email: &str) -> Result<User, Error> {
        let email = EmailAddress::parse(email).map_err(Error::refused)?;
        self.store.user_by_email(&email, self.environment.now()).await?.ok_or_else(Error::no_such_account)
    }

    pub(crate) async fn users(&self) -> Result<Vec<User>, Error> {
        Ok(self.store.users(self.environment.now()).await?)
    }

    /// Disables an account and revokes its sessions for good, or enables it again.
    pub(crate) async fn set_user_disabled(
        &self,
        context: &Context,
        email: &str,
        disabled: bool,
    ) -> Result<User, Error> {
        let account = self.user(email).await?;
        let changed = self.store.set_disabled(account.id, disabled.then(|| self.environment.now())).await?;
        self.sessions.wait_until_applied(changed).await?;
        let user = account.id;
        if disabled { Event::UserDisabled { user } } else { Event::UserEnabled { user } }.record_for(context);
        Ok(account)
    }

    /// Marks the address of an account as verified, and returns the account as it is afterwards.
    pub(crate) async fn verify_user(&self, context: &Context, email: &str) -> Result<User, Error> {
        let account = self.user(email).await?;
        self.sessions.wait_until_applied(self.store.verify_email(account.id, self.environment.now()).await?).await?;
        Event::UserVerified { user: account.id }.record_for(context);
        Ok(User { email_verified: true, ..account })
    }

    /// Adds a user to groups and removes them from others, and returns the account as it is afterwards.
    pub(crate) async fn change_groups(
        &self,
        context: &Context,
        email: &str,
        added: &[&str],
        removed: &[&str],
    ) -> Result<User, Error> {
        let parse = |names: &[&str]| names.iter().map(|name| GroupName::parse(name)).collect::<Result<Vec<_>, _>>();
        let added = parse(added).map_err(Error::refused)?;
        let removed = parse(removed).map_err(Error::refused)?;
        let account = self.user(email).await?;
        let changed = self.store.change_groups(account.id, &added, &removed).await?;
        self.sessions.wait_until_applied(changed).await?.map_err(|TooManyGroupsError| {
            Error::refused(format!("An account is in {GROUPS_PER_USER} groups at most."))
        })?;
        Event::AuthzChange { user: account.id }.record_for(context);
        self.user(email).await
    }

    /// Clears the count of wrong passwords for an account, and returns whether there were any. The counts of single devices and
    /// sessions stay.
    pub(crate) async fn unlock_user(&self, context: &Context, email: &str) -> Result<bool, Error> {
        let account = self.user(email).await?;
        let email = EmailAddress::parse(&account.email).map_err(Error::refused)?;
        let mut unlocked = false;
        for key in [AttemptKey::account(&email), AttemptKey::user(account.id)] {
            unlocked |= self.store.forget_attempts(key).await?;
        }
        // Nodes may cache a refusal for as long.
        tokio::time::sleep(REMEMBERED_FOR).await;
        Event::UserUnlocked { user: account.id }.record_for(context);
        Ok(unlocked)
    }

    pub(crate) async fn delete_user(&self, context: &Context, email: &str) -> Result<User, Error> {
        let account = self.user(email).await?;
        self.sessions.wait_until_applied(self.store.delete_user(account.id).await?).await?;
        Event::UserDeleted { user: account.id }.record_for(context);
        Ok(account)
    }

    pub(crate) async fn sessions_of(&self, email: &str) -> Result<Vec<ListedSession>, Error> {
        let account = self.user(email).await?;
        Ok(self.sessions.list(account.id).await?)
    }

    /// Revokes the sessions of one account, or of all accounts, and returns their number.
    pub(crate) async fn end_sessions_of(&self, context: &Context, email: Option<&str>) -> Result<u64, Error> {
        let account = match email {
            Some(email) => Some(self.user(email).await?),
            None => None,
        };
        let sessions = match &account {
            Some(account) => self.sessions.wait_until_applied(self.store.end_sessions_of(account.id).await?).await?,
            None => self.sessions.end_all().await?,
        };
        let user = account.map(|account| account.id);
        Event::SessionRevoked { user, sessions }.record_for(context);
        Ok(sessions)
    }
}
