//! The handle for users: finding, creating, changing and deleting them, as an operator does.

use std::sync::Arc;

use handstamp_core::UserId;

use super::import::{UserExport, UserImport};
use crate::context::Context;
use crate::error::Error;
use crate::model::{Factors, LastAdministrator, ListUsers, ListedIdentity, User};
use crate::services::{CreateUser, EditUser, Invite, Services};

/// The users of a site, for operators and applications: [`Handstamp::users`](crate::Handstamp::users). Every change has been applied
/// on every node when its method returns.
#[derive(Clone)]
pub struct Users {
    services: Arc<Services>,
    last: LastAdministrator,
}

/// A user to be created.
#[derive(Clone, Copy)]
pub struct NewUser<'a> {
    /// The display name, at most 100 characters.
    pub name: &'a str,
    /// The e-mail address. It counts as verified.
    pub email: &'a str,
    /// The password, which the policy must accept, and which may not be in
    /// [`Config::password_blocklist`](crate::Config::password_blocklist).
    pub password: &'a str,
}

/// The changes of a user by an operator. The default changes nothing.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct UserChanges<'a> {
    /// The new display name, at most 100 characters.
    pub name: Option<&'a str>,
    /// The new e-mail address. It counts as verified unless [`email_unverified`](Self::email_unverified) is set.
    pub email: Option<&'a str>,
    /// Whether the new address does not count as verified yet.
    pub email_unverified: bool,
}

impl Users {
    pub(crate) fn new(services: &Arc<Services>) -> Self {
        Self { services: Arc::clone(services), last: LastAdministrator::Stays }
    }

    /// The same users, of whom the last member of the group `admins` who can sign in may be disabled, deleted or removed from the group
    /// as well. Otherwise that is [refused](Error::is_refused), unless [`Config::admin`](crate::Config::admin) is false.
    #[must_use]
    pub fn even_the_last_administrator(self) -> Self {
        Self { last: LastAdministrator::MayGo, ..self }
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be read.
    pub async fn get(&self, id: UserId) -> Result<User, Error> {
        Ok(self.services.user(id).await?)
    }

    /// The user with this e-mail address, in any case of its letters, if there is one.
    ///
    /// # Errors
    /// When the text is not an e-mail address, or the database cannot be read.
    pub async fn find_by_email(&self, email: &str) -> Result<Option<User>, Error> {
        Ok(self.services.user_by_email(email).await?)
    }

    /// A page of users, ordered by address.
    ///
    /// ```no_run
    /// # async fn all(handstamp: &handstamp::Handstamp) -> Result<(), handstamp::Error> {
    /// let mut query = handstamp::ListUsers::default();
    /// loop {
    ///     let page = handstamp.users().list(&query).await?;
    ///     let Some(last) = page.last() else { break };
    ///     query.after = Some(last.email.clone());
    ///     // …
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn list(&self, query: &ListUsers) -> Result<Vec<User>, Error> {
        Ok(self.services.list_users(query).await?)
    }

    /// Creates a user, whether registration is open or not, and returns the id.
    ///
    /// # Errors
    /// [Invalid](Error::is_invalid) with the [field](Error::field) when the name, the address or the password is rejected or the
    /// address has an account; or the database cannot be written.
    pub async fn create(&self, new: NewUser<'_>) -> Result<UserId, Error> {
        let new = CreateUser::parse(new.name, new.email, new.password)?;
        Ok(self.services.create_user(&Context::operator(), new).await?)
    }

    /// Invites a person, who gets a mail with a link that is valid for a week, and returns the link. Accepting it creates the account,
    /// with a verified address, in these groups. The name may be empty.
    ///
    /// # Errors
    /// [Invalid](Error::is_invalid) with the [field](Error::field) when the name, the address or a group is rejected, or the address has
    /// a verified or a disabled account. Or the database cannot be written.
    pub async fn invite(&self, name: &str, email: &str, groups: &[&str]) -> Result<String, Error> {
        let invite = Invite::parse(name, email, groups)?;
        Ok(self.services.invite(&Context::operator(), invite).await?)
    }

    /// A link with which a user sets a new password, valid for an hour. Pass it on to the user and to no other person.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be written.
    pub async fn reset_link(&self, id: UserId) -> Result<String, Error> {
        Ok(self.services.create_reset_link(&Context::operator(), id).await?)
    }

    /// Marks the address of a user as verified, so that apps receive it: users can register with any address.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be written.
    pub async fn verify(&self, id: UserId) -> Result<(), Error> {
        Ok(self.services.verify_user(&Context::operator(), id).await?)
    }

    /// Changes the name and the address of a user. A new address ends all sessions, links and device cookies of the user. If the
    /// former one was verified, it gets a mail with a link that undoes the change for a week.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be written. [Invalid](Error::is_invalid) with the
    /// [field](Error::field) when the name or the address is rejected or another user has the address. Then nothing is changed.
    pub async fn edit(&self, id: UserId, changes: UserChanges<'_>) -> Result<(), Error> {
        let edit = EditUser::parse(changes.name, changes.email, !changes.email_unverified)?;
        Ok(self.services.edit_user(&Context::operator(), id, edit).await?)
    }

    /// Sets the password of a user, as `handstamp user set-password` does: by the rules of a registration. All sessions, links and
    /// device cookies of the user end, and a mail tells the user. With [`reset_link`](Self::reset_link) no operator knows the password.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found); [invalid](Error::is_invalid) when the password is rejected; or the database cannot be written.
    pub async fn set_password(&self, id: UserId, password: &str) -> Result<(), Error> {
        Ok(self.services.set_password(&Context::operator(), id, password).await?)
    }

    /// Disables a user: sign-ins are rejected, and the sessions are revoked for good.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found); [refused](Error::is_refused) for the last administrator; or the database cannot be written.
    pub async fn disable(&self, id: UserId) -> Result<(), Error> {
        Ok(self.services.set_user_disabled(&Context::operator(), id, true, self.last).await?)
    }

    /// Allows a disabled user to sign in again.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be written.
    pub async fn enable(&self, id: UserId) -> Result<(), Error> {
        Ok(self.services.set_user_disabled(&Context::operator(), id, false, self.last).await?)
    }

    /// Adds a user to groups and removes them from others.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found); [invalid](Error::is_invalid) when a name is none of a group or the user would be in more
    /// than fifty; or the database cannot be written. It is [refused](Error::is_refused) to remove the last administrator.
    pub async fn change_groups(&self, id: UserId, add: &[&str], remove: &[&str]) -> Result<(), Error> {
        Ok(self.services.change_groups(&Context::operator(), id, add, remove, self.last).await?)
    }

    /// Clears the count of wrong passwords for a user, who can then sign in at once, and returns whether there were any. The counts
    /// of single devices and sessions stay. It takes a second, because nodes cache a refusal for as long.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be written.
    pub async fn unlock(&self, id: UserId) -> Result<bool, Error> {
        Ok(self.services.unlock_user(&Context::operator(), id).await?)
    }

    /// The password and the second factors of a user, without any secret.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be read.
    pub async fn factors(&self, id: UserId) -> Result<Factors, Error> {
        Ok(self.services.factors_of(id).await?)
    }

    /// The accounts at providers that are connected with a user, the oldest first.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be read.
    pub async fn identities(&self, id: UserId) -> Result<Vec<ListedIdentity>, Error> {
        Ok(self.services.listed_identities(id).await?)
    }

    /// Removes the second factors and passkeys of a user who has lost them, who then signs in with the password alone. The sessions are
    /// revoked, and the user gets a mail. Returns whether there were any.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be written.
    pub async fn reset_factors(&self, id: UserId) -> Result<bool, Error> {
        Ok(self.services.reset_factors(&Context::operator(), id).await?)
    }

    /// Begins an import of users from another system, as `handstamp import` does. No mails and no webhooks are sent. A dry run checks
    /// everything and stores nothing.
    pub fn import(&self, dry_run: bool) -> UserImport {
        UserImport::new(&self.services, dry_run)
    }

    /// Begins an export of all users with their password hashes, as `handstamp export --users` does.
    pub fn export(&self) -> UserExport {
        UserExport::new(&self.services)
    }

    /// Deletes a user with all data. The sessions are revoked.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found); [refused](Error::is_refused) for the last administrator; or the database cannot be written.
    pub async fn delete(&self, id: UserId) -> Result<(), Error> {
        Ok(self.services.delete_user(&Context::operator(), id, self.last).await?)
    }
}
