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
use std::time::Duration;

use handstamp_core::TokenText;

use crate::config::{Config, SessionConfig};
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

/// A session has begun: what the browser needs to keep it.
pub(crate) struct SignedIn {
    pub(crate) token: TokenText,
    /// How long the browser keeps it; none for as long as it runs.
    pub(crate) keep_for: Option<Duration>,
}

impl Accounts {
    fn lasts(&self, remembered: bool) -> Lasts {
        let lifetime = self.config.session.lifetime;
        let unremembered = SessionConfig::UNREMEMBERED_LIFETIME.min(lifetime);
        Lasts { duration: if remembered { lifetime } else { unremembered }, remembered }
    }

    fn signed_in(token: TokenText, lasts: Lasts) -> SignedIn {
        SignedIn { token, keep_for: lasts.remembered.then_some(lasts.duration) }
    }

    /// Writes down what has gathered in memory.
    pub(crate) async fn write_last_seen(&self) {
        if let Err(error) = self.sessions.write_last_seen().await {
            tracing::warn!(%error, "the times when sessions were last seen could not be written");
        }
    }

    /// Removes what has expired.
    pub(crate) async fn purge(&self) {
        match self.store.purge_expired_sessions(self.world.now()).await {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(event = "sessions_purged", sessions, "removed expired sessions"),
            Err(error) => tracing::warn!(%error, "expired sessions could not be removed"),
        }
    }
}
