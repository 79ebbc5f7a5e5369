//! Signs a user in with an e-mail address and a password.

use handstamp_core::{AttemptKey, EmailAddress, KnownDevices, Password, PasswordHash, RetryAfter};

use super::hashing::{HashPermit, Share, Verification};
use super::throttle::PasswordAttempt;
use super::{Services, SignInCookies};
use crate::context::{ClientInfo, Context};
use crate::error::InternalError;
use crate::events::Event;
use crate::model::{Credentials, OwnedSession};

/// A request to sign in.
pub(crate) struct SignInRequest {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) remember: bool,
}

/// Why a sign-in failed.
#[derive(Debug)]
pub(crate) enum SignInError {
    /// The address or the password is wrong; the response must not tell which.
    Wrong,
    /// Throttled: there were too many wrong passwords, so this one was not checked.
    Throttled(RetryAfter),
    Internal(InternalError),
}

impl<F: Into<InternalError>> From<F> for SignInError {
    fn from(error: F) -> Self {
        Self::Internal(error.into())
    }
}

impl Services {
    /// Begins a session, and revokes the earlier sessions of this browser.
    pub(crate) async fn sign_in(
        &self,
        context: &Context,
        request: SignInRequest,
        previous_sessions: &[OwnedSession],
    ) -> Result<SignInCookies, SignInError> {
        let client = &context.client;
        let known = self.devices.open(&client.device_cookie, self.sessions.now());
        let share = Share { network: client.network, account: AttemptKey::account(&request.email) };
        // The second try is for credentials that were changed between our read and our write.
        for _ in 0..2 {
            // A throttled attempt is refused before any other work is done.
            self.check_recent_refusal(&request.email, client).map_err(SignInError::Throttled)?;
            let permit = self.hashing.reserve(share).await?;
            let account = self.store.credentials_by_email(&request.email).await?;
            let (account, hash, rehashed) = self.check_credentials(permit, account, &request, &known, client).await?;
            let (session, token) =
                self.sessions.begin(account.user_id, self.session_lifetime(request.remember), client);
            let signed = self.store.sign_in(account.version, &session, previous_sessions).await?;
            if let Some(unused) = self.sessions.wait_until_applied(signed).await? {
                Event::AuthnLoginSuccess { user: account.user_id }.record();
                if unused > 0 {
                    Event::SessionLimit { user: account.user_id, sessions: unused }.record();
                }
                if let Some(rehashed) = rehashed
                    && let Err(error) = self.store.replace_hash(account.user_id, &hash, &rehashed).await
                {
                    Event::RehashFailed { user: account.user_id, error: &error }.record();
                }
                return Ok(self.complete_sign_in(session.owned(), account.changed_at, token, client));
            }
        }
        Err(SignInError::Wrong)
    }

    /// The account and its hash, if the password is right and the account may sign in. A failure takes as long: if there is no
    /// valid hash, a decoy is computed.
    async fn check_credentials(
        &self,
        permit: HashPermit<'_>,
        account: Option<Credentials>,
        request: &SignInRequest,
        known: &KnownDevices,
        client: &ClientInfo,
    ) -> Result<(Credentials, PasswordHash, Option<PasswordHash>), SignInError> {
        let hash =
            account.as_ref().filter(|account| !account.disabled).and_then(|account| account.password_hash.clone());
        let attempt = PasswordAttempt::SignIn { email: &request.email, account: account.as_ref(), known, client };
        let checked = self.check_password(permit, &attempt, hash.clone(), request.password.clone()).await?;
        match (account, hash, checked.map_err(SignInError::Throttled)?) {
            (Some(account), Some(hash), Verification::Valid { rehashed }) => Ok((account, hash, rehashed)),
            (account, ..) => {
                let user = account.map(|account| account.user_id);
                Event::AuthnLoginFail { user }.record();
                Err(SignInError::Wrong)
            }
        }
    }
}

#[cfg(test)]
mod tests;
