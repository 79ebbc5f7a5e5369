use std::time::Duration;

use handstamp_core::{AttemptKey, EmailAddress, GroupName};

use super::Accounts;
use crate::error::Error;
use crate::log;
use crate::store::{Account, GROUPS_PER_USER, ListedSession, TooManyGroups};

/// See `Guard::remembered`.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// What operators do to accounts that are not theirs. Each returns when it is in force.
impl Accounts {
    /// The account of an address.
    pub(crate) async fn user(&self, email: &str) -> Result<Account, Error> {
        let email = EmailAddress::parse(email).map_err(Error::refused)?;
        self.store.account(&email, self.world.now()).await?.ok_or_else(Error::no_such_account)
    }

    pub(crate) async fn users(&self) -> Result<Vec<Account>, Error> {
        Ok(self.store.accounts(self.world.now()).await?)
    }

    /// Shuts an account, whose sessions end for good, or opens it again.
    pub(crate) async fn set_user_disabled(&self, email: &str, disabled: bool) -> Result<Account, Error> {
        let account = self.user(email).await?;
        let changed = self.store.set_disabled(account.id, disabled.then(|| self.world.now())).await?;
        self.sessions.in_force(changed).await?;
        let event = if disabled { "user_disabled" } else { "user_enabled" };
        log::info!(event, user = %account.id, by = "operator", "changed an account");
        Ok(account)
    }

    /// Notes that the address of an account is its owner's, and gives the account as it is then.
    pub(crate) async fn verify_user(&self, email: &str) -> Result<Account, Error> {
        let account = self.user(email).await?;
        self.sessions.in_force(self.store.verify_email(account.id, self.world.now()).await?).await?;
        log::info!(event = "user_verified", user = %account.id, by = "operator", "verified the address of an account");
        Ok(Account { email_verified: true, ..account })
    }

    /// Takes somebody out of some groups and puts them into others, and gives the account as it is then.
    pub(crate) async fn change_groups(&self, email: &str, added: &[&str], removed: &[&str]) -> Result<Account, Error> {
        let parse = |names: &[&str]| names.iter().map(|name| GroupName::parse(name)).collect::<Result<Vec<_>, _>>();
        let added = parse(added).map_err(Error::refused)?;
        let removed = parse(removed).map_err(Error::refused)?;
        let account = self.user(email).await?;
        let changed = self.store.change_groups(account.id, &added, &removed).await?;
        self.sessions
            .in_force(changed)
            .await?
            .map_err(|TooManyGroups| Error::refused(format!("An account is in {GROUPS_PER_USER} groups at most.")))?;
        log::info!(event = "user_groups_changed", user = %account.id, by = "operator", "changed an account");
        self.user(email).await
    }

    /// Forgets the wrong passwords that were tried for an account, and says whether there were any. What counts for one device or one
    /// session stays.
    pub(crate) async fn unlock_user(&self, email: &str) -> Result<bool, Error> {
        let account = self.user(email).await?;
        let email = EmailAddress::parse(&account.email).map_err(Error::refused)?;
        let mut unlocked = false;
        for key in [AttemptKey::account(&email), AttemptKey::user(account.id)] {
            unlocked |= self.store.forget_attempts(key).await?;
        }
        // Nodes may remember a refusal for as long.
        tokio::time::sleep(REMEMBERED_FOR).await;
        log::info!(event = "user_unlocked", user = %account.id, by = "operator", "forgot wrong passwords");
        Ok(unlocked)
    }

    pub(crate) async fn delete_user(&self, email: &str) -> Result<Account, Error> {
        let account = self.user(email).await?;
        self.sessions.in_force(self.store.delete_user(account.id).await?).await?;
        log::info!(event = "user_deleted", user = %account.id, by = "operator", "deleted an account");
        Ok(account)
    }

    pub(crate) async fn sessions_of(&self, email: &str) -> Result<Vec<ListedSession>, Error> {
        let account = self.user(email).await?;
        Ok(self.sessions.list(account.id).await?)
    }

    /// Ends the sessions of one account, or of all, and says how many those were.
    pub(crate) async fn end_sessions_of(&self, email: Option<&str>) -> Result<u64, Error> {
        let account = match email {
            Some(email) => Some(self.user(email).await?),
            None => None,
        };
        let sessions = match &account {
            Some(account) => self.sessions.in_force(self.store.end_sessions_of(account.id).await?).await?,
            None => self.sessions.end_all().await?,
        };
        let user = account.map(|account| tracing::field::display(account.id));
        log::info!(event = "session_revoked", user, sessions, by = "operator", "ended sessions");
        Ok(sessions)
    }
}
