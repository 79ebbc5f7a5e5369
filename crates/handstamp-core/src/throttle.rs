//! Rate limits: whether one more attempt is allowed after those counted so far, or how long to wait.
//!
//! An attempt counts when it is made, before it is verified, so that a thousand at once get no more than a thousand one by
//! one. A successful attempt is [taken back](Attempts::refund); a failed one is forgotten with time only.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{DeviceId, EmailAddress, Network, OneTimeId, SessionSecretHash, Timestamp, UserId};

/// The time in which attempts count together.
const WINDOW: Duration = Duration::from_secs(15 * 60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How far in the future the last attempt may lie, as the clocks of nodes may differ by this much. Beyond that a clock was set
/// back: its counts are dropped, because they would last for as long as it jumped.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// The attempts allowed in a quarter of an hour, and the policy once they are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    max: u32,
    over_limit: OverLimit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OverLimit {
    /// One attempt after each wait; waits double from a minute to an hour. A day has at most `per_day` attempts.
    Backoff { per_day: u32 },
    /// No attempt until the time in which attempts count together is over: usually a quarter of an hour.
    FixedWindow(Duration),
}

impl Limit {
    /// The most wrong passwords that are evaluated for one account and day (NIST SP 800-63B-4 §3.2.2), whatever cookies are
    /// sent: those of [unknown devices](Self::per_account) and those of [known ones](Self::per_owner) together.
    pub const PER_DAY: u32 = 100;

    /// How many of these are reserved for the known devices and the sessions of the account, so that unknown devices cannot use
    /// them up.
    const PER_DAY_OF_AN_OWNER: u32 = 20;

    /// For an account on unknown devices, where it has not signed in before: as [`of_a_person`](Self::per_device), but without
    /// the part of a day that is reserved for the owner. That part is smaller where `max` exceeds the rest of the day.
    pub fn per_account(max: u32) -> Option<Self> {
        let per_day = Self::per_day_of_strangers(max);
        (max > 0).then_some(Self { max, over_limit: OverLimit::Backoff { per_day } })
    }

    /// For all known devices and sessions of an account together: the part of a day that unknown devices do not have. Those have
    /// `max` in a quarter of an hour.
    pub fn per_owner(max: u32) -> Self {
        let per_day = Self::PER_DAY - Self::per_day_of_strangers(max);
        Self { max: u32::MAX, over_limit: OverLimit::Backoff { per_day } }
    }

    fn per_day_of_strangers(max: u32) -> u32 {
        max.clamp(Self::PER_DAY - Self::PER_DAY_OF_AN_OWNER, Self::PER_DAY)
    }

    /// For what belongs to one user: `max` attempts in a quarter of an hour, then one after a minute, one after two, and so on
    /// up to an hour. A day has at most [`PER_DAY`](Self::PER_DAY). None, for no limit, where `max` is 0.
    pub fn per_device(max: u32) -> Option<Self> {
        (max > 0).then_some(Self { max, over_limit: OverLimit::Backoff { per_day: Self::PER_DAY } })
    }

    /// For the codes of second factors of a user, wherever they are typed. There is always a limit, as a code has six digits.
    pub fn codes_of_a_user() -> Self {
        Self { max: 10, over_limit: OverLimit::Backoff { per_day: Self::PER_DAY } }
    }

    /// For a network, which many users may share: `max` attempts in each quarter of an hour. None, for no limit, where `max`
    /// is 0.
    pub fn per_network(max: u32) -> Option<Self> {
        (max > 0).then_some(Self { max, over_limit: OverLimit::FixedWindow(WINDOW) })
    }

    /// For the mails that visitors can have sent to one address, whether or not it has an account: three in an hour.
    pub fn mails_to_an_address() -> Self {
        Self { max: 3, over_limit: OverLimit::FixedWindow(HOUR) }
    }

    /// Counts one more attempt, after those that were counted before.
    ///
    /// # Errors
    /// The time to wait, where the attempt is throttled; it is not counted then.
    pub fn count(&self, before: Option<Attempts>, now: Timestamp) -> Result<Attempts, RetryAfter> {
        let mut attempts = before.filter(|before| before.last_at <= now.after(CLOCK_TOLERANCE)).unwrap_or(Attempts {
            count: 0,
            since: now,
            last_at: now,
            today: 0,
            day_since: now,
        });
        if now >= attempts.day_since.after(DAY) {
            (attempts.today, attempts.day_since) = (0, now);
        }
        if now >= self.forgotten_at(&attempts) {
            (attempts.count, attempts.since) = (0, now);
        }
        let allowed_at = self.allowed_at(&attempts);
        if now < allowed_at {
            return Err(RetryAfter(allowed_at.since(now)));
        }
        attempts.count = attempts.count.saturating_add(1);
        attempts.today = attempts.today.saturating_add(1);
        attempts.last_at = now;
        Ok(attempts)
    }

    /// When one more attempt is allowed after these.
    fn allowed_at(&self, attempts: &Attempts) -> Timestamp {
        let after_the_run = match self.over_limit {
            _ if attempts.count < self.max => attempts.since,
            OverLimit::Backoff { .. } => attempts.last_at.after(self.wait_after(attempts.count)),
            OverLimit::FixedWindow(window) => attempts.since.after(window),
        };
        match self.over_limit {
            OverLimit::Backoff { per_day } if attempts.today >= per_day => {
                after_the_run.max(attempts.day_since.after(DAY))
            }
            _ => after_the_run,
        }
    }

    /// When the next attempt begins a new run.
    fn forgotten_at(&self, attempts: &Attempts) -> Timestamp {
        match self.over_limit {
            OverLimit::Backoff { .. } if attempts.count >= self.max => {
                attempts.last_at.after(self.wait_after(attempts.count)).after(WINDOW)
            }
            OverLimit::Backoff { .. } => attempts.since.after(WINDOW),
            OverLimit::FixedWindow(window) => attempts.since.after(window),
        }
    }

    fn wait_after(&self, count: u32) -> Duration {
        let doublings = count.saturating_sub(self.max).min(31);
        FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
    }
}

/// Attempts that count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// How many in this run.
    pub count: u32,
    /// When the run began.
    pub since: Timestamp,
    /// When the last attempt was made.
    pub last_at: Timestamp,
    /// How many in this day.
    pub today: u32,
    /// When the day began: with an attempt, not at midnight.
    pub day_since: Timestamp,
}

impl Attempts {
    /// How long after the last attempt the counts no longer have any effect.
    pub const FORGOTTEN_AFTER: Duration = DAY;

    /// The counts without a successful attempt, which had brought them to `counted`. A run or a day that has begun since does
    /// not contain it.
    #[must_use]
    pub fn refund(self, counted: &Self) -> Self {
        let less = |count: u32, is_the_same: bool| count.saturating_sub(u32::from(is_the_same));
        Self {
            count: less(self.count, self.since == counted.since),
            today: less(self.today, self.day_since == counted.day_since),
            ..self
        }
    }
}

/// The time until one more attempt is allowed, after too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RetryAfter(pub Duration);

/// The key by which attempts count together. It is a hash, so that it does not reveal what a user typed, and has the same
/// length for every input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey([u8; 32]);

impl AttemptKey {
    /// Sign-ins to the account of this address from anywhere, whether or not it exists.
    pub fn account(email: &EmailAddress) -> Self {
        Self::new("account", &[email.key().as_bytes()])
    }

    /// Password attempts for an account on its known devices and in its sessions, all together.
    pub fn user(user_id: UserId) -> Self {
        Self::new("user", &[user_id.as_uuid().as_bytes()])
    }

    /// Codes of second factors of a user, in all browsers and sessions together.
    pub fn codes_of(user_id: UserId) -> Self {
        Self::new("codes of", &[user_id.as_uuid().as_bytes()])
    }

    /// Sign-ins to an account on a device where it has signed in before.
    pub fn device(user_id: UserId, device: DeviceId) -> Self {
        Self::new("device", &[user_id.as_uuid().as_bytes(), device.as_bytes()])
    }

    /// Re-authentications within a session.
    pub fn session(session: SessionSecretHash) -> Self {
        Self::new("session", &[session.as_bytes()])
    }

    /// Sign-ins from a network.
    pub fn network(network: Network) -> Self {
        Self::new("network", &[&network.to_bytes()])
    }

    /// Sign-ins from the site that a network is a part of, if it is a part of one.
    pub fn site(network: Network) -> Option<Self> {
        network.site().map(|site| Self::new("site", &[&site]))
    }

    /// Uses of passkeys from a network. They are counted apart from passwords, so an attacker who guesses passwords does not keep the
    /// others of the network from their passkeys.
    pub fn passkeys_from(network: Network) -> Self {
        Self::new("passkeys", &[&network.to_bytes()])
    }

    /// Uses of passkeys from the site that a network is a part of, if it is a part of one.
    pub fn passkeys_from_a_site(network: Network) -> Option<Self> {
        network.site().map(|site| Self::new("passkeys of a site", &[&site]))
    }

    /// Sign-ins through a provider from a network, counted apart from passwords for the same reason.
    pub fn provider_sign_ins_from(network: Network) -> Self {
        Self::new("provider sign-ins", &[&network.to_bytes()])
    }

    /// Sign-ins through a provider from the site that a network is a part of, if it is a part of one.
    pub fn provider_sign_ins_from_a_site(network: Network) -> Option<Self> {
        network.site().map(|site| Self::new("provider sign-ins of a site", &[&site]))
    }

    /// Registrations from the site that a network is a part of, if it is a part of one.
    pub fn registration_of_a_site(network: Network) -> Option<Self> {
        network.site().map(|site| Self::new("registration of a site", &[&site]))
    }

    /// Registrations from a network.
    pub fn registration(network: Network) -> Self {
        Self::new("registration", &[&network.to_bytes()])
    }

    /// Uses of a mailed link.
    pub fn link(id: OneTimeId) -> Self {
        Self::new("link", &[id.as_bytes()])
    }

    /// Mails that visitors have sent to this address, whether or not it has an account.
    pub fn mails_to(email: &EmailAddress) -> Self {
        Self::new("mails to", &[email.key().as_bytes()])
    }

    /// Requests for a mail from a network.
    pub fn mails_from(network: Network) -> Self {
        Self::new("mails from", &[&network.to_bytes()])
    }

    /// Requests for a mail from the site that a network is a part of, if it is a part of one.
    pub fn mails_from_a_site(network: Network) -> Option<Self> {
        network.site().map(|site| Self::new("mails from a site", &[&site]))
    }

    /// The key that was stored as these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key as it is stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hashed text is unambiguous: a zero byte ends the kind, and only the last part has no fixed length.
    fn new(kind: &str, parts: &[&[u8]]) -> Self {
        let hash = Sha256::new().chain_update(kind).chain_update([0]);
        Self(parts.iter().fold(hash, |hash, part| hash.chain_update(part)).finalize().into())
    }
}

impl fmt::Debug for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AttemptKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    /// A client that tries whenever it may, with the counts so far.
    struct Guesser {
        limit: Limit,
        counted: Option<Attempts>,
        now: Timestamp,
    }

    impl Guesser {
        fn new(limit: Option<Limit>) -> Self {
            Self { limit: limit.unwrap(), counted: None, now: NOW }
        }

        fn tries(&mut self) -> Result<(), RetryAfter> {
            self.limit.count(self.counted, self.now).map(|counted| self.counted = Some(counted))
        }

        /// How many tries are allowed at once, and how long to wait afterwards.
        fn tries_until_stopped(&mut self) -> (u32, Duration) {
            let mut count = 0;
            loop {
                match self.tries() {
                    Ok(()) => count += 1,
                    Err(RetryAfter(wait)) => return (count, wait),
                }
            }
        }

        fn waits(&mut self, duration: Duration) {
            self.now = self.now.after(duration);
        }

        fn is_right(&mut self) {
            self.counted = self.counted.map(|counted| counted.refund(&counted));
        }
    }

    #[test]
    fn ten_attempts_in_a_quarter_of_an_hour_and_then_waits_that_double_up_to_an_hour() {
        let mut guesser = Guesser::new(Limit::per_device(10));
        assert_eq!(guesser.tries_until_stopped(), (10, minutes(1)));
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            guesser.waits(minutes(wait) - Duration::from_secs(1));
            assert_eq!(guesser.tries(), Err(RetryAfter(Duration::from_secs(1))), "not a second earlier");
            guesser.waits(Duration::from_secs(1));
            assert_eq!(guesser.tries_until_stopped(), (1, minutes((wait * 2).min(60))));
        }
    }

    #[test]
    fn a_wait_longer_by_a_quarter_of_an_hour_begins_a_new_run() {
        let mut guesser = Guesser::new(Limit::per_device(10));
        guesser.tries_until_stopped();
        guesser.waits(minutes(1));
        guesser.tries_until_stopped();
        guesser.waits(minutes(2 + 15));
        assert_eq!(guesser.tries_until_stopped(), (10, minutes(1)));
    }

    #[test]
    fn nine_attempts_are_forgotten_a_quarter_of_an_hour_after_the_first() {
        let mut guesser = Guesser::new(Limit::per_device(10));
        for _ in 0..9 {
            guesser.tries().unwrap();
            guesser.waits(minutes(1));
        }
        guesser.waits(minutes(6));
        assert_eq!(guesser.tries_until_stopped().0, 10);
    }

    #[test]
    fn an_address_gets_three_mails_in_an_hour() {
        let mut visitor = Guesser::new(Some(Limit::mails_to_an_address()));
        assert_eq!(visitor.tries_until_stopped(), (3, minutes(60)));
        visitor.waits(minutes(60) - Duration::from_secs(1));
        assert_eq!(visitor.tries_until_stopped(), (0, Duration::from_secs(1)));
        visitor.waits(Duration::from_secs(1));
        assert_eq!(visitor.tries_until_stopped(), (3, minutes(60)));
    }

    #[test]
    fn a_day_has_at_most_a_hundred_attempts() {
        let mut guesser = Guesser::new(Limit::per_device(10));
        let mut tried = 0;
        while guesser.now < NOW.after(DAY) {
            let (count, wait) = guesser.tries_until_stopped();
            tried += count;
            // Just long enough to begin a new run, which is the quickest way.
            guesser.waits(wait + WINDOW);
        }
        assert_eq!(tried, 100);
        let mut patient = Guesser::new(Limit::per_device(10));
        for _ in 0..100 {
            patient.tries().unwrap();
            patient.waits(minutes(14));
        }
        assert_eq!(
            patient.tries(),
            Err(RetryAfter(DAY - minutes(1400))),
            "though there were never more than two in a window"
        );
        patient.waits(DAY - minutes(1400));
        assert_eq!(patient.tries(), Ok(()));
    }

    #[test]
    fn a_network_has_its_limit_in_each_window() {
        let mut network = Guesser::new(Limit::per_network(100));
        assert_eq!(network.tries_until_stopped(), (100, minutes(15)));
        network.waits(minutes(5));
        assert_eq!(network.tries_until_stopped(), (0, minutes(10)));
        network.waits(minutes(10));
        assert_eq!(network.tries_until_stopped(), (100, minutes(15)));
    }

    #[test]
    fn successful_attempts_do_not_count_and_failed_ones_stay() {
        let mut guesser = Guesser::new(Limit::per_device(10));
        for _ in 0..1000 {
            guesser.tries().unwrap();
            guesser.is_right();
        }
        for _ in 0..9 {
            guesser.tries().unwrap();
        }
        guesser.tries().unwrap();
        guesser.is_right();
        assert_eq!(guesser.tries_until_stopped(), (1, minutes(1)), "nine were wrong");
        guesser.waits(minutes(1));
        guesser.tries().unwrap();
        guesser.is_right();
        assert_eq!(guesser.tries(), Err(RetryAfter(minutes(1))), "as after ten, from the last attempt");
    }

    #[test]
    fn taking_back_an_attempt_never_underflows() {
        let attempts = Attempts { count: 0, since: NOW, last_at: NOW, today: 0, day_since: NOW };
        assert_eq!(attempts.refund(&attempts), attempts);
    }

    #[test]
    fn a_successful_attempt_is_not_taken_back_from_a_later_run() {
        let limit = Limit::per_network(10).unwrap();
        let right = limit.count(None, NOW).unwrap();
        let wrong = limit.count(Some(right), NOW.after(WINDOW)).unwrap();
        assert_eq!(wrong.refund(&right).count, 1, "the wrong attempt of the next run stays");
        assert_eq!(wrong.refund(&right).today, 1, "and the right attempt of the same day is taken back");
        let next_day = limit.count(Some(wrong), NOW.after(DAY)).unwrap();
        assert_eq!(next_day.refund(&right), next_day);
    }

    #[test]
    fn known_and_unknown_devices_share_a_hundred_attempts_a_day() {
        let a_day_of = |limit: Limit| {
            let mut guesser = Guesser::new(Some(limit));
            let mut tried = 0;
            while guesser.now < NOW.after(DAY) {
                let (count, wait) = guesser.tries_until_stopped();
                tried += count;
                guesser.waits(wait + WINDOW);
            }
            tried
        };
        for (max, each) in [(10, (80, 20)), (90, (90, 10)), (100, (100, 0))] {
            let (strangers, owner) = (a_day_of(Limit::per_account(max).unwrap()), a_day_of(Limit::per_owner(max)));
            assert_eq!((strangers, owner), each);
            assert_eq!(strangers + owner, Limit::PER_DAY);
        }
    }

    #[test]
    fn a_limit_of_zero_is_no_limit() {
        assert_eq!((Limit::per_device(0), Limit::per_network(0)), (None, None));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_prolong_a_wait() {
        let mut guesser = Guesser::new(Limit::per_device(10));
        guesser.now = NOW.after(365 * DAY);
        guesser.tries_until_stopped();
        guesser.now = NOW;
        assert_eq!(guesser.tries(), Ok(()));
        // Nodes whose clocks differ a little keep the counts.
        let mut guesser = Guesser::new(Limit::per_device(10));
        guesser.tries_until_stopped();
        guesser.now = Timestamp::from_unix_seconds(NOW.unix_seconds() - 60);
        assert_eq!(guesser.tries(), Err(RetryAfter(minutes(2))));
    }

    #[test]
    fn attempt_keys_of_different_kinds_differ() {
        let network = Network::of("192.0.2.1".parse().unwrap());
        let user = UserId::new(NOW, [7; 10]);
        let email = EmailAddress::parse("ada@example.com").unwrap();
        let session = crate::SessionSecret::from_bytes([1; 16]).hash();
        let device = |byte| AttemptKey::device(user, DeviceId::from_bytes([byte; 8]));
        let of_a_site = Network::of("2001:db8:1:2::1".parse().unwrap());
        assert_eq!(AttemptKey::site(network), None);
        let keys = [
            AttemptKey::account(&email),
            device(1),
            device(2),
            AttemptKey::session(session),
            AttemptKey::network(network),
            AttemptKey::network(Network::Unknown),
            AttemptKey::registration(network),
            AttemptKey::user(user),
            AttemptKey::site(of_a_site).unwrap(),
            AttemptKey::registration_of_a_site(of_a_site).unwrap(),
            AttemptKey::passkeys_from(network),
            AttemptKey::passkeys_from_a_site(of_a_site).unwrap(),
            AttemptKey::provider_sign_ins_from(network),
            AttemptKey::provider_sign_ins_from_a_site(of_a_site).unwrap(),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{i}");
            assert_eq!(AttemptKey::from_bytes(*key.as_bytes()), *key);
            assert_eq!(format!("{key:?}"), "AttemptKey(…)");
        }
        let same = EmailAddress::parse(" ADA@Example.com").unwrap();
        assert_eq!(AttemptKey::account(&email), AttemptKey::account(&same));
    }

    proptest! {
        /// Whatever the pauses, the day from the first attempt has at most a hundred. A quarter of an hour has at most two runs
        /// of ten, and the attempts after a wait.
        #[test]
        fn no_pattern_of_attempts_exceeds_the_limit(pauses in prop::collection::vec(0_u64..2000, 1..400)) {
            let mut guesser = Guesser::new(Limit::per_device(10));
            let mut allowed = Vec::new();
            for pause in pauses {
                guesser.waits(Duration::from_secs(pause));
                if guesser.tries().is_ok() {
                    allowed.push(guesser.now);
                }
            }
            for (i, begin) in allowed.iter().enumerate() {
                let within = |duration: Duration| allowed[i..].iter().filter(|at| at.since(*begin) < duration).count();
                // One run of ten may end just before the next one begins.
                prop_assert!(within(WINDOW) <= 23, "{}", within(WINDOW));
                prop_assert!(within(DAY) <= 200);
            }
            let days = allowed.iter().filter(|at| at.since(allowed[0]) < DAY).count();
            prop_assert!(days <= 100);
        }
    }
}
