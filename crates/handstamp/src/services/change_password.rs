use handstamp_core::{Password, PasswordHash, PasswordRefusal, Wait};

use super::Accounts;
use super::guard::Asking;
use super::hashing::Checked;
use crate::error::Fault;
use crate::log;
use crate::sessions::{Session, SignedIn};

/// A wish for another password.
pub(crate) struct ChangePassword {
    pub(crate) current: Password,
    pub(crate) new: Password,
}

/// Why the password is what it was.
#[derive(Debug)]
pub(crate) enum PasswordNotChanged {
    WrongPassword,
    /// There were too many wrong ones.
    TooMany(Wait),
    Password(PasswordRefusal),
    /// The session ended while we were at it.
    SignedOut,
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for PasswordNotChanged {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl Accounts {
    /// Changes the password, ends all other sessions and gives this one a new token.
    pub(crate) async fn change_password(
        &self,
        session: &Session,
        wish: ChangePassword,
    ) -> Result<SignedIn, PasswordNotChanged> {
        // A second try is for a password hash that a sign-in renewed between our look and our write.
        for _ in 0..2 {
            let old = self.check_current(session, wish.current.clone()).await?;
            let place = self.hashing.reserve().await?;
            let new =
                self.hash_new_password(place, wish.new.clone(), session.user.name(), session.user.email()).await?;
            let new = new.map_err(PasswordNotChanged::Password)?;
            let (renamed, signed_in) = self.sessions.rename(session);
            let ids = (session.id_hash, renamed);
            let changed = self.store.change_password(session.user.id, (&old, &new), ids).await?;
            if self.sessions.in_force(changed).await? {
                log::info!(event = "authn_password_change", user = %session.user.id, "changed the password");
                return Ok(signed_in);
            }
        }
        Err(PasswordNotChanged::SignedOut)
    }

    async fn check_current(&self, session: &Session, password: Password) -> Result<PasswordHash, PasswordNotChanged> {
        let user = session.user.id;
        let stored = self.store.credentials_by_id(user).await?.and_then(|account| account.password_hash);
        let place = self.hashing.reserve().await?;
        let checked = self.check_password(place, &Asking::Member(session), stored.clone(), password).await?;
        match (stored, checked.map_err(PasswordNotChanged::TooMany)?) {
            (Some(stored), Checked::Right { .. }) => Ok(stored),
            _ => {
                log::info!(event = "authn_password_change_fail", %user, "refused a change of password");
                Err(PasswordNotChanged::WrongPassword)
            }
        }
    }
}
