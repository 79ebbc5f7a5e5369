//! Completes a sign-in that waits for its second factor by a passkey.

use super::check::CheckedPasskey;
use super::confirm::raised;
use super::webauthn::{Purpose, Refusal, UserVerification};
use super::{CeremonyOptions, PasskeyAnswer};
use crate::context::Context;
use crate::model::{FactorRefused, OwnedSession};
use crate::services::{ActError, Services, SignInCookies};

impl Services {
    /// Options to complete the sign-in of this pending cookie by a passkey of its user. The password was right, so a touch is enough.
    ///
    /// # Errors
    /// [`SignedOut`](ActError::SignedOut) if no such sign-in waits.
    pub(crate) async fn begin_passkey_second_factor(&self, presented: &str) -> Result<CeremonyOptions, ActError> {
        let ceremonies = self.ceremonies()?;
        let (waits, user, _) = self.pending_sign_in(presented).await?.ok_or(ActError::SignedOut)?;
        let passkeys = self.store.passkeys_of(user).await?;
        let allowed = passkeys.into_iter().map(|passkey| passkey.credential_id).collect();
        let (purpose, now) = (Purpose::SecondFactor(waits.id), self.sessions.now());
        let preferred = UserVerification::Preferred;
        Ok(ceremonies.begin_authentication(&self.environment, now, purpose, Some(user), allowed, preferred))
    }

    /// Begins the session of a sign-in that waits, and revokes the earlier sessions of this browser.
    ///
    /// # Errors
    /// [`SignedOut`](ActError::SignedOut) if no such sign-in waits.
    pub(crate) async fn complete_sign_in_by_passkey(
        &self,
        context: &Context,
        presented: &str,
        answer: &PasskeyAnswer,
        previous_sessions: &[OwnedSession],
    ) -> Result<SignInCookies, ActError> {
        let client = &context.client;
        let (waits, user, content) = self.pending_sign_in(presented).await?.ok_or(ActError::SignedOut)?;
        let attempt = self.attempt_passkey(context, Purpose::SecondFactor(waits.id), answer).await?;
        // The second try finds why a passkey could not be used that was right when it was read.
        for _ in 0..2 {
            let CheckedPasskey { account, verified } = attempt.check().await?;
            if account.user_id != user {
                return Err(self.refuse_passkey(Some(user), Refusal::User).await?);
            }
            let (mut session, token) = self.sessions.begin(user, self.session_lifetime(content.remember), client);
            let now = session.created_at;
            session.authentication = raised(content.first_factor(now), verified.user_verified, now);
            session.provider.clone_from(&content.provider);
            let notice = self.new_device_notice(context, user).await?;
            let events = self.sign_in_events(context, &session, notice);
            let completed = self
                .store
                .complete_pending_sign_in_by_passkey(
                    waits,
                    content.version(),
                    &verified.used,
                    &session,
                    previous_sessions,
                    events,
                )
                .await?;
            let completed = self.sessions.wait_until_applied(completed).await?.map_err(|refused| match refused {
                FactorRefused::Ended | FactorRefused::CodeUsed => ActError::SignedOut,
            })?;
            if let Some(unused) = attempt.settle(user, completed).await? {
                self.refund(&content.attempted()).await;
                self.outbox_changed();
                self.record_sign_in(context, user, unused);
                return Ok(self.complete_sign_in(session.owned(), account.devices_void_until, token, client));
            }
        }
        Err(self.refuse_passkey(Some(user), Refusal::Changed).await?)
    }
}
