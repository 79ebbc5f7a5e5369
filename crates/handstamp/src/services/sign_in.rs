//! Signs a user in with an e-mail address and a password.

use handstamp_core::{
    AttemptKey, AuthenticationMethods, EmailAddress, HashCosts, KnownDevices, Password, PasswordHash,
};

use super::factors::{FirstFactor, SignedIn};
use super::hashing::{HashPermit, Share, Verification};
use super::throttle::PasswordAttempt;
use super::{ActError, Services};
use crate::context::{ClientInfo, Context};
use crate::events::Event;
use crate::model::{Credentials, Field, FieldErrors, Message, OwnedSession, StoredPassword};
use crate::store::CountedAttempt;

/// A request to sign in.
pub(crate) struct SignInRequest {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) remember: bool,
}

impl SignInRequest {
    /// Parses the fields of a sign-in.
    ///
    /// # Errors
    /// What is wrong with each field. A password that is longer than any is just a wrong one.
    pub(crate) fn parse(email: &str, password: &str, remember: bool) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let email = errors.check(Field::Email, EmailAddress::parse(email));
        let password = errors.check(Field::Password, Password::parse(password).map_err(|_| Message::WrongCredentials));
        match (email, password) {
            (Some(email), Some(password)) => Ok(Self { email, password, remember }),
            _ => Err(errors),
        }
    }
}

/// The account of a password that is right.
struct CheckedCredentials {
    account: Credentials,
    hash: PasswordHash,
    /// The hash of the same password with the current settings, if they differ.
    rehashed: Option<PasswordHash>,
    /// The attempts that were counted.
    attempted: Vec<CountedAttempt>,
}

impl Services {
    /// Begins a session, and revokes the earlier sessions of this browser. If the user has a second factor, the sign-in waits for it, in
    /// place of the one whose cookie the browser has presented.
    pub(crate) async fn sign_in(
        &self,
        context: &Context,
        request: SignInRequest,
        previous_sessions: &[OwnedSession],
        presented_pending: &str,
    ) -> Result<SignedIn, ActError> {
        let client = &context.client;
        let known = self.devices.open(&client.device_cookie, self.sessions.now());
        let share = Share { network: client.network, account: AttemptKey::account(&request.email) };
        // The second try is for credentials that were changed between our read and our write.
        for _ in 0..2 {
            // A throttled attempt is refused before any other work is done.
            self.check_recent_refusal(&request.email, client).map_err(ActError::Throttled)?;
            let permit = self.hashing.reserve(share).await?;
            let found = self.store.credentials_by_email(&request.email).await?;
            let checked = self.check_credentials(permit, found, &request, &known, client).await?;
            let CheckedCredentials { account, hash, rehashed, attempted } = checked;
            if let Some(rehashed) = rehashed
                && let Err(error) = self.store.replace_hash(account.user_id, &hash, &rehashed).await
            {
                Event::RehashFailed { user: account.user_id, error: &error }.record();
            }
            if self.needs_second_factor(&account).await? {
                let methods = AuthenticationMethods::PASSWORD;
                let first = FirstFactor { methods, remember: request.remember, attempted, code: None, provider: None };
                match self.begin_pending_sign_in(&account, &first, presented_pending).await? {
                    Some(pending) => return Ok(SignedIn::NeedsSecondFactor(pending)),
                    None => continue,
                }
            }
            self.refund(&attempted).await;
            let (session, token) =
                self.sessions.begin(account.user_id, self.session_lifetime(request.remember), client);
            let notice = self.new_device_notice(context, account.user_id).await?;
            let events = self.sign_in_events(context, &session, notice);
            let signed = self.store.sign_in(account.version, &session, previous_sessions, events).await?;
            if let Some(unused) = self.sessions.wait_until_applied(signed).await? {
                self.outbox_changed();
                self.record_sign_in(context, account.user_id, unused);
                return Ok(SignedIn::Begun(self.complete_sign_in(
                    session.owned(),
                    account.devices_void_until,
                    token,
                    client,
                )));
            }
        }
        Err(ActError::field(Field::Password, Message::WrongCredentials))
    }

    /// The account and its hash, if the password is right and the account may sign in. A failure takes as long: if there is no
    /// valid hash, a decoy is computed.
    async fn check_credentials(
        &self,
        permit: HashPermit<'_>,
        (account, hash_costs): (Option<Credentials>, HashCosts),
        request: &SignInRequest,
        known: &KnownDevices,
        client: &ClientInfo,
    ) -> Result<CheckedCredentials, ActError> {
        let hash =
            account.as_ref().filter(|account| !account.disabled).and_then(|account| account.password_hash.clone());
        let stored = StoredPassword { hash: hash.clone(), hash_costs };
        let attempt = PasswordAttempt::SignIn { email: &request.email, account: account.as_ref(), known, client };
        let (checked, attempted) =
            self.check_password_before_second_factor(permit, &attempt, stored, request.password.clone()).await?;
        match (account, hash, checked) {
            (Some(account), Some(hash), Verification::Valid { rehashed }) => {
                Ok(CheckedCredentials { account, hash, rehashed, attempted })
            }
            (account, ..) => {
                let user = account.map(|account| account.user_id);
                Event::AuthnLoginFail { user }.record();
                self.store.count_failed_sign_in(user, self.sessions.now()).await?;
                Err(ActError::field(Field::Password, Message::WrongCredentials))
            }
        }
    }
}

#[cfg(test)]
mod tests;
