//! The ways in of a user: what is left to sign in with when one of them is removed.

use handstamp_core::UserId;

use super::Result;
use super::statement::{Sql, Tx, request};

impl Tx<'_> {
    /// Whether a user can sign in: by a password, by a passkey whose authenticator verifies the user, or by an identity of one of the
    /// `configured` providers. The transaction must hold the row of the user, so that two removals do not each count on what the other
    /// removes.
    pub(super) async fn has_way_in(&mut self, user_id: UserId, configured: &[&str]) -> Result<bool> {
        const OWN: Sql = request(
            "SELECT (SELECT COUNT(password_hash) FROM users WHERE id = $1)
                + (SELECT COUNT(*) FROM passkeys WHERE user_id = $1 AND user_verified = 1)",
        );
        const PROVIDERS: Sql = request("SELECT provider FROM identities WHERE user_id = $1");
        let (own,): (i64,) = self.fetch_one(OWN, &[user_id.into()]).await?;
        let providers: Vec<(String,)> = self.fetch_all(PROVIDERS, &[user_id.into()]).await?;
        Ok(own > 0 || providers.iter().any(|(provider,)| configured.contains(&provider.as_str())))
    }
}
