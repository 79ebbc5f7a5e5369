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
        let event = Event::UserUpdated { user: session.user.id };
        let changed = self.store.change_name(session.user.id, name, self.new_event(context, &event)).await?;
        self.sessions.wait_until_applied(changed).await?;
        self.record(context, &event);
        Ok(())
    }
}
