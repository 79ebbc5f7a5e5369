//! An operator removes the second factors of a user who has lost them.

use handstamp_core::UserId;

use super::Services;
use crate::context::Context;
use crate::events::Event;
use crate::services::ActError;
use crate::services::admin::check_other_account;

impl Services {
    /// Removes the second factors and passkeys of a user, who learns of it by mail. All sessions and one-time tokens of the user end.
    /// Returns false, with nothing done, if there are none.
    pub(crate) async fn reset_factors(&self, context: &Context, user_id: UserId) -> Result<bool, ActError> {
        let user = self.user(user_id).await?;
        check_other_account(context, user_id)?;
        let factors = self.factors_of(user_id).await?;
        if factors.totp_since.is_none() && factors.recovery_codes == 0 && factors.passkeys == 0 {
            return Ok(false);
        }
        let event = Event::FactorsReset { user: user_id };
        let notice = self.factor_notice(context, (user_id, &user.name, &user.email), "reset", None);
        let entry = self.new_event(context, &event).with_message(notice);
        let reset = self.store.reset_factors(user_id, self.sessions.now(), entry).await?;
        self.sessions.wait_until_applied(reset).await?;
        self.outbox_changed();
        self.record(context, &event);
        Ok(true)
    }
}
