//! A sign-in that waits for its second factor, and its completion.
//!
//! Between the first factor and the second there is no session. The browser keeps a one-time token, whose row says who signs in.

use handstamp_core::{
    AssuranceLevel, AttemptKey, Attempts, Authentication, AuthenticationMethods, EmailAddress, OneTimeClaims,
    OneTimeId, OneTimePurpose, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::check_code::{CheckedCode, refused_code};
use super::{ActError, Services};
use crate::context::Context;
use crate::model::{Credentials, CredentialsVersion, FactorRefused, NewOneTimeToken, OwnedSession, SessionProvider};
#[cfg(feature = "federation")]
use crate::model::{IdentitySignIn, IdentityUse};
use crate::services::{SENT_TWICE_WITHIN, SignInCookies};
use crate::sessions::IssuedToken;
use crate::store::{CountedAttempt, SecondFactorUse, TokenUse};

/// The outcome of a first factor that was right.
pub(crate) enum SignedIn {
    /// The session has begun.
    Begun(SignInCookies),
    /// The user has a second factor.
    NeedsSecondFactor(PendingSignIn),
}

/// The second factors by which a user can complete a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaysToComplete {
    pub(crate) code: bool,
    pub(crate) passkey: bool,
}

/// A sign-in that waits for its second factor: the value of the pending cookie.
pub(crate) struct PendingSignIn(String);

impl PendingSignIn {
    /// The value of the cookie.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// The content of the row of such a sign-in.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::services) struct Content {
    credentials_version: i64,
    /// The methods of the first factor.
    methods: String,
    pub(in crate::services) remember: bool,
    /// The attempts that are refunded once the second factor is right.
    attempted: Vec<Attempt>,
    /// How the session began at a provider, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::services) provider: Option<SessionProvider>,
    /// The hash of the code that has completed the sign-in, if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed_by: Option<[u8; 32]>,
}

/// An attempt that was counted: its key, and the counts with it.
#[derive(Clone, Serialize, Deserialize)]
struct Attempt {
    key: [u8; 32],
    count: u32,
    since: u64,
    last_at: u64,
    today: u32,
    day_since: u64,
}

impl Content {
    /// The version of the credentials that were checked.
    pub(in crate::services) fn version(&self) -> CredentialsVersion {
        CredentialsVersion(self.credentials_version)
    }

    /// The authentication by the first factor.
    pub(in crate::services) fn first_factor(&self, at: Timestamp) -> Authentication {
        Authentication::new(AuthenticationMethods::from_stored(&self.methods), AssuranceLevel::ONE_FACTOR, at)
    }

    /// The attempts that are refunded once the second factor is right.
    pub(in crate::services) fn attempted(self) -> Vec<CountedAttempt> {
        self.attempted.into_iter().map(CountedAttempt::from).collect()
    }

    fn to_text(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts can be serialized")
    }
}

/// The hash of a typed code, for the comparison with that of a form that is sent twice.
fn hash_of(id: OneTimeId, typed: &str) -> [u8; 32] {
    Sha256::new().chain_update(id.as_bytes()).chain_update(typed).finalize().into()
}

impl From<&CountedAttempt> for Attempt {
    fn from((key, attempts): &CountedAttempt) -> Self {
        Self {
            key: *key.as_bytes(),
            count: attempts.count,
            since: attempts.since.unix_seconds(),
            last_at: attempts.last_at.unix_seconds(),
            today: attempts.today,
            day_since: attempts.day_since.unix_seconds(),
        }
    }
}

impl From<Attempt> for CountedAttempt {
    fn from(stored: Attempt) -> Self {
        let time = Timestamp::from_unix_seconds;
        let attempts = Attempts {
            count: stored.count,
            since: time(stored.since),
            last_at: time(stored.last_at),
            today: stored.today,
            day_since: time(stored.day_since),
        };
        (AttemptKey::from_bytes(stored.key), attempts)
    }
}

/// The first factor of a sign-in, which was right.
pub(in crate::services) struct FirstFactor {
    pub(in crate::services) methods: AuthenticationMethods,
    pub(in crate::services) remember: bool,
    /// The attempts that are refunded once the second factor is right.
    pub(in crate::services) attempted: Vec<CountedAttempt>,
    /// The mailed code, if it was one.
    pub(in crate::services) code: Option<TokenUse>,
    /// The session at a provider, if it was one.
    pub(in crate::services) provider: Option<SessionProvider>,
}

impl Services {
    /// Has a sign-in wait for its second factor. It replaces the one that the browser had before. None if the credentials were changed
    /// meanwhile, or the mailed code was used.
    pub(in crate::services) async fn begin_pending_sign_in(
        &self,
        account: &Credentials,
        first: &FirstFactor,
        presented: &str,
    ) -> Result<Option<PendingSignIn>, ActError> {
        let (token, replaced, stale) = self.new_pending_sign_in(account, first, presented).await?;
        let (id, version) = (account.user_id, account.version);
        let begun = self.store.begin_pending_sign_in(&token, id, version, first.code, replaced, stale).await?;
        Ok(begun.then(|| PendingSignIn(self.text_of(&token))))
    }

    /// The same for a sign-in through a provider, whose attempt is used.
    #[cfg(feature = "federation")]
    pub(in crate::services) async fn begin_pending_sign_in_through(
        &self,
        account: &Credentials,
        first: &FirstFactor,
        used: &IdentityUse,
        presented: &str,
    ) -> Result<(IdentitySignIn, PendingSignIn), ActError> {
        let (token, replaced, stale) = self.new_pending_sign_in(account, first, presented).await?;
        let provider = first.provider.as_ref().ok_or(ActError::SignedOut)?;
        let (id, version) = (account.user_id, account.version);
        let begun =
            self.store.begin_pending_sign_in_by_identity(used, &token, provider, id, version, replaced, stale).await?;
        Ok((begun, PendingSignIn(self.text_of(&token))))
    }

    /// The token of a sign-in that is to wait, the id of the one that it replaces, and the time before which others are stale.
    async fn new_pending_sign_in(
        &self,
        account: &Credentials,
        first: &FirstFactor,
        presented: &str,
    ) -> Result<(NewOneTimeToken, Option<OneTimeId>, Timestamp), ActError> {
        let now = self.sessions.now();
        let user = self.user(account.user_id).await?;
        let email = EmailAddress::parse(&user.email).map_err(|_| ActError::SignedOut)?;
        let content = Content {
            credentials_version: account.version.0,
            methods: first.methods.to_string(),
            remember: first.remember,
            attempted: first.attempted.iter().map(Attempt::from).collect(),
            provider: first.provider.clone(),
            completed_by: None,
        };
        let mut token = self.new_token(OneTimePurpose::PendingSignIn, Some(account.user_id), &email, None);
        token.content = content.to_text();
        let replaced = self.one_time.open(presented, now).ok().map(|claims| claims.id);
        // Of a form that is sent twice, the browser keeps the cookie of either.
        Ok((token, replaced, now.before(SENT_TWICE_WITHIN)))
    }

    /// How the user of a sign-in that waits can complete it. None if no such sign-in waits.
    pub(crate) async fn ways_to_complete(&self, presented: &str) -> Result<Option<WaysToComplete>, ActError> {
        let Some((_, user_id, _)) = self.pending_sign_in(presented).await? else { return Ok(None) };
        let factors = self.factors_of(user_id).await?;
        Ok(Some(WaysToComplete { code: factors.totp_since.is_some(), passkey: self.has_passkey(&factors) }))
    }

    /// The sign-in that waits by this cookie: its token, its user, and the content of its row.
    pub(in crate::services) async fn pending_sign_in(
        &self,
        presented: &str,
    ) -> Result<Option<(TokenUse, UserId, Content)>, ActError> {
        let purpose = OneTimePurpose::PendingSignIn;
        let Some(waits) = self.open_purpose(presented, purpose) else { return Ok(None) };
        let content = self.content_of(waits, purpose).await?;
        Ok(content.map(|(user_id, content)| (waits, user_id, content)))
    }

    fn open_purpose(&self, presented: &str, purpose: OneTimePurpose) -> Option<TokenUse> {
        let now = self.sessions.now();
        let claims = self.one_time.open(presented, now).ok()?;
        (claims.purpose == purpose).then_some(TokenUse { id: claims.id, now })
    }

    /// Completes a sign-in by a code of the authenticator app or a recovery code: begins the session, and revokes the earlier sessions
    /// of this browser.
    ///
    /// # Errors
    /// [`SignedOut`](ActError::SignedOut) if no such sign-in waits.
    pub(crate) async fn complete_sign_in_by_code(
        &self,
        context: &Context,
        presented: &str,
        typed: &str,
        previous_sessions: &[OwnedSession],
    ) -> Result<SignInCookies, ActError> {
        let waiting = self.pending_sign_in(presented).await?;
        let (waits, user_id, content) = waiting.ok_or(ActError::SignedOut)?;
        let CheckedCode { code, attempted } = self.check_factor_code(user_id, typed).await?;
        let user = self.user(user_id).await?;
        let (used, event) = self.code_use(context, (user_id, &user.name, &user.email), code).await?;
        let lifetime = self.session_lifetime(content.remember);
        let (mut session, token) = self.sessions.begin(user_id, lifetime, &context.client);
        session.authentication = content.first_factor(session.created_at).with_code(session.created_at);
        session.provider.clone_from(&content.provider);
        let notice = self.new_device_notice(context, user_id).await?;
        let events = self.sign_in_events(context, &session, notice);
        let checked = content.version();
        let email = EmailAddress::parse(&user.email).map_err(|_| ActError::SignedOut)?;
        let repeated = NewOneTimeToken {
            id: waits.id,
            content: Content { completed_by: Some(hash_of(waits.id, typed)), attempted: Vec::new(), ..content.clone() }
                .to_text(),
            ..self.new_token(OneTimePurpose::RepeatedSignIn, Some(user_id), &email, None)
        };
        let completed = self
            .store
            .complete_pending_sign_in(
                SecondFactorUse { token: waits, checked, code: used, repeated },
                &session,
                previous_sessions,
                events,
            )
            .await?;
        let unused = self.sessions.wait_until_applied(completed).await?.map_err(|refused| match refused {
            FactorRefused::Ended => ActError::SignedOut,
            FactorRefused::CodeUsed => refused_code(user_id),
        })?;
        self.refund(&attempted).await;
        self.refund(&content.attempted()).await;
        if let Some(event) = event {
            self.record(context, &event);
        }
        self.finish_sign_in(context, session.owned(), token, unused).await
    }

    /// Records a sign-in whose session has begun, and makes its cookies. `unused` are the sessions that were ended to stay within the
    /// limit.
    pub(in crate::services) async fn finish_sign_in(
        &self,
        context: &Context,
        session: OwnedSession,
        token: IssuedToken,
        unused: u64,
    ) -> Result<SignInCookies, ActError> {
        self.outbox_changed();
        self.record_sign_in(context, session.user_id, unused);
        // It may have changed with the sign-in, as by a first confirmation of the address.
        let account = self.store.credentials_by_id(session.user_id).await?;
        let void_until = account.and_then(|account| account.devices_void_until);
        Ok(self.complete_sign_in(session, void_until, token, &context.client))
    }

    /// The token that signs in once more, if this form was sent twice and the first has signed the user in with the same code. The browser
    /// may have dropped the cookies of that response. The token is good for one session.
    pub(crate) async fn token_to_repeat(
        &self,
        presented: &str,
        typed: &str,
    ) -> Result<Option<PendingSignIn>, ActError> {
        let purpose = OneTimePurpose::RepeatedSignIn;
        let Some(waited) = self.open_purpose(presented, OneTimePurpose::PendingSignIn) else { return Ok(None) };
        let completed = self.content_of(waited, purpose).await?;
        let is_repeated = completed.is_some_and(|(_, content)| content.completed_by == Some(hash_of(waited.id, typed)));
        let claims = OneTimeClaims { purpose, id: waited.id, expires_at: waited.now.after(SENT_TWICE_WITHIN) };
        Ok(is_repeated.then(|| PendingSignIn(self.one_time.issue(&claims))))
    }

    /// Signs in once more by such a token. None if the cookie is none, or the token was used or has ended.
    pub(crate) async fn repeat_sign_in(
        &self,
        context: &Context,
        presented: &str,
        previous_sessions: &[OwnedSession],
    ) -> Result<Option<SignInCookies>, ActError> {
        let purpose = OneTimePurpose::RepeatedSignIn;
        let Some(token) = self.open_purpose(presented, purpose) else { return Ok(None) };
        let Some((user_id, content)) = self.content_of(token, purpose).await? else { return Ok(None) };
        let lifetime = self.session_lifetime(content.remember);
        let (mut session, issued) = self.sessions.begin(user_id, lifetime, &context.client);
        session.authentication = content.first_factor(session.created_at).with_code(session.created_at);
        session.provider.clone_from(&content.provider);
        let (checked, events) = (content.version(), self.sign_in_events(context, &session, None));
        let repeated = self.store.repeat_sign_in(token, checked, &session, previous_sessions, events).await?;
        let Some(unused) = self.sessions.wait_until_applied(repeated).await? else { return Ok(None) };
        self.finish_sign_in(context, session.owned(), issued, unused).await.map(Some)
    }

    /// The user of a sign-in, and the content of its row. None if it has ended, or cannot be read.
    async fn content_of(
        &self,
        waits: TokenUse,
        purpose: OneTimePurpose,
    ) -> Result<Option<(UserId, Content)>, ActError> {
        let token = self.store.token(waits.id, purpose, waits.now).await?;
        Ok(token.and_then(|token| Some((token.user_id?, serde_json::from_str(&token.content).ok()?))))
    }
}
