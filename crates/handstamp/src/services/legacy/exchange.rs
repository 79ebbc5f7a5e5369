//! Exchanges a session of the framework that the site has left for a session of ours.

use std::time::Duration;

use handstamp_core::legacy_cookie::{
    LegacyCookie, LegacyDigest, LegacyKind, LegacyUser, StoredSession, StoredSessionKey, UnverifiedSession,
};
use handstamp_core::{
    AssuranceLevel, Authentication, AuthenticationMethods, EmailAddress, PasswordHash, Timestamp, UserId,
};

use super::{EXCHANGES, LegacySessions, Services};
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{
    ADMINISTRATORS, LegacyAccount, LegacyColumn, LegacyExchange, LegacyRefusal, OwnedSession, SignInEvents,
};
use crate::services::SignInCookies;
use crate::sessions::IssuedToken;

/// How old the authentication of an exchanged session is at least: nothing that asks for a recent one takes it.
const OLD: Duration = Duration::from_secs(2 * 86_400);

/// The outcome of an exchange.
pub(crate) enum LegacyExchanged {
    /// A session has begun.
    Begun(SignInCookies),
    Refused(LegacyRefusal),
}

/// A refusal, and the user whom the session names, if there is one.
type Refused = (Option<UserId>, LegacyRefusal);

fn of_nobody(refusal: LegacyRefusal) -> Refused {
    (None, refusal)
}

impl LegacySessions {
    /// The session of the cookies of a request. Several spellings of one session count as one.
    fn open<'a>(&self, cookies: impl Iterator<Item = &'a str>, now: Timestamp) -> Result<LegacyCookie, LegacyRefusal> {
        if now >= self.until {
            return Err(LegacyRefusal::WindowOver);
        }
        let (mut found, mut refusal): (Option<LegacyCookie>, _) = (None, LegacyRefusal::NoCookie);
        for value in cookies {
            match self.cookies.open(value, now) {
                Ok(cookie) => match &found {
                    Some(other) if other.digest() != cookie.digest() => return Err(LegacyRefusal::SeveralSessions),
                    _ => found = Some(cookie),
                },
                Err(error) => refusal = LegacyRefusal::Cookie(error),
            }
        }
        found.ok_or(refusal)
    }

    /// The hash of a password as the former framework has it. That of Devise has a mark of ours before it.
    fn text_of<'a>(&self, hash: &'a PasswordHash) -> &'a str {
        let text = hash.expose();
        let of_bcrypt = text.find("$2").filter(|_| self.framework == LegacyKind::Rails.name());
        of_bcrypt.map_or(text, |at| &text[at..])
    }

    /// Reads the session that a cookie names, and opens it.
    async fn open_stored(&self, key: &StoredSessionKey, now: Timestamp) -> Result<UnverifiedSession, LegacyRefusal> {
        let found = self.find(key).await.map_err(|error| {
            Event::LegacyStoreUnavailable { error: &error }.record();
            LegacyRefusal::StoreUnavailable
        })?;
        let found = found.ok_or(LegacyRefusal::NoStoredSession)?;
        let stored = StoredSession { content: &found.content, expires_at: found.expires_at };
        self.cookies.open_stored(key, &stored, now).map_err(LegacyRefusal::Cookie)
    }
}

impl Services {
    /// Exchanges the session of these cookies of the former framework, and revokes the earlier sessions of this browser. Each session is
    /// exchanged once over all nodes.
    pub(crate) async fn exchange_legacy_session(
        &self,
        context: &Context,
        cookies: impl Iterator<Item = &str> + Send,
        previous: &[OwnedSession],
    ) -> Result<LegacyExchanged, InternalError> {
        let exchanged = self.try_exchange(context, cookies, previous).await?;
        let outcome = exchanged.as_ref().map_or_else(|(_, refusal)| refusal.name(), |_| "exchanged");
        metrics::counter!(EXCHANGES, "outcome" => outcome).increment(1);
        Ok(match exchanged {
            Ok(cookies) => LegacyExchanged::Begun(cookies),
            Err((user, refusal)) => {
                Event::LegacySessionRefused { user, reason: refusal.name() }.record();
                LegacyExchanged::Refused(refusal)
            }
        })
    }

    async fn try_exchange(
        &self,
        context: &Context,
        cookies: impl Iterator<Item = &str> + Send,
        previous: &[OwnedSession],
    ) -> Result<Result<SignInCookies, Refused>, InternalError> {
        let Some(legacy) = &self.legacy else { return Ok(Err(of_nobody(LegacyRefusal::NoCookie))) };
        let now = self.sessions.now();
        let session = match legacy.open(cookies, now) {
            Ok(LegacyCookie::Session(session)) => session,
            Ok(LegacyCookie::Stored(key)) => match legacy.open_stored(&key, now).await {
                Ok(session) => session,
                Err(refusal) => return Ok(Err(of_nobody(refusal))),
            },
            Err(refusal) => return Ok(Err(of_nobody(refusal))),
        };
        let Some(account) = self.legacy_account(legacy, session.user_to_look_up()).await? else {
            return Ok(Err(of_nobody(LegacyRefusal::UnknownUser)));
        };
        let user = account.user_id;
        let refused = |refusal| Ok(Err((Some(user), refusal)));
        if let Some(refusal) = self.refusal_of(&account) {
            return refused(refusal);
        }
        let hash = account.password_hash.as_ref().map(|hash| legacy.text_of(hash));
        let verified = match session.verify(hash) {
            Ok(verified) => verified,
            Err(error) => return refused(LegacyRefusal::Cookie(error)),
        };
        let issued_at = verified.issued_at.unwrap_or(account.imported_at);
        let begun = self.begin_exchanged(context, &account, verified.digest, issued_at, previous).await?;
        let (session, token, unused) = match begun {
            Ok(begun) => begun,
            Err(refusal) => return refused(refusal),
        };
        // The former sessions of all users may have ended since the account was read. An act that ends them from now on ends this one too.
        if self.store.all_legacy_sessions_ended_at().await?.is_some_and(|at| at >= account.imported_at) {
            let event = Event::SessionRevoked { user: Some(user), sessions: 1 };
            let ended = self.store.end_sessions(vec![(session, self.new_event(context, &event))]).await?;
            self.sessions.wait_until_applied(ended).await?;
            self.record(context, &event);
            return refused(LegacyRefusal::SessionsEnded);
        }
        self.record(context, &Event::LegacySessionExchanged { user });
        if unused > 0 {
            self.record(context, &Event::SessionLimit { user, sessions: unused });
        }
        Ok(Ok(self.complete_sign_in(session, None, token, &context.client)))
    }

    /// The imported account of a user of the former system.
    pub(super) async fn legacy_account(
        &self,
        legacy: &LegacySessions,
        user: &LegacyUser,
    ) -> Result<Option<LegacyAccount>, InternalError> {
        let find = async |column, value: &str| self.store.legacy_account(column, value).await;
        if matches!(user, LegacyUser::FsUniquifier(_))
            && let Some(account) = find(LegacyColumn::SessionKey, user.text()).await?
        {
            return Ok(Some(account));
        }
        if let Some(account) = find(LegacyColumn::Id, user.text()).await? {
            return Ok(Some(account));
        }
        match EmailAddress::parse(user.text()) {
            Ok(email) if legacy.by_address => Ok(find(LegacyColumn::EmailKey, email.key()).await?),
            _ => Ok(None),
        }
    }

    /// Why no former session of this account is exchanged.
    fn refusal_of(&self, account: &LegacyAccount) -> Option<LegacyRefusal> {
        let is_in = |group: &str| account.groups.iter().any(|of| of == group);
        match () {
            () if account.disabled => Some(LegacyRefusal::Disabled),
            () if account.sessions_ended => Some(LegacyRefusal::SessionsEnded),
            () if account.credentials_changed => Some(LegacyRefusal::CredentialsChanged),
            () if account.has_factor => Some(LegacyRefusal::HasFactor),
            () if is_in(ADMINISTRATORS) => Some(LegacyRefusal::Administrator),
            () if self.is_factor_required(is_in) => Some(LegacyRefusal::FactorRequired),
            () => None,
        }
    }

    /// Begins the session in place of the former one, in one transaction with its use.
    async fn begin_exchanged(
        &self,
        context: &Context,
        account: &LegacyAccount,
        digest: LegacyDigest,
        issued_at: Timestamp,
        previous: &[OwnedSession],
    ) -> Result<Result<(OwnedSession, IssuedToken, u64), LegacyRefusal>, InternalError> {
        let user = account.user_id;
        let (mut session, token) = self.sessions.begin(user, self.session_lifetime(true), &context.client);
        let at = issued_at.min(session.created_at.before(OLD));
        session.authentication = Authentication::new(AuthenticationMethods::PASSWORD, AssuranceLevel::ONE_FACTOR, at);
        let entry = |event| self.new_event(context, &event).in_session(session.session_id);
        let events = SignInEvents {
            signed_in: entry(Event::LegacySessionExchanged { user }),
            limited: entry(Event::SessionLimit { user, sessions: 0 }),
        };
        let kept_until = self.legacy.as_ref().map_or(session.created_at, |legacy| legacy.until);
        let exchange = LegacyExchange { digest, kept_until, checked: account.version };
        let exchanged = self.store.exchange_legacy_session(exchange, &session, previous, events).await?;
        let exchanged = self.sessions.wait_until_applied(exchanged).await?;
        Ok(exchanged.map(|unused| (session.owned(), token, unused)))
    }
}
