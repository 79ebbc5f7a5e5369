//! Changes the display name of a user.

use handstamp_core::DisplayName;

use super::Services;
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::sessions::Session;

impl Services {
    /// Changes the name of the session's user, and returns once every node has applied it.
    pub(crate) async fn change_name(
        &self,
        context: &Context,
        session: &Session,
        name: &DisplayName,
    ) -> Result<(), InternalError> {
        self.sessions.wait_until_applied(self.store.change_name(session.user.id, name).await?).await?;
        self.record(context, &Event::UserUpdated { user: session.user.id });
        Ok(())
    }
}
