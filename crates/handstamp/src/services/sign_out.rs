use handstamp_core::SessionIdHash;

use super::Accounts;
use crate::error::Fault;
use crate::log;
use crate::sessions::Session;

impl Accounts {
    /// Ends a session: when this returns, no copy of its token is worth anything on any node.
    pub(crate) async fn sign_out(&self, session: &Session) -> Result<(), Fault> {
        self.end_everywhere(session.id_hash).await?;
        log::info!(event = "session_logout", user = %session.user.id, "signed out");
        Ok(())
    }

    /// Waits until a session that has ended is over on every node, which it may not yet be if whoever ended it is still
    /// waiting for that.
    pub(crate) async fn end_everywhere(&self, session: SessionIdHash) -> Result<(), Fault> {
        self.sessions.in_force(self.store.end_session(session).await?).await
    }
}
