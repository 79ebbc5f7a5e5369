use handstamp_core::{Password, PasswordRefusal};

use super::hashing::Checked;
use super::{Accounts, SignedIn};
use crate::error::Fault;
use crate::sessions::Session;

/// A wish for another password.
pub(crate) struct ChangePassword {
    pub(crate) current: Password,
    pub(crate) new: Password,
}

/// Why the password is what it was.
#[derive(Debug)]
pub(crate) enum PasswordNotChanged {
    WrongPassword,
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
        let user = &session.user;
        let stored = self.store.credentials_by_id(user.id).await?.and_then(|account| account.password_hash);
        let checked = self.hashing.check(stored.clone(), wish.current, self.world.random()).await?;
        let (Some(old), Checked::Right { .. }) = (stored, checked) else {
            tracing::info!(event = "authn_password_change_fail", user = %user.id, "refused a change of password");
            return Err(PasswordNotChanged::WrongPassword);
        };
        let context = vec![user.name.clone(), user.email.clone(), self.config.site_name.clone()];
        let new = self
            .hashing
            .accept(self.config.password, wish.new, context, self.world.random())
            .await?
            .map_err(PasswordNotChanged::Password)?;

        let (renamed, token) = self.sessions.rename(session);
        if !self.store.change_password(user.id, (&old, &new), (session.id_hash, renamed)).await? {
            return Err(PasswordNotChanged::SignedOut);
        }
        tracing::info!(event = "authn_password_change", user = %user.id, "changed the password");
        let keep_for = session.claims.remembered.then(|| session.claims.expires_at.since(self.world.now()));
        Ok(SignedIn { token, keep_for })
    }
}
