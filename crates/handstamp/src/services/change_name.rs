//! Changes the display name of a user.

use handstamp_core::DisplayName;

use super::Services;
use crate::error::InternalError;
use crate::log;
use crate::sessions::Session;

impl Services {
    /// Changes the name of the session's user, and returns once every node has applied it.
    pub(crate) async fn change_name(&self, session: &Session, name: &DisplayName) -> Result<(), InternalError> {
        self.sessions.wait_until_applied(self.store.change_name(session.user.id, name).await?).await?;
        log::info!(event = "user_updated", user = %session.user.id, "changed the name");
        Ok(())
    }
}
