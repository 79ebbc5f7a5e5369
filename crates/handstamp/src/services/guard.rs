//! How often somebody may guess: the one way to a password check.

use handstamp_core::{AttemptKey, DeviceId, EmailAddress, Limit, Password, PasswordHash, Timestamp, UserId, Wait};
use quick_cache::sync::Cache;

use super::Accounts;
use super::hashing::{Checked, Place};
use super::patterns::Patterns;
use crate::config::LimitsConfig;
use crate::error::Fault;
use crate::log;
use crate::sessions::{Device, Session};
use crate::store::{Counted, Credentials};

/// So many counts are kept, each of some hundred bytes. How they make room: `Store::prune_attempts`.
const KEPT_ATTEMPTS: u64 = 1_000_000;
const ATTEMPTS_AT_ONCE: usize = 1000;

const PASSWORD_CHECKS: &str = "handstamp_password_checks_total";

/// So many refusals are remembered for the second in which they were given.
const REMEMBERED_REFUSALS: usize = 10_000;

/// The limits, and what is noticed beyond them.
pub(crate) struct Guard {
    person: Option<Limit>,
    network: Option<Limit>,
    registration: Option<Limit>,
    patterns: Patterns,
    /// What was refused lately, and when: whoever asks without a pause costs no statement each time.
    refused: Cache<AttemptKey, (Wait, Timestamp)>,
}

impl Guard {
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        metrics::describe_counter!(PASSWORD_CHECKS, "Passwords that somebody gave, by what came of it");
        Self {
            person: Limit::of_a_person(limits.sign_in_per_account),
            network: Limit::of_a_network(limits.sign_in_per_network),
            registration: Limit::of_a_network(limits.register_per_network),
            patterns: Patterns::default(),
            refused: Cache::new(REMEMBERED_REFUSALS),
        }
    }

    /// The wait that was given for one of these within this very second.
    fn remembered(&self, counted: &[Counted], now: Timestamp) -> Option<Wait> {
        let refused = counted.iter().filter_map(|(key, _)| self.refused.get(key));
        refused.filter(|(_, at)| *at == now).map(|(wait, _)| wait).max()
    }
}

/// Who wants a password looked at.
pub(super) enum Asking<'a> {
    /// Somebody who wants to sign in, to an account that there may be or not.
    Stranger { email: &'a EmailAddress, account: Option<&'a Credentials>, device: &'a Device },
    /// Somebody who is signed in, and gives the password once more.
    Member(&'a Session),
}

impl Asking<'_> {
    /// Whose password it would be, where there is such an account.
    fn user(&self) -> Option<UserId> {
        match self {
            Self::Stranger { account, .. } => account.map(|account| account.user_id),
            Self::Member(session) => Some(session.user.id),
        }
    }
}

impl Accounts {
    /// Looks whether a password is the right one, unless too many were wrong.
    ///
    /// The attempt counts before anybody looks, so that as many at once are not more than one by one. What counts is
    /// decided by who asks, and is the same work whether there is such an account or not.
    pub(super) async fn check_password(
        &self,
        place: Place<'_>,
        asking: &Asking<'_>,
        stored: Option<PasswordHash>,
        password: Password,
    ) -> Result<Result<Checked, Wait>, Fault> {
        let counted = self.counts_for(asking);
        if let Err(wait) = self.count(&counted).await? {
            self.tell_of_refusal(asking, wait);
            return Ok(Err(wait));
        }
        let fingerprint = self.guard.patterns.fingerprint(&password);
        let checked = place.check(stored, password, self.world.random()).await?;
        match &checked {
            Checked::Right { .. } => {
                metrics::counter!(PASSWORD_CHECKS, "outcome" => "right").increment(1);
                self.guard.patterns.note_right(self.sessions.now());
                self.take_back(&counted).await;
            }
            Checked::Wrong => {
                metrics::counter!(PASSWORD_CHECKS, "outcome" => "wrong").increment(1);
                if let Asking::Stranger { email, device, .. } = asking {
                    self.guard.patterns.note_wrong(device.network, email, fingerprint, self.sessions.now());
                }
            }
        }
        Ok(Ok(checked))
    }

    /// The wait of a stranger who was refused within this second already, without a look at anything else. Whoever shows
    /// a device cookie may be no stranger to the account.
    pub(super) fn refuse_again(&self, email: &EmailAddress, device: &Device) -> Result<(), Wait> {
        let asking = Asking::Stranger { email, account: None, device };
        let refused = device.cookie.is_empty().then(|| self.counts_for(&asking));
        match refused.and_then(|counted| self.guard.remembered(&counted, self.sessions.now())) {
            Some(wait) => {
                self.tell_of_refusal(&asking, wait);
                Err(wait)
            }
            None => Ok(()),
        }
    }

    fn tell_of_refusal(&self, asking: &Asking<'_>, wait: Wait) {
        let (user, seconds) = (asking.user().map(tracing::field::display), wait.0.as_secs());
        log::info!(event = "authn_login_fail_max", user, seconds, "looked at no password");
        metrics::counter!(PASSWORD_CHECKS, "outcome" => "too_many").increment(1);
    }

    /// Counts an attempt to register.
    pub(super) async fn count_registration(&self, device: &Device) -> Result<Result<(), Wait>, Fault> {
        let counted = self.guard.registration.map(|limit| (AttemptKey::registration(device.network), limit));
        let counted = self.count(counted.as_slice()).await?;
        if counted.is_err() {
            log::info!(event = "register_refused", reason = "too_many", "refused a registration");
        }
        Ok(counted)
    }

    /// The device, if somebody has signed in to this account there before.
    pub(super) fn known_device(&self, user_id: UserId, device: &Device) -> Option<DeviceId> {
        if device.cookie.is_empty() {
            return None;
        }
        self.devices.find(&device.cookie, user_id, self.sessions.now())
    }

    /// What an attempt counts for. Whoever signed in before is counted apart from strangers, so that nobody can shut them
    /// out by guessing, nor by sharing their network.
    fn counts_for(&self, asking: &Asking<'_>) -> Vec<Counted> {
        let person = |key| self.guard.person.map(|limit| (key, limit));
        let network = |key| self.guard.network.map(|limit| (key, limit));
        let counts = match asking {
            Asking::Member(session) => [person(AttemptKey::session(session.id_hash)), None],
            Asking::Stranger { email, account, device } => {
                let user_id = account.map(|account| account.user_id);
                match user_id.and_then(|user_id| Some((user_id, self.known_device(user_id, device)?))) {
                    Some((user_id, known)) => [person(AttemptKey::device(user_id, known)), None],
                    None => [person(AttemptKey::account(email)), network(AttemptKey::network(device.network))],
                }
            }
        };
        counts.into_iter().flatten().collect()
    }

    async fn count(&self, counted: &[Counted]) -> Result<Result<(), Wait>, Fault> {
        if counted.is_empty() {
            return Ok(Ok(()));
        }
        let now = self.sessions.now();
        if let Some(wait) = self.guard.remembered(counted, now) {
            return Ok(Err(wait));
        }
        let counted = self.store.count_attempt(counted, now).await?;
        Ok(counted.map_err(|(wait, key)| {
            self.guard.refused.insert(key, (wait, now));
            wait
        }))
    }

    /// Whoever was right goes on, even where it cannot be written down.
    async fn take_back(&self, counted: &[Counted]) {
        if !counted.is_empty()
            && let Err(error) = self.store.take_attempt_back(counted, self.sessions.now()).await
        {
            log::warn!(%error, "an attempt that was right still counts as wrong");
        }
    }

    /// Removes counts that nothing depends on any more, and those for which there is no room.
    pub(crate) async fn purge_attempts(&self) {
        let purged = async {
            if let Some(now) = self.sessions.believed_now() {
                while self.store.purge_attempts(now, ATTEMPTS_AT_ONCE).await? > 0 {}
            }
            while self.store.prune_attempts(KEPT_ATTEMPTS, ATTEMPTS_AT_ONCE).await? > 0 {}
            Ok::<_, sqlx::Error>(())
        };
        if let Err(error) = purged.await {
            log::warn!(%error, "old counts of attempts could not be removed");
        }
    }
}

#[cfg(test)]
mod tests;
