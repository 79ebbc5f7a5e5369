//! The back-channel logout of a provider: it ends the sessions that rest on one there (OpenID Connect Back-Channel Logout 1.0).

use super::attempt::VALIDITY;
use super::{Failure, Provider};
use crate::context::Context;
use crate::events::Event;
use crate::model::ProviderLogout;
use crate::services::Services;
use crate::services::mail::LinkValidity;

impl Services {
    /// Ends the sessions that a logout token is about, on every node. A sign-in that is still under way is refused: the logout is
    /// remembered for as long as one can be.
    pub(crate) async fn end_sessions_of_provider(
        &self,
        context: &Context,
        provider: &Provider,
        token: &str,
    ) -> Result<(), Failure> {
        let (http, _) = self.http_of_providers()?;
        let now = self.sessions.now();
        let verified = provider.verify_logout(http, token, now).await;
        let token = verified.map_err(|refusal| self.refuse_provider(provider, None, refusal))?;
        let logout = ProviderLogout {
            issuer: token.issuer,
            subject: token.subject,
            session_id: token.session_id,
            issued_at: token.issued_at,
            // An attempt, and then a sign-in that waits for its second factor.
            expires_at: now.after(VALIDITY + LinkValidity::SIGN_IN * 2),
        };
        let event = Event::SessionRevoked { user: None, sessions: 0 };
        let entry = self.new_event(context, &event);
        let ended = self.store.end_provider_sessions(&logout, entry).await?;
        let sessions = self.sessions.wait_until_applied(ended).await?;
        Event::ProviderLogout { provider: &provider.name, sessions }.record();
        Ok(())
    }
}
