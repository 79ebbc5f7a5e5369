//! The contract of the exchange of sessions of the former system: once, for an account as it was read, and never after an end.

use handstamp_core::legacy_cookie::{LegacyCookies, LegacyDigest, LegacyKind, LegacySecret, LegacySettings};
use handstamp_testing::{django_cookie, express_cookie};

use super::import::{import, imported};
use super::*;
use crate::model::{ImportUser, LegacyAccount, LegacyColumn, LegacyEnd, LegacyExchange, LegacyRefusal};

laws! {
    a_former_session_begins_one_session
    one_of_fifty_concurrent_exchanges_of_a_former_session_begins_a_session
    a_refused_exchange_uses_nothing_up
    an_account_that_has_changed_since_it_was_read_is_not_exchanged
    the_end_of_a_former_session_ends_the_session_that_it_was_exchanged_for
    an_exchange_during_a_sign_out_with_the_same_cookie_leaves_no_session
    an_exchange_while_all_sessions_of_the_user_end_leaves_no_session
    the_end_of_all_sessions_is_seen_by_an_exchange_that_it_misses
    the_exchange_of_one_signed_copy_ends_the_others
    an_account_of_the_former_system_is_found_if_it_was_imported
    a_former_session_key_has_one_account
    digests_are_purged_when_they_need_not_be_kept
}

const KEPT_UNTIL: Timestamp = NOW.after(Duration::from_secs(86_400));

fn digest_of(kind: LegacyKind, cookie: &str) -> LegacyDigest {
    let (secrets, cookie_name) = (vec![LegacySecret::new(SECRET.as_bytes()).unwrap()], None);
    let (user_key, max_age, allow_missing_purpose) = (None, None, false);
    let settings = LegacySettings { kind, secrets, cookie: cookie_name, user_key, max_age, allow_missing_purpose };
    LegacyCookies::new(&settings).unwrap().open(cookie, NOW).unwrap().digest()
}

/// A former session of which all copies of the cookie count as one.
fn digest(number: usize) -> LegacyDigest {
    digest_of(LegacyKind::ExpressSession, &express_cookie(SECRET, &format!("session-{number}")))
}

/// A former session of which each signed copy counts by itself.
fn digest_of_a_copy(seconds: u64) -> LegacyDigest {
    let at = NOW.unix_seconds() - seconds;
    digest_of(LegacyKind::Django, &django_cookie(SECRET, "42", at, hash("first").expose()))
}

/// Imports Ada, whose id in the former system is 42.
async fn imported_ada(store: &Store) -> LegacyAccount {
    import(store, &[imported("ada@example.com", "42")]).await;
    account(store).await
}

async fn find(store: &Store, column: LegacyColumn, value: &str) -> Option<LegacyAccount> {
    store.legacy_account(column, value).await.unwrap()
}

async fn account(store: &Store) -> LegacyAccount {
    find(store, LegacyColumn::Id, "42").await.unwrap()
}

/// An exchange for an account as it was read: the session, if it has begun.
async fn exchange(store: &Store, read: &LegacyAccount, digest: LegacyDigest) -> Result<NewSession, LegacyRefusal> {
    let session = new_session(read.user_id);
    let exchange = LegacyExchange { digest, kept_until: KEPT_UNTIL, checked: read.version };
    let done = store.exchange_legacy_session(exchange, &session, &[], sign_in_events()).await.unwrap();
    done.value.map(|_| session)
}

/// A sign-out with the cookie of a former session, and with no session of ours.
async fn sign_out(store: &Store, digest: LegacyDigest) {
    let end = LegacyEnd { digests: vec![digest], users: vec![], at: NOW, kept_until: KEPT_UNTIL };
    let _ = store.end_sessions_and_legacy(vec![], &end).await.unwrap();
}

async fn sessions(store: &Store) -> i64 {
    count(store, "SELECT COUNT(*) FROM sessions").await
}

async fn digests(store: &Store) -> i64 {
    count(store, "SELECT COUNT(*) FROM legacy_exchanges").await
}

async fn a_former_session_begins_one_session(store: &Store) {
    let ada = imported_ada(store).await;
    let events = count(store, "SELECT COUNT(*) FROM events").await;
    let session = exchange(store, &ada, digest(1)).await.unwrap();
    assert!(is_live(store, &session).await);
    assert_eq!(exchange(store, &ada, digest(1)).await.err(), Some(LegacyRefusal::Used));
    assert_eq!((sessions(store).await, digests(store).await), (1, 1));
    assert_eq!(count(store, "SELECT COUNT(*) FROM events").await, events + 1);
    assert_eq!(count(store, "SELECT COUNT(*) FROM users WHERE signed_in_at IS NOT NULL").await, 1);
    let other = exchange(store, &ada, digest(2)).await.unwrap();
    assert!(is_live(store, &other).await && is_live(store, &session).await, "another browser of the same user");
    let previous = [session.owned()];
    let (again, used) = (new_session(ada.user_id), digest(3));
    let exchange = LegacyExchange { digest: used, kept_until: KEPT_UNTIL, checked: ada.version };
    assert!(store.exchange_legacy_session(exchange, &again, &previous, sign_in_events()).await.unwrap().value.is_ok());
    assert!(is_live(store, &again).await && !is_live(store, &session).await, "the browser had a session");
}

async fn one_of_fifty_concurrent_exchanges_of_a_former_session_begins_a_session(store: &Store) {
    let ada = imported_ada(store).await;
    let outcomes = all_at_once((0..50).map(|_| exchange(store, &ada, digest(1)))).await;
    let begun: Vec<_> = outcomes.iter().flatten().collect();
    assert_eq!((begun.len(), sessions(store).await), (1, 1));
    assert!(is_live(store, begun[0]).await);
    let refused = |outcome: &&Result<_, _>| matches!(outcome, Err(LegacyRefusal::Used));
    assert_eq!(outcomes.iter().filter(refused).count(), 49);
}

async fn a_refused_exchange_uses_nothing_up(store: &Store) {
    let ada = imported_ada(store).await;
    let stale = LegacyAccount { version: CredentialsVersion(ada.version.0 + 1), ..account(store).await };
    assert_eq!(exchange(store, &stale, digest(1)).await.err(), Some(LegacyRefusal::Changing));
    assert_eq!((sessions(store).await, digests(store).await), (0, 0));
    // A session that cannot be stored takes the digest with it.
    let nobody = LegacyAccount { user_id: UserId::from_uuid(unique()), ..account(store).await };
    assert_eq!(exchange(store, &nobody, digest(1)).await.err(), Some(LegacyRefusal::Changing));
    let first = exchange(store, &ada, digest(2)).await.unwrap();
    let doubled = NewSession { user_id: ada.user_id, ..first };
    let exchange_again = LegacyExchange { digest: digest(1), kept_until: KEPT_UNTIL, checked: ada.version };
    assert!(store.exchange_legacy_session(exchange_again, &doubled, &[], sign_in_events()).await.is_err());
    assert_eq!((sessions(store).await, digests(store).await), (1, 1));
    assert!(exchange(store, &ada, digest(1)).await.is_ok());
}

async fn an_account_that_has_changed_since_it_was_read_is_not_exchanged(store: &Store) {
    let ada = imported_ada(store).await;
    for (change, back) in [
        ("UPDATE users SET disabled_at = 1", "UPDATE users SET disabled_at = NULL"),
        ("UPDATE users SET legacy_ended_at = 1", "UPDATE users SET legacy_ended_at = NULL"),
        ("UPDATE users SET credentials_changed_at = 1", "UPDATE users SET credentials_changed_at = NULL"),
        ("UPDATE users SET credentials_version = 2", "UPDATE users SET credentials_version = 1"),
        ("UPDATE users SET imported_at = NULL", "UPDATE users SET imported_at = 1"),
    ] {
        execute(store, change).await;
        assert_eq!(exchange(store, &ada, digest(1)).await.err(), Some(LegacyRefusal::Changing), "{change}");
        execute(store, back).await;
    }
    assert!(exchange(store, &ada, digest(1)).await.is_ok());
}

async fn the_end_of_a_former_session_ends_the_session_that_it_was_exchanged_for(store: &Store) {
    let ada = imported_ada(store).await;
    let session = exchange(store, &ada, digest(1)).await.unwrap();
    let other = exchange(store, &ada, digest(2)).await.unwrap();
    sign_out(store, digest(1)).await;
    assert!(!is_live(store, &session).await && is_live(store, &other).await);
    sign_out(store, digest(3)).await;
    assert_eq!(exchange(store, &ada, digest(3)).await.err(), Some(LegacyRefusal::Used), "it was ended first");
}

async fn an_exchange_during_a_sign_out_with_the_same_cookie_leaves_no_session(store: &Store) {
    let ada = imported_ada(store).await;
    for round in 0..30 {
        let (exchanged, ()) = match round % 2 {
            0 => tokio::join!(exchange(store, &ada, digest(round)), sign_out(store, digest(round))),
            _ => {
                let (ended, exchanged) =
                    tokio::join!(sign_out(store, digest(round)), exchange(store, &ada, digest(round)));
                (exchanged, ended)
            }
        };
        assert_eq!(sessions(store).await, 0, "round {round}, exchanged: {}", exchanged.is_ok());
    }
    assert_eq!(digests(store).await, 30);
}

async fn an_exchange_while_all_sessions_of_the_user_end_leaves_no_session(store: &Store) {
    let ada = imported_ada(store).await;
    for round in 0..30 {
        let read = account(store).await;
        let exchanged = match round % 2 {
            0 => tokio::join!(exchange(store, &read, digest(round)), store.end_sessions_of(ada.user_id, event())).0,
            _ => {
                let disable = store.set_disabled(ada.user_id, Some(NOW), MayGo, event());
                tokio::join!(exchange(store, &read, digest(round)), disable).0
            }
        };
        assert_eq!(sessions(store).await, 0, "round {round}, exchanged: {}", exchanged.is_ok());
        assert!(exchange(store, &read, digest(round + 100)).await.is_err(), "round {round}");
        let _ = store.set_disabled(ada.user_id, None, MayGo, event()).await.unwrap();
        assert!(account(store).await.sessions_ended, "a user who is enabled again signs in");
        execute(store, "UPDATE users SET legacy_ended_at = NULL").await;
    }
}

async fn the_end_of_all_sessions_is_seen_by_an_exchange_that_it_misses(store: &Store) {
    let ada = imported_ada(store).await;
    assert!(!ada.sessions_ended && store.all_legacy_sessions_ended_at().await.unwrap().is_none());
    for round in 0..30 {
        let (exchanged, _) = tokio::join!(exchange(store, &ada, digest(round)), store.end_some_sessions(1000, event()));
        // A session that is still there is one whose exchange sees the end afterwards.
        let ended_at = store.all_legacy_sessions_ended_at().await.unwrap();
        assert!(exchanged.is_err() || ended_at.is_some_and(|at| at >= ada.imported_at), "round {round}");
        execute(store, "DELETE FROM legacy_end").await;
    }
    let _ = store.end_some_sessions(1000, event()).await.unwrap();
    assert!(account(store).await.sessions_ended);
    let row = imported("late@example.com", "43");
    let rows = [crate::model::ImportRow { id: UserId::from_uuid(unique()), user: &row }];
    store.import_users(&rows, NOW.after(Duration::from_secs(1)), event(), false).await.unwrap();
    assert!(!find(store, LegacyColumn::Id, "43").await.unwrap().sessions_ended, "a user who was imported later");
}

async fn the_exchange_of_one_signed_copy_ends_the_others(store: &Store) {
    let ada = imported_ada(store).await;
    let (older, newer) = (digest_of_a_copy(600), digest_of_a_copy(5));
    assert_ne!(older, newer);
    assert!(exchange(store, &ada, newer).await.is_ok());
    assert!(account(store).await.sessions_ended);
    assert_eq!(exchange(store, &ada, older).await.err(), Some(LegacyRefusal::Changing));
    import(store, &[imported("bob@example.com", "43")]).await;
    let bob = find(store, LegacyColumn::Id, "43").await.unwrap();
    let end = LegacyEnd { digests: vec![digest_of_a_copy(7)], users: vec![bob.user_id], at: NOW, kept_until: NOW };
    let _ = store.end_sessions_and_legacy(vec![], &end).await.unwrap();
    assert!(find(store, LegacyColumn::Id, "43").await.unwrap().sessions_ended);
}

async fn an_account_of_the_former_system_is_found_if_it_was_imported(store: &Store) {
    let ada = ImportUser { legacy_session_key: Some("f00".to_owned()), ..imported("Ada@example.com", "42") };
    import(store, &[ada]).await;
    let (id, key, address) = (LegacyColumn::Id, LegacyColumn::SessionKey, LegacyColumn::EmailKey);
    let ada = find(store, id, "42").await.unwrap();
    for (column, value) in [(key, "f00"), (address, "ada@example.com")] {
        assert_eq!(find(store, column, value).await.map(|found| found.user_id), Some(ada.user_id), "{column:?}");
    }
    for (column, value) in [(id, "f00"), (key, "42"), (id, ""), (key, ""), (address, "42"), (id, "ada@example.com")] {
        assert!(find(store, column, value).await.is_none(), "{column:?} {value:?}");
    }
    assert_eq!((ada.groups, ada.imported_at, ada.version), (vec!["board".into(), "staff".into()], NOW, FIRST));
    assert_eq!((ada.password_hash, ada.disabled, ada.credentials_changed), (Some(hash("first")), false, false));
    assert!(!ada.has_factor && !ada.sessions_ended);
    store.begin_totp((ada.user_id, unique()), b"sealed", NOW, NOW).await.unwrap().unwrap();
    assert!(!find(store, id, "42").await.unwrap().has_factor, "an app that is being set up is no factor");
    execute(store, "UPDATE totp_secrets SET confirmed_at = 1").await;
    assert!(find(store, id, "42").await.unwrap().has_factor);
    execute(store, "DELETE FROM totp_secrets").await;
    #[cfg(feature = "passkeys")]
    {
        let mut session = exchange(store, &find(store, id, "42").await.unwrap(), digest(1)).await.unwrap();
        let passkey = super::passkeys::passkey_of(session.user_id);
        assert_eq!(super::passkeys::added(store, &mut session, &passkey).await, crate::model::PasskeyAdded::Added);
        assert!(find(store, id, "42").await.unwrap().has_factor);
    }
    let bob = new_user("bob@example.com");
    store.create_user(&bob, None, &[], event()).await.unwrap().value.unwrap();
    assert!(find(store, address, "bob@example.com").await.is_none(), "an account that was not imported");
}

async fn a_former_session_key_has_one_account(store: &Store) {
    use crate::model::{ImportOutcome, ImportRefusal};
    let of = |address: &str, id: &str, key: &str| ImportUser {
        legacy_session_key: (!key.is_empty()).then(|| key.to_owned()),
        ..imported(address, id)
    };
    let taken = ImportOutcome::Refused(ImportRefusal::LegacySessionKeyTaken);
    let rows = [
        of("ada@example.com", "1", "a"),
        of("bob@example.com", "2", "a"),
        of("carol@example.com", "3", "c"),
        of("dave@example.com", "4", ""),
        of("erin@example.com", "5", ""),
    ];
    let (new, there) = (ImportOutcome::Imported, ImportOutcome::AlreadyThere);
    assert_eq!(import(store, &rows).await, [new.clone(), taken.clone(), new.clone(), new.clone(), new.clone()]);
    assert_eq!(import(store, &rows).await, [there.clone(), taken.clone(), there.clone(), there.clone(), there]);
    let ada = find(store, LegacyColumn::SessionKey, "a").await.unwrap();
    assert_eq!(find(store, LegacyColumn::Id, "1").await.unwrap().user_id, ada.user_id);
    assert!(find(store, LegacyColumn::Id, "2").await.is_none());
    let exported = store.export_users("", 10).await.unwrap();
    let keys: Vec<_> = exported.iter().map(|(_, user)| user.legacy_session_key.as_deref()).collect();
    assert_eq!(keys, [Some("a"), Some("c"), None, None]);
}

async fn digests_are_purged_when_they_need_not_be_kept(store: &Store) {
    let ada = imported_ada(store).await;
    for number in 0..5 {
        exchange(store, &ada, digest(number)).await.unwrap();
    }
    let purge = async |until| store.purge_legacy_exchanges(until, 3).await.unwrap();
    assert_eq!(purge(KEPT_UNTIL.before(Duration::from_secs(1))).await, 0);
    assert_eq!((purge(KEPT_UNTIL).await, purge(KEPT_UNTIL).await, purge(KEPT_UNTIL).await), (3, 2, 0));
}
