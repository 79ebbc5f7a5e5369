//! Deletes what is kept of ceremonies of passkeys and of attempts at providers until they expire.

use super::{JobOutcome, Services};
use crate::internal_error::InternalError;

impl Services {
    /// Deletes the records of ceremonies and attempts that have expired, and what providers have ended so long ago that no sign-in from
    /// before it can be under way.
    pub(crate) async fn purge_ceremonies(&self) -> Result<JobOutcome, InternalError> {
        const AT_ONCE: usize = 1000;
        let Some(now) = self.sessions.believed_now() else { return Ok(JobOutcome::Deferred) };
        while self.store.purge_ceremonies(now, AT_ONCE).await? > 0 {}
        #[cfg(feature = "federation")]
        while self.store.purge_provider_logouts(now, AT_ONCE).await? > 0 {}
        Ok(JobOutcome::Done)
    }
}
