//! Removes a passkey of a signed-in user.

use handstamp_core::{AssuranceLevel, Authentication, AuthenticationMethods};
use uuid::Uuid;

use super::{PASSKEY, not_accepted};
use crate::context::Context;
use crate::events::Event;
use crate::model::{Message, PasskeyRemoved};
use crate::services::factors::recipient;
use crate::services::{ActError, Services, SignInCookies};
use crate::sessions::Session;

impl Services {
    /// Removes a passkey. The sessions that may rest on it end: all others, and this one continues at the level that is left if the user
    /// has no passkey any more. None if the user has no such passkey, as after a form that is sent twice.
    pub(crate) async fn remove_passkey(
        &self,
        context: &Context,
        session: &Session,
        id: Uuid,
    ) -> Result<Option<SignInCookies>, ActError> {
        self.check_may_change_factors(session).await?;
        let (user, now) = (session.user.id, self.sessions.now());
        let event = Event::FactorRemoved { user, factor: PASSKEY };
        let passkeys = self.store.passkeys_of(user).await?;
        let rests_on_it = passkeys.iter().all(|passkey| passkey.id == id);
        let authentication =
            if rests_on_it { without_passkeys(session.authentication) } else { session.authentication };
        let (continued, token) = self.sessions.continue_as(session, authentication);
        let notice = self.factor_notice(context, recipient(session), "passkey_removed", None);
        let entry = self.new_event(context, &event).in_session(continued.session_id).with_message(notice);
        let configured = self.configured_providers();
        let removed = self.store.remove_passkey(id, &configured, &continued, now, entry).await?;
        match self.sessions.wait_until_applied(removed).await? {
            PasskeyRemoved::Removed => {}
            PasskeyRemoved::NotFound => return Ok(None),
            PasskeyRemoved::LastWayIn => return Err(not_accepted(Message::LastWayIn)),
            PasskeyRemoved::SignedOut => return Err(ActError::SignedOut),
        }
        self.outbox_changed();
        self.record(context, &event);
        Ok(Some(self.complete_sign_in(continued.owned(), Some(now), token, &context.client)))
    }
}

/// The authentication of a session whose user has no passkey any more: the rest of its methods, at their level.
fn without_passkeys(authentication: Authentication) -> Authentication {
    use AuthenticationMethods as Methods;
    let methods = authentication.methods();
    if !methods.contain(Methods::POSSESSION_OF_KEY) {
        return authentication;
    }
    let kept = [Methods::PASSWORD, Methods::ONE_TIME_CODE, Methods::FEDERATED];
    let kept = kept.into_iter().filter(|method| methods.contain(*method)).fold(Methods::default(), Methods::and);
    let has_first_factor = kept.contain(Methods::PASSWORD) || kept.contain(Methods::FEDERATED);
    if has_first_factor && kept.contain(Methods::ONE_TIME_CODE) {
        Authentication::new(kept.and(Methods::MULTIPLE_FACTORS), AssuranceLevel::TWO_FACTORS, authentication.at())
    } else {
        Authentication::new(kept, AssuranceLevel::ONE_FACTOR, authentication.at())
    }
}

#[cfg(test)]
mod tests {
    use handstamp_core::Timestamp;

    use super::*;

    #[test]
    fn a_session_keeps_the_level_of_its_other_methods() {
        let at = Timestamp::from_unix_seconds(1_800_000_000);
        let rest = |methods: &str, level| {
            let before = Authentication::new(
                AuthenticationMethods::from_stored(methods),
                AssuranceLevel::from_stored(level),
                at,
            );
            let after = without_passkeys(before);
            assert_eq!(after.at(), at);
            (after.methods().to_string(), after.assurance().get())
        };
        assert_eq!(rest("mfa pop user", 3), (String::new(), 1));
        assert_eq!(rest("pwd mfa pop", 2), ("pwd".to_owned(), 1));
        assert_eq!(rest("pwd otp mfa pop user", 3), ("pwd otp mfa".to_owned(), 2));
        assert_eq!(rest("pwd otp mfa", 2), ("pwd otp mfa".to_owned(), 2), "it did not rest on a passkey");
        assert_eq!(rest("pwd", 1), ("pwd".to_owned(), 1));
        assert_eq!(rest("otp mfa pop user fed", 3), ("otp mfa fed".to_owned(), 2));
        assert_eq!(rest("mfa pop user fed", 3), ("fed".to_owned(), 1));
    }
}
