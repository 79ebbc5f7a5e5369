use super::Accounts;
use crate::error::Fault;
use crate::log;
use crate::store::OwnedSession;

impl Accounts {
    /// Ends sessions: when this returns, no copy of their tokens is worth anything on any node. One that has ended already is
    /// waited for as well, since it may not be over everywhere yet.
    pub(crate) async fn sign_out(&self, shown: &[OwnedSession]) -> Result<(), Fault> {
        self.sessions.in_force(self.store.end_sessions(shown).await?).await?;
        for session in shown {
            log::info!(event = "session_logout", user = %session.user_id, "signed out");
        }
        Ok(())
    }
}
