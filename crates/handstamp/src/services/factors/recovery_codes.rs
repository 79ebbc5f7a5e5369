//! Makes the recovery codes of a user.

use handstamp_core::{RecoveryCode, RecoveryCodeHash, UserId};

use super::{ActError, Services, recipient};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Message, OwnedSession};
use crate::sessions::Session;

impl Services {
    /// Replaces the recovery codes of the signed-in user, and returns the new ones, which are shown once.
    pub(crate) async fn replace_recovery_codes(
        &self,
        context: &Context,
        session: &Session,
    ) -> Result<Vec<String>, ActError> {
        let user_id = session.user.id;
        if self.factors_of(user_id).await?.totp_since.is_none() {
            return Err(ActError::Forbidden(Message::NoSecondFactor));
        }
        let (codes, hashes) = self.new_recovery_codes(user_id);
        let event = Event::RecoveryCodesReplaced { user: user_id };
        let notice = self.factor_notice(context, recipient(session), "recovery_codes_replaced", None);
        let entry = self.new_event(context, &event).with_message(notice);
        let owned = OwnedSession { secret_hash: session.secret_hash, user_id };
        if !self.store.replace_recovery_codes(owned, &hashes, entry).await? {
            return Err(ActError::SignedOut);
        }
        self.outbox_changed();
        self.record(context, &event);
        Ok(codes)
    }

    /// New recovery codes as the user sees them, and as they are stored.
    pub(super) fn new_recovery_codes(&self, user_id: UserId) -> (Vec<String>, Vec<RecoveryCodeHash>) {
        let codes = (0..RecoveryCode::COUNT).map(|_| RecoveryCode::from_random(self.environment.random()));
        codes.map(|code| (code.text(), code.hash(user_id))).unzip()
    }
}
