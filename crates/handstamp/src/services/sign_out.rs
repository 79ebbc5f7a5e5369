use super::Accounts;
use crate::error::Fault;
use crate::sessions::Session;

impl Accounts {
    /// Ends a session: when this returns, no copy of its token is worth anything.
    pub(crate) async fn sign_out(&self, session: &Session) -> Result<(), Fault> {
        self.store.end_session(session.id_hash).await?;
        tracing::info!(event = "session_logout", user = %session.user.id, "signed out");
        Ok(())
    }
}
