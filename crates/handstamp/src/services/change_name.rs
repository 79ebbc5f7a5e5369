use handstamp_core::DisplayName;

use super::Accounts;
use crate::error::Fault;
use crate::log;
use crate::sessions::Session;

impl Accounts {
    /// Calls the owner of the session by another name from now on.
    pub(crate) async fn change_name(&self, session: &Session, name: &DisplayName) -> Result<(), Fault> {
        self.sessions.in_force(self.store.change_name(session.user.id, name).await?).await?;
        log::info!(event = "user_updated", user = %session.user.id, "changed the name");
        Ok(())
    }
}
