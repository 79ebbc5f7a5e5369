//! The handle for sessions: listing and revoking them, as an operator does.

use std::sync::Arc;

use handstamp_core::UserId;
use uuid::Uuid;

use crate::context::Context;
use crate::error::Error;
use crate::model::ListedSession;
use crate::services::Services;

/// The sessions of a site, for operators and applications: [`Handstamp::sessions`](crate::Handstamp::sessions). A session is dead on
/// every node when the method that revokes it returns.
#[derive(Clone)]
pub struct Sessions(Arc<Services>);

impl Sessions {
    pub(crate) fn new(services: &Arc<Services>) -> Self {
        Self(Arc::clone(services))
    }

    /// The live sessions of a user, the newest first.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be read.
    pub async fn of(&self, user: UserId) -> Result<Vec<ListedSession>, Error> {
        Ok(self.0.sessions_of(user).await?)
    }

    /// Revokes one session by its id.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found) if there is no such session, as after its end; or the database cannot be written.
    pub async fn revoke(&self, session_id: Uuid) -> Result<(), Error> {
        Ok(self.0.revoke_session(&Context::operator(), session_id).await?)
    }

    /// Revokes all sessions of a user, and returns their number.
    ///
    /// # Errors
    /// [Not found](Error::is_not_found), or the database cannot be written.
    pub async fn revoke_all_of(&self, user: UserId) -> Result<u64, Error> {
        Ok(self.0.revoke_sessions_of(&Context::operator(), user).await?)
    }

    /// Revokes all sessions of all users, and returns their number.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn revoke_everyone(&self) -> Result<u64, Error> {
        Ok(self.0.revoke_all_sessions(&Context::operator()).await?)
    }
}
