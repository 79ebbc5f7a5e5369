//! Detects password spraying, credential stuffing and password guessing, and reports them in the log and the metrics.
//!
//! These attacks show in no single rate limit. The notes are kept in memory, as hashes under a key that lives as long as the
//! process, so no user input is stored. With several nodes each sees only its share of the attempts.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Mutex;
use std::time::Duration;

use handstamp_core::{EmailAddress, Network, Password, Timestamp};

use crate::events::Event;

const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Password spraying: one password tried at this many accounts from one network.
const SPRAYED_ACCOUNTS: usize = 10;
/// Credential stuffing: this many wrong pairs of an address and a password, from at least [`STUFFING_NETWORKS`] networks, and
/// more wrong pairs than correct passwords.
const STUFFED_PAIRS: usize = 100;
const STUFFING_NETWORKS: usize = 20;
/// Password guessing: this many wrong passwords at one account, which are more than its owner mistypes.
const GUESSED_AT_ONE: usize = 20;
/// The maximum number of pairs noted in a window. By then the attack has been reported.
const MAX_RECORDS: usize = 10_000;

const ALARMS: &str = "handstamp_attacks_detected_total";

/// The recent failed attempts, by which attacks are detected.
#[derive(Default)]
pub(super) struct AttackDetector {
    hasher: RandomState,
    window: Mutex<Window>,
}

/// A keyed hash of a password, to compare it with others while the process runs.
#[derive(Clone, Copy)]
pub(super) struct Fingerprint(u64);

#[derive(Default)]
struct Window {
    since: Option<Timestamp>,
    /// The accounts at which a network tried a password.
    sprayed: HashMap<(Network, u64), HashSet<u64>>,
    /// Hashes of an address and a password.
    pairs: HashSet<u64>,
    /// The number of pairs for each account.
    accounts: HashMap<u64, usize>,
    networks: HashSet<Network>,
    right: usize,
    is_stuffing: bool,
}

/// A kind of attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attack {
    /// One password at many accounts from one network.
    PasswordSpraying,
    /// Many pairs from many networks, as when they were stolen from another site.
    CredentialStuffing,
    /// Many passwords at one account.
    PasswordGuessing,
}

impl AttackDetector {
    pub(super) fn fingerprint(&self, password: &Password) -> Fingerprint {
        Fingerprint(password.fingerprint(&self.hasher))
    }

    pub(super) fn record_success(&self, now: Timestamp) {
        self.window(now, |window| window.right += 1);
    }

    /// Notes a wrong password, and reports an attack when it reaches its threshold, once in a window.
    pub(super) fn record_failure(&self, network: Network, email: &EmailAddress, password: Fingerprint, now: Timestamp) {
        let account = self.hasher.hash_one(email.key());
        let pair = self.hasher.hash_one((account, password.0));
        for attack in self.window(now, |window| window.record(network, account, password, pair)) {
            attack.report();
        }
    }

    fn window<T>(&self, now: Timestamp, act: impl FnOnce(&mut Window) -> T) -> T {
        let mut window = self.window.lock().expect("nothing panics while it holds the window");
        if window.since.is_none_or(|since| now < since || now.since(since) >= WINDOW) {
            *window = Window { since: Some(now), ..Window::default() };
        }
        act(&mut window)
    }
}

impl Window {
    fn record(&mut self, network: Network, account: u64, password: Fingerprint, pair: u64) -> Vec<Attack> {
        if self.pairs.len() >= MAX_RECORDS || !self.pairs.insert(pair) {
            return Vec::new();
        }
        self.networks.insert(network);
        let accounts = self.sprayed.entry((network, password.0)).or_default();
        let is_spraying = accounts.insert(account) && accounts.len() == SPRAYED_ACCOUNTS;
        let is_stuffing = !self.is_stuffing
            && self.pairs.len() >= STUFFED_PAIRS
            && self.networks.len() >= STUFFING_NETWORKS
            && self.pairs.len() > self.right;
        self.is_stuffing |= is_stuffing;
        let guessed = self.accounts.entry(account).or_default();
        *guessed += 1;
        let attacks = [
            (is_spraying, Attack::PasswordSpraying),
            (is_stuffing, Attack::CredentialStuffing),
            (*guessed == GUESSED_AT_ONE, Attack::PasswordGuessing),
        ];
        attacks.into_iter().filter_map(|(is_so, attack)| is_so.then_some(attack)).collect()
    }
}

impl Attack {
    fn report(self) {
        let name = match self {
            Self::PasswordSpraying => {
                Event::PasswordSpraying {}.record();
                "spraying"
            }
            Self::CredentialStuffing => {
                Event::CredentialStuffing {}.record();
                "stuffing"
            }
            Self::PasswordGuessing => {
                Event::PasswordGuessing {}.record();
                "guessing"
            }
        };
        metrics::counter!(ALARMS, "kind" => name).increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_seconds(1_800_000_000);

    /// Feeds wrong passwords to [`AttackDetector`] one after the other, and returns the attacks detected.
    struct Watch(AttackDetector);

    impl Watch {
        fn wrong(&self, network: u8, account: usize, password: &str, now: Timestamp) -> Vec<Attack> {
            let Self(attacks) = self;
            let fingerprint = attacks.fingerprint(&Password::parse(password).unwrap());
            let network = Network::V4([192, 0, 2, network].into());
            let account = attacks.hasher.hash_one(account);
            let pair = attacks.hasher.hash_one((account, fingerprint.0));
            attacks.window(now, |window| window.record(network, account, fingerprint, pair))
        }
    }

    fn watch() -> Watch {
        Watch(AttackDetector::default())
    }

    #[test]
    fn password_spraying_from_one_network_is_reported_once_in_a_window() {
        let watch = watch();
        let told: Vec<_> = (0..30).flat_map(|account| watch.wrong(1, account, "Summer2026!", NOW)).collect();
        assert_eq!(told, [Attack::PasswordSpraying]);
        let later = NOW.after(WINDOW);
        let told: Vec<_> = (0..10).flat_map(|account| watch.wrong(1, account, "Summer2026!", later)).collect();
        assert_eq!(told, [Attack::PasswordSpraying], "and once more in the next window");
    }

    #[test]
    fn slow_password_spraying_is_reported() {
        let watch = watch();
        let minutes = |count| NOW.after(Duration::from_secs(60 * count));
        let told = (0..10).flat_map(|account| watch.wrong(1, account, "Summer2026!", minutes(account as u64)));
        assert_eq!(told.collect::<Vec<_>>(), [Attack::PasswordSpraying]);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_new_window() {
        let watch = watch();
        let next_year = NOW.after(Duration::from_secs(365 * 86_400));
        assert_eq!((0..9).flat_map(|account| watch.wrong(1, account, "Summer2026!", next_year)).count(), 0);
        assert_eq!((9..18).flat_map(|account| watch.wrong(1, account, "Summer2026!", NOW)).count(), 0);
    }

    #[test]
    fn normal_use_is_not_reported_as_an_attack() {
        let watch = watch();
        for attempt in 0..50 {
            assert!(watch.wrong(1, 70, "the same once more", NOW).is_empty(), "one account");
            assert!(watch.wrong(1, attempt, &format!("a password of one's own {attempt}"), NOW).is_empty());
        }
        for network in 0..9 {
            assert!(watch.wrong(network, usize::from(network), "123456", NOW).is_empty(), "each from elsewhere");
        }
    }

    #[test]
    fn a_hundred_wrong_pairs_from_twenty_networks_are_reported_once_as_credential_stuffing() {
        let watch = watch();
        let wrong = |i: usize| watch.wrong((i % 20) as u8, i, &format!("stolen elsewhere {i}"), NOW);
        assert_eq!((0..99).flat_map(wrong).count(), 0);
        assert_eq!(wrong(99), [Attack::CredentialStuffing]);
        assert_eq!((100..300).flat_map(wrong).count(), 0);
    }

    #[test]
    fn twenty_wrong_passwords_at_one_account_are_reported_once() {
        let watch = watch();
        let wrong = |i: usize| watch.wrong((i % 10) as u8, 7, &format!("a guess {i}"), NOW);
        assert_eq!((0..19).flat_map(wrong).count(), 0);
        assert_eq!(wrong(19), [Attack::PasswordGuessing]);
        assert_eq!((20..90).flat_map(wrong).count(), 0);
    }

    #[test]
    fn credential_stuffing_is_not_reported_while_most_passwords_are_right() {
        let watch = watch();
        (0..150).for_each(|_| watch.0.record_success(NOW));
        let wrong = |i: usize| watch.wrong((i % 20) as u8, i, &format!("mistyped {i}"), NOW);
        assert_eq!((0..150).flat_map(wrong).count(), 0);
        assert_eq!(wrong(150), [Attack::CredentialStuffing]);
    }

    #[test]
    fn a_window_holds_a_bounded_number_of_pairs() {
        let watch = watch();
        for i in 0..MAX_RECORDS + 100 {
            watch.wrong((i % 200) as u8, i, "x", NOW);
        }
        let window = watch.0.window.lock().unwrap();
        assert_eq!(window.pairs.len(), MAX_RECORDS);
        assert_eq!(window.sprayed.values().map(HashSet::len).sum::<usize>(), MAX_RECORDS);
    }
}
