//! Sets up and removes the authenticator app of a user.

use std::time::Duration;

use handstamp_core::{TotpSecret, UserId};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::check_code::refused_code;
use super::{ActError, Services, TOTP, recipient};
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{FactorRefused, Message, StoredTotp};
use crate::services::{JobOutcome, SENT_TWICE_WITHIN, SignInCookies};
use crate::sessions::Session;

/// How long the secret of a set-up stays the same in a session, so that a page that is loaded again shows the code that was scanned.
const SET_UP_WITHIN: Duration = Duration::from_secs(3600);

/// The secrets that are read at once to be sealed anew.
const RESEALED_AT_ONCE: usize = 500;

/// A secret that is being set up.
pub(crate) struct NewTotp {
    /// The secret in Base32, in groups of four characters.
    pub(crate) text: Zeroizing<String>,
    /// The URL for authenticators, for the QR code.
    pub(crate) url: Zeroizing<String>,
}

/// An authenticator app that is set up: the cookies of the session at its new level, and the recovery codes, which are shown once.
pub(crate) struct TotpConfirmed {
    /// None if the session has them already.
    pub(crate) cookies: Option<SignInCookies>,
    pub(crate) recovery_codes: Vec<String>,
}

impl Services {
    /// The secret that the signed-in user's authenticator app is to share. None if an app is set up.
    pub(crate) async fn begin_totp(&self, session: &Session) -> Result<Option<NewTotp>, ActError> {
        let user = &session.user;
        let secret = TotpSecret::from_bytes(self.environment.random());
        let (sealed, now) = (self.seal_totp(user.id, &secret), self.sessions.now());
        let (owner, since) = ((user.id, session.session_id), now.before(SET_UP_WITHIN));
        let stored = self.store.begin_totp(owner, &sealed, now, since).await?;
        let stored = stored.ok_or(ActError::SignedOut)?;
        if stored.confirmed_at.is_some() {
            return Ok(None);
        }
        let secret = self.open_totp(user.id, &stored.sealed).ok_or(ActError::Forbidden(Message::TryAgain))?;
        let url = secret.url(&self.config.site_name, user.email());
        Ok(Some(NewTotp { text: secret.text(), url }))
    }

    /// Turns the authenticator app of the signed-in user on, once a code of it was typed. This session goes on at level 2, the user's
    /// other sessions, one-time tokens and device cookies end, and there are ten new recovery codes. Of a form that is sent twice, the user
    /// has not seen the codes of the first, so the second replaces them.
    pub(crate) async fn confirm_totp(
        &self,
        context: &Context,
        session: &Session,
        typed: &str,
    ) -> Result<TotpConfirmed, ActError> {
        let user_id = session.user.id;
        self.check_may_change_factors(session).await?;
        let stored = self.store.totp_of(user_id).await?.ok_or_else(|| refused_code(user_id))?;
        if stored.confirmed_at.is_some() {
            if !self.has_just_been_set_up_by(user_id, &stored, typed) {
                return Err(refused_code(user_id));
            }
            let recovery_codes = self.replace_recovery_codes(context, session).await?;
            return Ok(TotpConfirmed { cookies: None, recovery_codes });
        }
        let attempted = self.count_factor_code(user_id).await?;
        let now = self.sessions.now();
        let secret = self.open_totp(user_id, &stored.sealed);
        let step = secret.and_then(|secret| secret.step_of(typed, now)).ok_or_else(|| refused_code(user_id))?;
        let (recovery_codes, hashes) = self.new_recovery_codes(user_id);
        let (continued, token) = self.sessions.continue_as(session, session.authentication.with_code(now));
        let event = Event::FactorAdded { user: user_id, factor: TOTP };
        let notice = self.factor_notice(context, recipient(session), "totp_added", None);
        let entry = self.new_event(context, &event).in_session(continued.session_id).with_message(notice);
        let confirmed = self
            .store
            .confirm_totp(&continued, (&stored.sealed, session.session_id), step, &hashes, now, entry)
            .await?;
        self.sessions.wait_until_applied(confirmed).await?.map_err(|refused| match refused {
            FactorRefused::Ended => ActError::SignedOut,
            FactorRefused::CodeUsed => refused_code(user_id),
        })?;
        self.refund(&attempted).await;
        self.outbox_changed();
        self.record(context, &event);
        let cookies = self.complete_sign_in(continued.owned(), Some(now), token, &context.client);
        Ok(TotpConfirmed { cookies: Some(cookies), recovery_codes })
    }

    /// Whether a user has set an authenticator app up a moment ago, as by the first form of two.
    pub(crate) async fn has_just_set_up_totp(&self, user_id: UserId) -> Result<bool, ActError> {
        Ok(self.store.totp_of(user_id).await?.is_some_and(|stored| self.is_just_set_up(&stored)))
    }

    fn is_just_set_up(&self, stored: &StoredTotp) -> bool {
        stored.confirmed_at.is_some_and(|at| self.sessions.now().since(at) < SENT_TWICE_WITHIN)
    }

    /// Whether this code has set the app up, a moment ago.
    fn has_just_been_set_up_by(&self, user_id: UserId, stored: &StoredTotp, typed: &str) -> bool {
        let step =
            self.open_totp(user_id, &stored.sealed).and_then(|secret| secret.step_of(typed, self.sessions.now()));
        self.is_just_set_up(stored) && step == Some(stored.last_step)
    }

    /// Removes the authenticator app of the signed-in user, and the recovery codes. The sessions that rested on it end: all others, and
    /// this one goes on at the level that is left. None if there is no app.
    pub(crate) async fn remove_totp(
        &self,
        context: &Context,
        session: &Session,
    ) -> Result<Option<SignInCookies>, ActError> {
        let user_id = session.user.id;
        if self.factors_of(user_id).await?.totp_since.is_none() {
            return Ok(None);
        }
        let now = self.sessions.now();
        let (continued, token) = self.sessions.continue_as(session, session.authentication.without_codes());
        let event = Event::FactorRemoved { user: user_id, factor: TOTP };
        let notice = self.factor_notice(context, recipient(session), "totp_removed", None);
        let entry = self.new_event(context, &event).in_session(continued.session_id).with_message(notice);
        let removed = self.store.remove_totp(&continued, now, entry).await?;
        self.sessions.wait_until_applied(removed).await?.map_err(|_| ActError::SignedOut)?;
        self.outbox_changed();
        self.record(context, &event);
        Ok(Some(self.complete_sign_in(continued.owned(), Some(now), token, &context.client)))
    }

    /// Seals the secrets anew that an earlier key has sealed, so that the key can be taken out of the settings.
    pub(crate) async fn reseal_totp(&self) -> Result<JobOutcome, InternalError> {
        let (prefix, mut after) = (self.factor_sealer.current_prefix(), UserId::from_uuid(Uuid::nil()));
        loop {
            let sealed = self.store.totp_not_sealed_by(prefix, after, RESEALED_AT_ONCE).await?;
            let Some((last, _)) = sealed.last() else { return Ok(JobOutcome::Done) };
            after = *last;
            for (user_id, old) in &sealed {
                let context = *user_id.as_uuid().as_bytes();
                // Another node may have a newer key than this one, which does not open what that one has sealed.
                let Some(opened) = self.factor_sealer.open(old, &context) else { continue };
                let new = self.factor_sealer.seal(&self.environment.random(), &opened.value, &context);
                self.store.replace_sealed_totp(*user_id, old, &new).await?;
            }
        }
    }

    fn seal_totp(&self, user_id: UserId, secret: &TotpSecret) -> Vec<u8> {
        self.factor_sealer.seal(&self.environment.random(), secret.expose(), user_id.as_uuid().as_bytes())
    }
}
