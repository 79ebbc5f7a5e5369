//! How often somebody may guess: the one way to a password check.

use std::time::Duration;

use handstamp_core::{
    AttemptKey, EmailAddress, KnownDevices, Limit, Network, Password, PasswordHash, Timestamp, UserId, Wait,
};
use quick_cache::sync::Cache;

use super::Accounts;
use super::hashing::{Checked, Place};
use super::patterns::Patterns;
use crate::config::LimitsConfig;
use crate::error::Fault;
use crate::log;
use crate::sessions::{Device, Session};
use crate::store::{Attempted, Counted, Credentials, OwnedSession};

/// So many counts are kept, each of some hundred bytes. How they make room: `Store::prune_attempts`.
const KEPT_ATTEMPTS: u64 = 1_000_000;
const ATTEMPTS_AT_ONCE: usize = 1000;

/// A site of IPv6 is 65,536 networks of one customer; it may guess as often as so many of them.
const NETWORKS_OF_A_SITE: u32 = 10;

const PASSWORD_CHECKS: &str = "handstamp_password_checks_total";

/// How long an attempt has to wait that only counts apart from strangers', at most.
const DAY: Duration = Duration::from_secs(86_400);

/// So many refusals are remembered for the second in which they were given.
const REMEMBERED_REFUSALS: usize = 10_000;

/// The limits, and what is noticed beyond them.
pub(crate) struct Guard {
    /// Of one device or one session.
    person: Option<Limit>,
    strangers: Option<Limit>,
    /// Of all devices and sessions of an account together.
    owner: Limit,
    network: Option<Limit>,
    site: Option<Limit>,
    registration: Option<Limit>,
    registration_of_a_site: Option<Limit>,
    patterns: Patterns,
    /// What was refused lately, and when: whoever asks without a pause costs no statement each time.
    refused: Cache<AttemptKey, (Wait, Timestamp)>,
}

impl Guard {
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        metrics::describe_counter!(PASSWORD_CHECKS, "Passwords that somebody gave, by what came of it");
        Self {
            person: Limit::of_a_person(limits.sign_in_per_account),
            strangers: Limit::of_strangers(limits.sign_in_per_account),
            owner: Limit::of_an_owner(limits.sign_in_per_account),
            network: Limit::of_a_network(limits.sign_in_per_network),
            site: Limit::of_a_network(limits.sign_in_per_network.saturating_mul(NETWORKS_OF_A_SITE)),
            registration: Limit::of_a_network(limits.register_per_network),
            registration_of_a_site: Limit::of_a_network(limits.register_per_network.saturating_mul(NETWORKS_OF_A_SITE)),
            patterns: Patterns::default(),
            refused: Cache::new(REMEMBERED_REFUSALS),
        }
    }

    /// The wait that was given for one of these within this very second.
    fn remembered(&self, counted: &[Counted], now: Timestamp) -> Option<(Wait, AttemptKey)> {
        let refused = counted.iter().filter_map(|(key, _)| Some((self.refused.get(key)?, *key)));
        refused.filter(|((_, at), _)| *at == now).map(|((wait, _), key)| (wait, key)).max()
    }
}

/// Who wants a password looked at.
pub(super) enum Asking<'a> {
    /// Somebody who wants to sign in, to an account that there may be or not.
    Stranger {
        email: &'a EmailAddress,
        account: Option<&'a Credentials>,
        /// What the device cookie says.
        known: &'a KnownDevices,
        device: &'a Device,
    },
    /// Somebody who is signed in, and gives the password once more.
    Member { session: &'a Session, device: &'a Device },
    /// Somebody who shows a session that has just ended, as a form does that was sent twice.
    Former(OwnedSession),
}

impl Asking<'_> {
    /// Whose password it would be, where there is such an account.
    fn user(&self) -> Option<UserId> {
        match self {
            Self::Stranger { account, .. } => account.map(|account| account.user_id),
            Self::Member { session, .. } => Some(session.user.id),
            Self::Former(session) => Some(session.user_id),
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
        let attempted = match self.count_attempt(asking).await? {
            Ok(attempted) => attempted,
            Err(wait) => {
                self.tell_of_refusal(asking, wait);
                return Ok(Err(wait));
            }
        };
        let fingerprint = self.guard.patterns.fingerprint(&password);
        let checked = match place.check(stored, password, self.world.random()).await {
            Err(Fault::Overloaded) => {
                // It had to give its place to others, and nobody looked at it.
                self.take_back(&attempted).await;
                return Err(Fault::Overloaded);
            }
            checked => checked?,
        };
        match &checked {
            Checked::Right { .. } => {
                metrics::counter!(PASSWORD_CHECKS, "outcome" => "right").increment(1);
                self.guard.patterns.note_right(self.sessions.now());
                self.take_back(&attempted).await;
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
        let asking = Asking::Stranger { email, account: None, known: &KnownDevices::default(), device };
        let refused = device.cookie.is_empty().then(|| self.counts_of_strangers(Some(email), device.network));
        match refused.and_then(|counted| self.guard.remembered(&counted, self.sessions.now())) {
            Some((wait, _)) => {
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
        let network = device.network;
        let counted = [
            self.guard.registration.map(|limit| (AttemptKey::registration(network), limit)),
            self.guard
                .registration_of_a_site
                .zip(AttemptKey::registration_of_a_site(network))
                .map(|(limit, key)| (key, limit)),
        ];
        let counted = self.count(&counted.into_iter().flatten().collect::<Vec<_>>()).await?;
        if counted.is_err() {
            log::info!(event = "register_refused", reason = "too_many", "refused a registration");
        }
        Ok(counted.map(drop).map_err(|(wait, _)| wait))
    }

    /// Counts a new password that was refused as an attempt of the session: judging one takes as long as a hash, and a session
    /// could have that done without end.
    pub(super) async fn count_refused_password(&self, session: &Session) -> Result<(), Fault> {
        let counted = self.guard.person.map(|limit| (AttemptKey::session(session.id_hash), limit));
        // That there were too many already shows with the next.
        let _ = self.count(counted.as_slice()).await?;
        Ok(())
    }

    /// Counts one more attempt. Where the owner is known, on a device or in a session, it counts apart from those of strangers, so that
    /// these cannot shut the owner out by guessing, nor by sharing a network. But all that is known of an account has one share
    /// of a day together, and what goes beyond that counts as a stranger's: so a day has a hundred, whatever cookies come along.
    async fn count_attempt(&self, asking: &Asking<'_>) -> Result<Result<Vec<Attempted>, Wait>, Fault> {
        if let Some((user_id, key)) = Self::known_as(asking) {
            let shared = AttemptKey::user(user_id);
            let limits = self.guard.person.map(|person| vec![(key, person), (shared, self.guard.owner)]);
            match self.count(&limits.unwrap_or_default()).await? {
                Err((_, refused)) if refused == shared => {}
                counted => return Ok(counted.map_err(|(wait, _)| wait)),
            }
        }
        let counts = match asking {
            Asking::Stranger { email, device, .. } => self.counts_of_strangers(Some(email), device.network),
            Asking::Member { session, device } => {
                let email = EmailAddress::parse(session.user.email()).ok();
                self.counts_of_strangers(email.as_ref(), device.network)
            }
            Asking::Former(_) => return Ok(Err(Wait(DAY))),
        };
        Ok(self.count(&counts).await?.map_err(|(wait, _)| wait))
    }

    /// Whose owner is known, and by what.
    fn known_as(asking: &Asking<'_>) -> Option<(UserId, AttemptKey)> {
        match asking {
            Asking::Stranger { account, known, .. } => {
                let account = (*account)?;
                let device = known.find(account.user_id, account.changed_at)?;
                Some((account.user_id, AttemptKey::device(account.user_id, device)))
            }
            Asking::Member { session, .. } => Some((session.user.id, AttemptKey::session(session.id_hash))),
            Asking::Former(session) => Some((session.user_id, AttemptKey::session(session.id_hash))),
        }
    }

    /// What the attempt of a stranger counts for.
    fn counts_of_strangers(&self, email: Option<&EmailAddress>, network: Network) -> Vec<Counted> {
        let counts = [
            self.guard.strangers.zip(email).map(|(limit, email)| (AttemptKey::account(email), limit)),
            self.guard.network.map(|limit| (AttemptKey::network(network), limit)),
            self.guard.site.zip(AttemptKey::site(network)).map(|(limit, key)| (key, limit)),
        ];
        counts.into_iter().flatten().collect()
    }

    /// Counts one more for each of these; or how long to wait instead, and for which of them.
    async fn count(&self, counted: &[Counted]) -> Result<Result<Vec<Attempted>, (Wait, AttemptKey)>, Fault> {
        if counted.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let now = self.sessions.now();
        if let Some(refused) = self.guard.remembered(counted, now) {
            return Ok(Err(refused));
        }
        let counted = self.store.count_attempt(counted, now).await?;
        Ok(counted.inspect_err(|(wait, key)| self.guard.refused.insert(*key, (*wait, now))))
    }

    /// Whoever was right goes on, even where it cannot be written down.
    async fn take_back(&self, attempted: &[Attempted]) {
        if !attempted.is_empty()
            && let Err(error) = self.store.take_attempt_back(attempted, self.sessions.now()).await
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
