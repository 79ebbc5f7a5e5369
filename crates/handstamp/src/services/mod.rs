//! What people and operators do, one act a file. Nothing here knows of the web.

mod add_user;
mod change_name;
mod change_password;
mod end_sessions;
mod hashing;
mod manage_users;
mod register;
mod sign_in;
mod sign_out;

use std::sync::Arc;

use handstamp_core::{Password, PasswordHash, PasswordRefusal};

use crate::config::{Config, SessionConfig};
use crate::error::Fault;
use crate::sessions::{Lasts, Sessions};
use crate::store::Store;
use crate::world::World;

pub(crate) use change_password::{ChangePassword, PasswordNotChanged};
pub(crate) use hashing::Hashing;
pub(crate) use register::{NotRegistered, Register};
pub(crate) use sign_in::{NotSignedIn, SignIn};

/// The accounts of a site: every act is a method, in a file of its own.
pub(crate) struct Accounts {
    pub(crate) config: Config,
    pub(crate) world: World,
    pub(crate) store: Arc<Store>,
    pub(crate) sessions: Sessions,
    pub(crate) hashing: Hashing,
}

impl Accounts {
    fn lasts(&self, remembered: bool) -> Lasts {
        let lifetime = self.config.session.lifetime;
        let unremembered = SessionConfig::UNREMEMBERED_LIFETIME.min(lifetime);
        Lasts { duration: if remembered { lifetime } else { unremembered }, remembered }
    }

    /// Hashes a password that somebody of this name and address chose, or says why it is refused.
    async fn hash_new_password(
        &self,
        password: Password,
        name: &str,
        email: &str,
    ) -> Result<Result<PasswordHash, PasswordRefusal>, Fault> {
        let context = vec![name.to_owned(), email.to_owned(), self.config.site_name.clone()];
        self.hashing.accept(self.config.password, password, context, self.world.random()).await
    }

    /// Writes down what has gathered in memory.
    pub(crate) async fn write_last_seen(&self) {
        if let Err(error) = self.sessions.write_last_seen().await {
            tracing::warn!(%error, "the times when sessions were last seen could not be written");
        }
    }

    /// Removes what has expired.
    pub(crate) async fn purge(&self) {
        match self.sessions.purge().await {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(event = "sessions_purged", sessions, "removed expired sessions"),
            Err(error) => tracing::warn!(%error, "expired sessions could not be removed"),
        }
    }
}
