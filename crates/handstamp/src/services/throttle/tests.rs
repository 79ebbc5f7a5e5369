//! Tests of the rate limits, with a clock that the tests advance.

use std::sync::Arc;
use std::time::Duration;

use handstamp_core::{DeviceId, DisplayName, Timestamp};
use handstamp_testing::TempFolder;

use super::*;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::context::{ClientInfo, Context};
use crate::environment::{Clock, Environment, ManualClock};
use crate::model::{Field, Message};
use crate::services::hashing::Share;
use crate::services::{
    ActError, ChangePasswordRequest, RegisterRequest, Registered, SignInCookies, SignInRequest, SignedIn,
};
use crate::sessions::{PresentedSessions, SessionLookup};
use crate::{Handstamp, SecretKey};

const PASSWORD: &str = "plum-octave-harbour";
const MINUTE: Duration = Duration::from_secs(60);

/// An instance with its own folder and clock, and the browser in which Ada has registered.
struct TestSite {
    handstamp: Handstamp,
    known: ClientInfo,
    clock: Arc<ManualClock>,
    _folder: TempFolder,
}

/// The outcome of an attempt to sign in.
#[derive(Debug, PartialEq)]
enum Outcome {
    IssuedToken,
    Wrong,
    Waits(Duration),
    Overloaded,
}

fn is_wrong(error: &ActError, field: Field, message: &Message) -> bool {
    matches!(error, ActError::Fields(errors) if errors.get(field) == Some(message))
}

fn is_taken<T>(outcome: Result<T, ActError>) -> bool {
    outcome.err().is_some_and(|error| is_wrong(&error, Field::Email, &Message::EmailTaken))
}

impl TestSite {
    async fn opens() -> Self {
        let folder = TempFolder::new();
        let secret = SecretKey::parse("n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg").unwrap();
        let database = DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db"));
        let mut config = Config::new(PublicUrl::parse("http://localhost").unwrap(), database, secret);
        config.hashing.params = crate::Argon2Params::new(8, 1, 1).unwrap();
        (config.hashing.concurrency, config.hashing.queue) = (1, 0);
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_800_000_000)));
        let environment = Environment { clock: clock.clone(), ..Environment::system() };
        let handstamp = Handstamp::open_with(config, environment).await.unwrap();
        let mut here = Self { handstamp, known: ClientInfo::default(), clock, _folder: folder };
        here.known.device_cookie = here.registers().await.unwrap().device;
        here
    }

    async fn registers(&self) -> Result<SignInCookies, ActError> {
        self.registers_as("ada@example.com", PASSWORD).await
    }

    async fn registers_as(&self, email: &str, password: &str) -> Result<SignInCookies, ActError> {
        let request = RegisterRequest {
            name: DisplayName::parse("Ada").unwrap(),
            email: EmailAddress::parse(email).unwrap(),
            password: Password::parse(password).unwrap(),
        };
        match self.accounts().register_or_sign_in(&Context::visitor(), request, &[]).await? {
            Registered::SignedIn(cookies) => Ok(cookies),
            Registered::Pending(_) => panic!("registration is open"),
        }
    }

    async fn user_id(&self, email: &str) -> UserId {
        self.handstamp.users().find_by_email(email).await.unwrap().unwrap().id
    }

    fn accounts(&self) -> &Services {
        &self.handstamp.0.site.services
    }

    async fn tries(&self, password: &str) -> Outcome {
        self.tries_as("ada@example.com", password, &ClientInfo::default()).await
    }

    async fn tries_as(&self, email: &str, password: &str, client: &ClientInfo) -> Outcome {
        let request = SignInRequest {
            email: EmailAddress::parse(email).unwrap(),
            password: Password::parse(password).unwrap(),
            remember: true,
        };
        match self.accounts().sign_in(&Context::of(client), request, &[], "").await {
            Ok(_) => Outcome::IssuedToken,
            Err(error) if is_wrong(&error, Field::Password, &Message::WrongCredentials) => Outcome::Wrong,
            Err(ActError::Throttled(RetryAfter(wait))) => Outcome::Waits(wait),
            Err(ActError::Internal(InternalError::Overloaded)) => Outcome::Overloaded,
            Err(error) => panic!("{error}"),
        }
    }

    async fn signs_in(&self) -> SignInCookies {
        let request = SignInRequest {
            email: EmailAddress::parse("ada@example.com").unwrap(),
            password: Password::parse(PASSWORD).unwrap(),
            remember: true,
        };
        match self.accounts().sign_in(&Context::visitor(), request, &[], "").await {
            Ok(SignedIn::Begun(cookies)) => cookies,
            Ok(SignedIn::NeedsSecondFactor(_)) => panic!("there is no second factor"),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// A session of Ada, who has just signed in.
    async fn session(&self) -> Arc<Session> {
        let token = self.signs_in().await.token;
        match self.accounts().sessions.find(token.text.expose()).await.unwrap() {
            SessionLookup::Active(session) => session,
            SessionLookup::InvalidToken(_) | SessionLookup::Revoked(_) => panic!("it has just begun"),
        }
    }

    async fn changes_password(&self, session: &Session, new: &str) -> Result<SignInCookies, ActError> {
        self.changes_password_from(session, PASSWORD, new).await
    }

    async fn changes_password_from(
        &self,
        session: &Session,
        current: &str,
        new: &str,
    ) -> Result<SignInCookies, ActError> {
        let request =
            ChangePasswordRequest { current: Password::parse(current).unwrap(), new: Password::parse(new).unwrap() };
        self.accounts().change_password(&Context::visitor(), session, request).await
    }

    /// Tries a current password in a session.
    async fn tries_in_the_session(&self, session: &Session, password: &str) -> Outcome {
        match self.changes_password_from(session, password, PASSWORD).await {
            Err(error) if is_wrong(&error, Field::CurrentPassword, &Message::WrongCurrentPassword) => Outcome::Wrong,
            Err(ActError::Throttled(RetryAfter(wait))) => Outcome::Waits(wait),
            other => panic!("{:?}", other.err()),
        }
    }

    async fn tries_ten_times(&self) {
        for _ in 0..10 {
            assert_eq!(self.tries("wrong").await, Outcome::Wrong);
        }
    }

    /// The cost of all hashes so far, in KiB.
    fn hashed(&self) -> u64 {
        self.accounts().hashing.work_kib()
    }
}

#[tokio::test]
async fn a_throttled_account_has_one_attempt_after_each_wait() {
    let here = TestSite::opens().await;
    here.tries_ten_times().await;
    for wait in [MINUTE, 2 * MINUTE, 4 * MINUTE] {
        assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(wait));
        here.clock.advance(wait - Duration::from_secs(1));
        assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(Duration::from_secs(1)));
        here.clock.advance(Duration::from_secs(1));
        assert_eq!(here.tries("wrong").await, Outcome::Wrong);
    }
    here.clock.advance(8 * MINUTE);
    assert_eq!(here.tries(PASSWORD).await, Outcome::IssuedToken);
}

#[tokio::test]
async fn a_throttled_attempt_costs_no_hash() {
    let here = TestSite::opens().await;
    here.tries_ten_times().await;
    let before = here.hashed();
    for _ in 0..100 {
        assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    }
    assert_eq!(here.hashed(), before);
}

#[tokio::test]
async fn a_throttled_response_is_cached_for_one_second() {
    let here = TestSite::opens().await;
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    assert!(here.handstamp.users().unlock(here.user_id("ada@example.com").await).await.unwrap());
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE), "from the cache");
    here.clock.advance(Duration::from_secs(1));
    assert_eq!(here.tries(PASSWORD).await, Outcome::IssuedToken);
}

#[tokio::test]
async fn a_repeated_throttled_attempt_costs_no_database_statement() {
    let here = TestSite::opens().await;
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    here.accounts().store.close().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
}

#[tokio::test]
async fn a_cached_refusal_does_not_affect_other_accounts_of_the_network() {
    let here = TestSite::opens().await;
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    assert_eq!(
        here.tries_as("bob@example.com", PASSWORD, &ClientInfo::default()).await,
        Outcome::Wrong,
        "there is no account, and no wait either"
    );
}

#[tokio::test]
async fn a_right_password_does_not_count_towards_the_limit() {
    let here = TestSite::opens().await;
    for _ in 0..15 {
        assert_eq!(here.tries(PASSWORD).await, Outcome::IssuedToken);
    }
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
}

#[tokio::test]
async fn a_known_device_is_counted_apart_from_unknown_devices() {
    let here = TestSite::opens().await;
    here.tries_ten_times().await;
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE));
    assert_eq!(here.tries_as("ada@example.com", PASSWORD, &here.known).await, Outcome::IssuedToken);
    for _ in 0..10 {
        assert_eq!(here.tries_as("ada@example.com", "wrong", &here.known).await, Outcome::Wrong);
    }
    assert_eq!(here.tries_as("ada@example.com", PASSWORD, &here.known).await, Outcome::Waits(MINUTE));
}

#[tokio::test]
async fn registrations_count_for_their_network_whatever_their_outcome() {
    let here = TestSite::opens().await;
    let again = async || here.registers_as("ada@example.com", "another password").await;
    for _ in 1..20 {
        assert!(is_taken(again().await));
    }
    assert!(matches!(again().await, Err(ActError::Throttled(RetryAfter(wait))) if wait == 15 * MINUTE));
    here.clock.advance(15 * MINUTE);
    assert!(is_taken(again().await));
}

#[tokio::test]
async fn a_registration_submitted_twice_signs_in_and_is_limited_as_a_sign_in() {
    let here = TestSite::opens().await;
    assert!(here.registers().await.is_ok(), "with the password of the account");
    for _ in 0..10 {
        let guess = here.registers_as("ada@example.com", "wrong").await;
        assert!(is_taken(guess));
    }
    assert_eq!(here.tries(PASSWORD).await, Outcome::Waits(MINUTE), "each was a wrong password of the account");
    assert!(is_taken(here.registers().await), "and the right one is not checked");
}

/// How many wrong passwords are checked in a day by a client that retries as soon as possible.
async fn wrong_in_a_day(here: &TestSite, tries: impl AsyncFn() -> Outcome) -> u32 {
    let mut wrong = 0;
    let mut waited = Duration::ZERO;
    while waited < Duration::from_secs(84_000) {
        match tries().await {
            Outcome::Wrong => wrong += 1,
            Outcome::Waits(wait) => {
                // It is quickest to wait until a new run of attempts begins. If the daily limit of one kind of attempt is used
                // up, the other kinds go on after 15 minutes.
                let wait = if wait > 60 * MINUTE { 15 * MINUTE } else { wait + 15 * MINUTE };
                here.clock.advance(wait);
                waited += wait;
            }
            other => panic!("{other:?}"),
        }
    }
    wrong
}

#[tokio::test]
async fn an_account_has_a_hundred_wrong_passwords_a_day_whatever_cookies_are_sent() {
    let here = TestSite::opens().await;
    let mut devices = vec![here.known.clone()];
    for _ in 0..30 {
        let token = here.signs_in().await;
        devices.push(ClientInfo { device_cookie: token.device, ..ClientInfo::default() });
    }
    let session = here.session().await;
    let next = std::cell::Cell::new(0);
    let wrong = wrong_in_a_day(&here, async || {
        next.set(next.get() + 1);
        match next.get() % 3 {
            0 => here.tries("wrong").await,
            1 => here.tries_as("ada@example.com", "wrong", &devices[next.get() % devices.len()]).await,
            _ => here.tries_in_the_session(&session, "wrong").await,
        }
    })
    .await;
    assert_eq!(wrong, 100);
}

#[tokio::test]
async fn unknown_devices_cannot_use_up_the_owners_share_of_the_daily_limit() {
    let here = TestSite::opens().await;
    assert_eq!(wrong_in_a_day(&here, async || here.tries("wrong").await).await, 80);
    for _ in 0..10 {
        assert_eq!(here.tries_as("ada@example.com", "wrong", &here.known).await, Outcome::Wrong);
    }
    here.clock.advance(MINUTE);
    assert_eq!(here.tries_as("ada@example.com", PASSWORD, &here.known).await, Outcome::IssuedToken);
}

#[tokio::test]
async fn a_device_cookie_from_before_a_password_change_counts_as_an_unknown_device() {
    let here = TestSite::opens().await;
    let session = here.session().await;
    here.clock.advance(MINUTE);
    let changed = here.changes_password(&session, "walnut-trumpet-glacier").await.unwrap();
    here.tries_ten_times().await;
    let at_the_old = here.tries_as("ada@example.com", "walnut-trumpet-glacier", &here.known).await;
    assert_eq!(at_the_old, Outcome::Waits(MINUTE), "the cookie of the old password is no longer valid");
    let known = ClientInfo { device_cookie: changed.device, ..ClientInfo::default() };
    let at_the_new = here.tries_as("ada@example.com", "walnut-trumpet-glacier", &known).await;
    assert_eq!(at_the_new, Outcome::IssuedToken, "the browser that changed it is known");
}

#[tokio::test]
async fn an_ended_session_allows_a_password_check_only_right_after_a_password_change() {
    let here = TestSite::opens().await;
    let session = here.session().await;
    let accounts = here.accounts();
    let presented = PresentedSessions {
        sessions: vec![OwnedSession { secret_hash: session.secret_hash, user_id: session.user.id }],
        ..PresentedSessions::default()
    };
    let sends_again = async |password: &str| {
        let password = Password::parse(password).unwrap();
        accounts.sign_in_after_change(&Context::visitor(), &presented, password).await.unwrap().is_some()
    };
    assert!(!sends_again(PASSWORD).await, "the session is live");
    here.changes_password(&session, "walnut-trumpet-glacier").await.unwrap();
    let before = here.hashed();
    assert!(!sends_again("wrong").await);
    assert!(here.hashed() > before);
    assert!(sends_again("walnut-trumpet-glacier").await);
    here.clock.advance(MINUTE);
    let before = here.hashed();
    assert!(!sends_again("walnut-trumpet-glacier").await);
    assert_eq!(here.hashed(), before, "no password is checked or counted");
}

#[tokio::test]
async fn rejected_new_passwords_count_for_the_session() {
    let here = TestSite::opens().await;
    let session = here.session().await;
    for _ in 0..10 {
        let refused = here.changes_password(&session, "password").await.err().unwrap();
        assert!(matches!(refused, ActError::Fields(errors) if errors.get(Field::Password).is_some()));
    }
    let before = here.hashed();
    let again = here.changes_password(&session, "password").await;
    assert!(matches!(again, Err(ActError::Throttled(RetryAfter(MINUTE)))));
    assert_eq!(here.hashed(), before, "and are no longer evaluated");
}

#[tokio::test]
async fn a_device_cookie_costs_the_same_whether_or_not_the_account_exists() {
    let here = TestSite::opens().await;
    let mut cookie = here.known.device_cookie.clone();
    for number in 0..3 {
        let now = here.accounts().sessions.now();
        let (friend, device) = (UserId::new(now, [number; 10]), DeviceId::from_bytes([number; 8]));
        cookie = here.accounts().devices.remember(&cookie, friend, device, None, now);
    }
    let client = ClientInfo { device_cookie: cookie, ..ClientInfo::default() };
    let cost = async |email: &str| {
        let (compared, hashed) = (here.accounts().devices.compared(), here.hashed());
        let outcome = here.tries_as(email, "wrong", &client).await;
        (outcome, here.accounts().devices.compared() - compared, here.hashed() - hashed)
    };
    here.registers_as("bob@example.com", PASSWORD).await.unwrap();
    for number in 0..100 {
        cost(&format!("unknown{number}@example.com")).await;
    }
    let (exists, absent) = (cost("bob@example.com").await, cost("carol@example.com").await);
    assert_eq!(exists, absent, "the network is throttled, and both get the same answer at the same cost");
    assert!(matches!(exists, (Outcome::Waits(_), 4, 0)), "{exists:?}");
}

#[tokio::test]
async fn an_attempt_that_gets_no_hash_permit_is_not_counted() {
    let here = TestSite::opens().await;
    let share = Share { network: Network::Unknown, account: AttemptKey::network(Network::Unknown) };
    let permit = here.accounts().hashing.reserve(share).await.unwrap();
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(here.tries("wrong").await, Outcome::Overloaded);
    }
    assert!(begun.elapsed() >= Duration::from_secs(20), "a client that is refused at once retries at once");
    tokio::time::resume();
    drop(permit);
    here.tries_ten_times().await;
}

#[tokio::test]
async fn expired_counts_are_purged() {
    let here = TestSite::opens().await;
    let crate::store::Store::Sqlite(database) = &*here.accounts().store else { panic!("this is SQLite") };
    here.tries_ten_times().await;
    // More counts than are removed at once, and older than those above.
    database
        .execute(
            "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500)
             INSERT INTO attempts SELECT CAST(n AS BLOB), 1, 0, 0, 1, 0 FROM numbers",
        )
        .await;
    here.accounts().purge_attempts().await.unwrap();
    assert_eq!(database.count("SELECT COUNT(*) FROM attempts WHERE last_at = 0").await, 0);
    let now = here.clock.wall();
    here.clock.set(Timestamp::from_unix_seconds(now.as_secs() + 30 * 86_400));
    here.accounts().purge_attempts().await.unwrap();
    assert!(database.count("SELECT COUNT(*) FROM attempts").await > 0, "a clock that has jumped ahead");
    here.clock.set(Timestamp::from_unix_seconds(now.as_secs()));
    here.clock.advance(Duration::from_secs(86_399));
    here.accounts().purge_attempts().await.unwrap();
    assert!(database.count("SELECT COUNT(*) FROM attempts").await > 0);
    here.clock.advance(Duration::from_secs(1));
    here.accounts().purge_attempts().await.unwrap();
    assert_eq!(database.count("SELECT COUNT(*) FROM attempts").await, 0);
}
