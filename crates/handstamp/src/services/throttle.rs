//! Rate limits for password attempts and registrations. Every password check goes through here.

use std::time::Duration;

use handstamp_core::{
    AttemptKey, EmailAddress, KnownDevices, Limit, Network, OneTimeId, Password, RetryAfter, Timestamp, UserId,
};
use quick_cache::sync::Cache;

use super::attack_detection::AttackDetector;
use super::hashing::{HashPermit, Verification};
use super::{ActError, JobOutcome, Services};
use crate::config::LimitsConfig;
use crate::context::ClientInfo;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{Credentials, OwnedSession, StoredPassword};
use crate::sessions::Session;
use crate::store::{AttemptLimit, CountedAttempt};

/// The maximum number of stored counts, each of some hundred bytes; `Store::prune_attempts` removes the excess.
const MAX_ATTEMPT_ROWS: u64 = 1_000_000;
const ATTEMPTS_AT_ONCE: usize = 1000;

/// An IPv6 site (the first 48 bits of an address) has the limit of this many networks. It contains 65,536 networks, and a
/// provider may give all of them to one customer.
const NETWORKS_OF_A_SITE: u32 = 10;

const PASSWORD_CHECKS: &str = "handstamp_password_checks_total";

/// The wait for an attempt with an ended session once the owner's share of the daily limit is used up. A new day begins within
/// that time.
const DAY: Duration = Duration::from_secs(86_400);

/// How many refusals are cached, each for the second in which it was given.
const MAX_RECENT_REFUSALS: usize = 10_000;

/// The rate limits, the cache of recent refusals, and the detection of attacks.
pub(crate) struct LoginThrottle {
    /// For one known device or one session.
    per_device: Option<Limit>,
    /// For all unknown devices of an account together.
    per_account: Option<Limit>,
    /// For all known devices and all sessions of an account together.
    per_owner: Limit,
    per_network: Option<Limit>,
    per_site: Option<Limit>,
    registration: Option<Limit>,
    registration_of_a_site: Option<Limit>,
    attacks: AttackDetector,
    /// Recent refusals with their times, so that a client that retries at once costs no database statement each time.
    refused: Cache<AttemptKey, (RetryAfter, Timestamp)>,
}

impl LoginThrottle {
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        metrics::describe_counter!(PASSWORD_CHECKS, "Password attempts, by outcome");
        Self {
            per_device: Limit::per_device(limits.sign_in_per_account),
            per_account: Limit::per_account(limits.sign_in_per_account),
            per_owner: Limit::per_owner(limits.sign_in_per_account),
            per_network: Limit::per_network(limits.sign_in_per_network),
            per_site: Limit::per_network(limits.sign_in_per_network.saturating_mul(NETWORKS_OF_A_SITE)),
            registration: Limit::per_network(limits.register_per_network),
            registration_of_a_site: Limit::per_network(limits.register_per_network.saturating_mul(NETWORKS_OF_A_SITE)),
            attacks: AttackDetector::default(),
            refused: Cache::new(MAX_RECENT_REFUSALS),
        }
    }

    /// The longest wait that was given for one of these keys within the current second.
    fn recent_refusal(&self, counted: &[AttemptLimit], now: Timestamp) -> Option<(RetryAfter, AttemptKey)> {
        let refused = counted.iter().filter_map(|(key, _)| Some((self.refused.get(key)?, *key)));
        refused.filter(|((_, at), _)| *at == now).map(|((wait, _), key)| (wait, key)).max()
    }
}

/// A request to check a password, by what authenticates the client so far.
pub(super) enum PasswordAttempt<'a> {
    /// A sign-in, to an account that may or may not exist.
    SignIn {
        email: &'a EmailAddress,
        account: Option<&'a Credentials>,
        /// The claims of the device cookie.
        known: &'a KnownDevices,
        client: &'a ClientInfo,
    },
    /// A signed-in user, who enters the password again.
    Reauthenticate { session: &'a Session, client: &'a ClientInfo },
    /// A request with a session that has just ended, as by a form that is submitted twice.
    Resubmitted(OwnedSession),
}

impl PasswordAttempt<'_> {
    /// The account whose password is checked, if it exists.
    fn user(&self) -> Option<UserId> {
        match self {
            Self::SignIn { account, .. } => account.map(|account| account.user_id),
            Self::Reauthenticate { session, .. } => Some(session.user.id),
            Self::Resubmitted(session) => Some(session.user_id),
        }
    }
}

impl Services {
    /// Checks a password, unless the attempt is throttled.
    ///
    /// The attempt is counted before the password is checked, so that parallel attempts cannot exceed the limit. The request
    /// decides which counts apply, and the work is the same whether or not the account exists.
    pub(super) async fn check_password(
        &self,
        permit: HashPermit<'_>,
        attempt: &PasswordAttempt<'_>,
        stored: StoredPassword,
        password: Password,
    ) -> Result<Verification, ActError> {
        let (checked, attempted) = self.check_password_before_second_factor(permit, attempt, stored, password).await?;
        if let Verification::Valid { .. } = checked {
            self.refund(&attempted).await;
        }
        Ok(checked)
    }

    /// The same, but a right password stays counted: it is refunded once the second factor is right as well. Otherwise an attacker who
    /// knows the password could guess codes without end.
    pub(super) async fn check_password_before_second_factor(
        &self,
        permit: HashPermit<'_>,
        attempt: &PasswordAttempt<'_>,
        stored: StoredPassword,
        password: Password,
    ) -> Result<(Verification, Vec<CountedAttempt>), ActError> {
        let attempted = match self.count_attempt(attempt).await? {
            Ok(attempted) => attempted,
            Err(wait) => {
                self.log_throttled(attempt, wait);
                return Err(ActError::Throttled(wait));
            }
        };
        let fingerprint = self.throttle.attacks.fingerprint(&password);
        let checked = match permit.check(stored, password, self.environment.random()).await {
            Err(InternalError::Overloaded) => {
                // The attempt lost its permit to another network or account, so its password was not checked.
                self.refund(&attempted).await;
                return Err(InternalError::Overloaded.into());
            }
            checked => checked?,
        };
        match &checked {
            Verification::Valid { .. } => {
                metrics::counter!(PASSWORD_CHECKS, "outcome" => "success").increment(1);
                self.throttle.attacks.record_success(self.sessions.now());
            }
            Verification::Invalid => {
                metrics::counter!(PASSWORD_CHECKS, "outcome" => "failure").increment(1);
                if let PasswordAttempt::SignIn { email, client, .. } = attempt {
                    self.throttle.attacks.record_failure(client.network, email, fingerprint, self.sessions.now());
                }
            }
        }
        Ok((checked, attempted))
    }

    /// Counts a code of a second factor of this user, before it is checked.
    pub(super) async fn count_factor_code(&self, user_id: UserId) -> Result<Vec<CountedAttempt>, ActError> {
        let counted = self.count(&[(AttemptKey::codes_of(user_id), Limit::codes_of_a_user())]).await?;
        counted.map_err(|(wait, _)| {
            Event::AuthnLoginFailMax { user: Some(user_id), seconds: wait.0.as_secs() }.record();
            ActError::Throttled(wait)
        })
    }

    /// Refuses a client without a device cookie at once if one of its limits refused an attempt within the current second. A client
    /// with a device cookie may be known to the account, so it is not refused here.
    ///
    /// # Errors
    /// The wait that was given then.
    pub(super) fn check_recent_refusal(&self, email: &EmailAddress, client: &ClientInfo) -> Result<(), RetryAfter> {
        let attempt = PasswordAttempt::SignIn { email, account: None, known: &KnownDevices::default(), client };
        let refused = client.device_cookie.is_empty().then(|| self.limits_of_anonymous(Some(email), client.network));
        match refused.and_then(|counted| self.throttle.recent_refusal(&counted, self.sessions.now())) {
            Some((wait, _)) => {
                self.log_throttled(&attempt, wait);
                Err(wait)
            }
            None => Ok(()),
        }
    }

    fn log_throttled(&self, attempt: &PasswordAttempt<'_>, wait: RetryAfter) {
        Event::AuthnLoginFailMax { user: attempt.user(), seconds: wait.0.as_secs() }.record();
        metrics::counter!(PASSWORD_CHECKS, "outcome" => "throttled").increment(1);
    }

    /// Counts an attempt to register.
    pub(super) async fn count_registration(&self, client: &ClientInfo) -> Result<(), ActError> {
        let network = client.network;
        let keys = (AttemptKey::registration(network), AttemptKey::registration_of_a_site(network));
        self.count_from(keys, self.limits_of_registrations()).await?.map(drop).map_err(|wait| {
            Event::RegisterRefused { reason: "too_many" }.record();
            ActError::Throttled(wait)
        })
    }

    /// Counts the use of a passkey from this network.
    #[cfg(feature = "passkeys")]
    pub(super) async fn count_passkey(&self, client: &ClientInfo) -> Result<Vec<CountedAttempt>, ActError> {
        let network = client.network;
        let keys = (AttemptKey::passkeys_from(network), AttemptKey::passkeys_from_a_site(network));
        self.count_from(keys, (self.throttle.per_network, self.throttle.per_site)).await?.map_err(|wait| {
            Event::PasskeyThrottled { seconds: wait.0.as_secs() }.record();
            ActError::Throttled(wait)
        })
    }

    /// Counts a sign-in through a provider from this network.
    #[cfg(feature = "federation")]
    pub(super) async fn count_provider_sign_in(&self, client: &ClientInfo) -> Result<Vec<CountedAttempt>, ActError> {
        let network = client.network;
        let keys = (AttemptKey::provider_sign_ins_from(network), AttemptKey::provider_sign_ins_from_a_site(network));
        self.count_from(keys, (self.throttle.per_network, self.throttle.per_site)).await?.map_err(|wait| {
            Event::ProviderThrottled { seconds: wait.0.as_secs() }.record();
            ActError::Throttled(wait)
        })
    }

    /// Counts a request for a mail from this network.
    pub(super) async fn count_mails_from(&self, client: &ClientInfo) -> Result<(), ActError> {
        let network = client.network;
        let keys = (AttemptKey::mails_from(network), AttemptKey::mails_from_a_site(network));
        self.count_from(keys, self.limits_of_registrations()).await?.map(drop).map_err(|wait| {
            Event::MailThrottled { limit: "network" }.record();
            ActError::Throttled(wait)
        })
    }

    /// The limits of registrations, which requests for mails have too: of a network, and of a site.
    fn limits_of_registrations(&self) -> (Option<Limit>, Option<Limit>) {
        (self.throttle.registration, self.throttle.registration_of_a_site)
    }

    /// Counts an attempt for a network, and for the site that it is a part of if it is a part of one; each that has a limit. Or returns
    /// how long to wait instead.
    async fn count_from(
        &self,
        (network, site): (AttemptKey, Option<AttemptKey>),
        (of_network, of_site): (Option<Limit>, Option<Limit>),
    ) -> Result<Result<Vec<CountedAttempt>, RetryAfter>, InternalError> {
        let counted = [of_network.map(|limit| (network, limit)), site.zip(of_site)];
        let counted = self.count(&counted.into_iter().flatten().collect::<Vec<_>>()).await?;
        Ok(counted.map_err(|(wait, _)| wait))
    }

    /// Counts a mail that a visitor has sent to this address. Returns false if the address has had as many as it may.
    pub(super) async fn count_mail_to(&self, email: &EmailAddress) -> Result<bool, InternalError> {
        let counted = [(AttemptKey::mails_to(email), Limit::mails_to_an_address())];
        let counted = self.store.count_attempt(&counted, self.sessions.now()).await?;
        if counted.is_err() {
            Event::MailThrottled { limit: "address" }.record();
        }
        Ok(counted.is_ok())
    }

    /// Counts the use of a link with a new password, which may be refused as often as it is tried.
    pub(super) async fn count_link_use(&self, id: OneTimeId) -> Result<(), ActError> {
        let counted = self.throttle.per_device.map(|limit| (AttemptKey::link(id), limit));
        let counted = self.count(counted.as_slice()).await?;
        counted.map(drop).map_err(|(wait, _)| ActError::Throttled(wait))
    }

    /// Counts a rejected new password as an attempt of the session: the strength estimate takes as long as a hash, and a session
    /// could request it without limit.
    pub(super) async fn count_refused_password(&self, session: &Session) -> Result<(), InternalError> {
        let counted = self.throttle.per_device.map(|limit| (AttemptKey::session(session.secret_hash), limit));
        // If this exceeds the limit, the next attempt is throttled.
        let _ = self.count(counted.as_slice()).await?;
        Ok(())
    }

    /// Counts one more attempt. An attempt from a known device or in a session counts apart from those of unknown devices. So an
    /// attacker cannot lock the owner out by guessing, nor by sharing a network. All known devices and sessions of an account
    /// together have one share of the daily limit, and an attempt beyond it counts as one of an unknown device. So an account has
    /// a hundred attempts a day, whatever cookies are sent.
    async fn count_attempt(
        &self,
        attempt: &PasswordAttempt<'_>,
    ) -> Result<Result<Vec<CountedAttempt>, RetryAfter>, InternalError> {
        if let Some((user_id, key)) = Self::known_as(attempt) {
            let shared = AttemptKey::user(user_id);
            let limits =
                self.throttle.per_device.map(|per_device| vec![(key, per_device), (shared, self.throttle.per_owner)]);
            match self.count(&limits.unwrap_or_default()).await? {
                Err((_, refused)) if refused == shared => {}
                counted => return Ok(counted.map_err(|(wait, _)| wait)),
            }
        }
        let counts = match attempt {
            PasswordAttempt::SignIn { email, client, .. } => self.limits_of_anonymous(Some(email), client.network),
            PasswordAttempt::Reauthenticate { session, client } => {
                let email = EmailAddress::parse(session.user.email()).ok();
                self.limits_of_anonymous(email.as_ref(), client.network)
            }
            PasswordAttempt::Resubmitted(_) => return Ok(Err(RetryAfter(DAY))),
        };
        Ok(self.count(&counts).await?.map_err(|(wait, _)| wait))
    }

    /// The account whose owner this client is known to be, and the key that counts its device or session.
    fn known_as(attempt: &PasswordAttempt<'_>) -> Option<(UserId, AttemptKey)> {
        match attempt {
            PasswordAttempt::SignIn { account, known, .. } => {
                let account = (*account)?;
                let device = known.find(account.user_id, account.devices_void_until)?;
                Some((account.user_id, AttemptKey::device(account.user_id, device)))
            }
            PasswordAttempt::Reauthenticate { session, .. } => {
                Some((session.user.id, AttemptKey::session(session.secret_hash)))
            }
            PasswordAttempt::Resubmitted(session) => Some((session.user_id, AttemptKey::session(session.secret_hash))),
        }
    }

    /// The counts that apply to an attempt from an unknown device.
    fn limits_of_anonymous(&self, email: Option<&EmailAddress>, network: Network) -> Vec<AttemptLimit> {
        let counts = [
            self.throttle.per_account.zip(email).map(|(limit, email)| (AttemptKey::account(email), limit)),
            self.throttle.per_network.map(|limit| (AttemptKey::network(network), limit)),
            self.throttle.per_site.zip(AttemptKey::site(network)).map(|(limit, key)| (key, limit)),
        ];
        counts.into_iter().flatten().collect()
    }

    /// Counts one more attempt for each of these keys, or returns how long to wait instead, and for which key.
    async fn count(
        &self,
        counted: &[AttemptLimit],
    ) -> Result<Result<Vec<CountedAttempt>, (RetryAfter, AttemptKey)>, InternalError> {
        if counted.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let now = self.sessions.now();
        if let Some(refused) = self.throttle.recent_refusal(counted, now) {
            return Ok(Err(refused));
        }
        let counted = self.store.count_attempt(counted, now).await?;
        Ok(counted.inspect_err(|(wait, key)| self.throttle.refused.insert(*key, (*wait, now))))
    }

    /// Takes back an attempt. A failure of the database is only logged, so that a correct password still signs in.
    pub(super) async fn refund(&self, attempted: &[CountedAttempt]) {
        if !attempted.is_empty()
            && let Err(error) = self.store.refund_attempt(attempted, self.sessions.now()).await
        {
            Event::RefundFailed { error: &error }.record();
        }
    }

    /// Deletes expired counts, and those beyond the maximum number.
    pub(crate) async fn purge_attempts(&self) -> Result<JobOutcome, InternalError> {
        if let Some(now) = self.sessions.believed_now() {
            while self.store.purge_attempts(now, ATTEMPTS_AT_ONCE).await? > 0 {}
        }
        while self.store.prune_attempts(MAX_ATTEMPT_ROWS, ATTEMPTS_AT_ONCE).await? > 0 {}
        Ok(JobOutcome::Done)
    }
}

#[cfg(test)]
mod tests;
