//! The contract of imports: what becomes of each row of a batch, and the costs of password hashes.

use handstamp_core::{HashCost, OneTimePurpose};

use super::one_time::token;
use super::*;
use crate::model::{
    ImportFields, ImportOutcome, ImportParser, ImportPassword, ImportRefusal, ImportRow, ImportUser, ListEvents,
};
use crate::store::TokenUse;

laws! {
    a_batch_is_stored_whole_with_one_event
    a_batch_is_stored_whole_or_not_at_all
    a_batch_that_is_repeated_finds_its_users_there
    a_row_of_the_same_address_or_id_is_refused_and_stops_no_other
    rows_of_one_batch_that_share_a_key_make_one_user
    a_user_who_has_a_new_password_is_still_the_one_that_was_imported
    a_user_who_has_a_new_address_is_still_the_one_that_was_imported
    an_account_that_was_not_imported_keeps_its_address
    a_dry_run_stores_nothing
    concurrent_imports_of_the_same_rows_make_each_user_once
    the_highest_cost_of_a_scheme_is_kept_until_no_user_has_it
    hashes_that_take_too_long_together_are_refused
    a_new_password_ends_the_cost_of_the_old_one
    an_export_has_every_user_in_the_order_of_the_addresses
}

pub(super) fn imported(address: &str, legacy_id: &str) -> ImportUser {
    let groups = ["staff".to_owned(), "board".to_owned()];
    let hash = hash("first");
    let fields = ImportFields {
        email: address,
        legacy_id,
        password_hash: hash.expose(),
        password_form: "nfc",
        created_at: "1700000000",
        email_verified: "1700000001",
        groups: &groups,
        ..ImportFields::default()
    };
    ImportParser::new(NOW).parse(&fields).unwrap()
}

/// A user whose hash has this cost.
fn of_cost(address: &str, cost: &str) -> ImportUser {
    let cost: HashCost = cost.parse().unwrap();
    ImportUser { password: Some(ImportPassword::Hash(hash("first"), Some(cost))), ..imported(address, "") }
}

async fn import_with(store: &Store, users: &[ImportUser], dry_run: bool) -> super::super::Result<Vec<ImportOutcome>> {
    let rows: Vec<_> = users.iter().map(|user| ImportRow { id: UserId::from_uuid(unique()), user }).collect();
    let event = NewEvent { name: "users_imported", ..event() };
    store.import_users(&rows, NOW, event, dry_run).await
}

pub(super) async fn import(store: &Store, users: &[ImportUser]) -> Vec<ImportOutcome> {
    import_with(store, users, false).await.unwrap()
}

async fn user(store: &Store, address: &str) -> crate::model::User {
    store.user_by_email(&email(address), NOW).await.unwrap().unwrap()
}

async fn users(store: &Store) -> i64 {
    count(store, "SELECT COUNT(*) FROM users").await
}

async fn costs(store: &Store) -> String {
    let (costs,): (String,) =
        store.fetch_one(Pool::Read, request("SELECT costs FROM imported_hash_costs WHERE id = 1"), &[]).await.unwrap();
    let (_, read) = store.credentials_by_email(&email("nobody@example.com")).await.unwrap();
    assert_eq!(read.to_string(), costs, "an address without an account has them as well");
    costs
}

async fn cost(store: &Store, address: &str) -> Option<String> {
    let sql = request("SELECT password_cost FROM users WHERE email_key = $1");
    let (cost,): (Option<String>,) = store.fetch_one(Pool::Read, sql, &[address.into()]).await.unwrap();
    cost
}

const IMPORTED: ImportOutcome = ImportOutcome::Imported;
const THERE: ImportOutcome = ImportOutcome::AlreadyThere;

fn email_taken() -> ImportOutcome {
    ImportOutcome::Refused(ImportRefusal::EmailTaken)
}

fn id_taken(id: &str, address: &str) -> ImportOutcome {
    ImportOutcome::Refused(ImportRefusal::LegacyIdTaken(id.to_owned(), Some(address.to_owned())))
}

async fn a_batch_is_stored_whole_with_one_event(store: &Store) {
    // More than some statements, so that the last is not full.
    let mut batch: Vec<_> =
        (0..123).map(|number| imported(&format!("u{number}@example.com"), &number.to_string())).collect();
    batch[7].disabled = true;
    batch[8].password = None;
    batch[8].legacy_id = None;
    assert_eq!(import(store, &batch).await, vec![IMPORTED; 123]);
    assert_eq!(users(store).await, 123);
    let u122 = user(store, "u122@example.com").await;
    let at = Timestamp::from_unix_seconds;
    assert_eq!(
        (u122.name.as_str(), u122.legacy_id.as_deref(), u122.created_at),
        ("u122", Some("122"), at(1_700_000_000))
    );
    assert_eq!(
        (u122.groups, u122.email_verified, u122.disabled),
        (vec!["board".to_owned(), "staff".to_owned()], true, false)
    );
    assert!(user(store, "u7@example.com").await.disabled);
    assert_eq!(user(store, "u8@example.com").await.legacy_id, None);
    let credentials = store.credentials_by_email(&email("u122@example.com")).await.unwrap().0.unwrap();
    assert_eq!(
        (credentials.password_hash, credentials.version, credentials.changed_at),
        (Some(hash("first")), FIRST, None)
    );
    assert_eq!(store.credentials_by_email(&email("u8@example.com")).await.unwrap().0.unwrap().password_hash, None);
    let events = store.list_events(&ListEvents::default()).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].event.as_str(), &events[0].fields["users"], events[0].user),
        ("users_imported", &123.into(), None)
    );
}

async fn a_batch_is_stored_whole_or_not_at_all(store: &Store) {
    let mut batch: Vec<_> = (0..120).map(|number| imported(&format!("u{number}@example.com"), "")).collect();
    batch.push(of_cost("last@example.com", "bcrypt:12"));
    let rows: Vec<_> = batch.iter().map(|user| ImportRow { id: UserId::from_uuid(unique()), user }).collect();
    // The event comes last, and its id is that of another one.
    let other = event();
    let id = other.id;
    store.write_event(other).await.unwrap();
    assert!(store.import_users(&rows, NOW, NewEvent { id, ..event() }, false).await.is_err());
    assert_eq!((users(store).await, count(store, "SELECT COUNT(*) FROM user_groups").await), (0, 0));
    assert_eq!(costs(store).await, "");
    assert_eq!(import(store, &batch).await, vec![IMPORTED; 121]);
}

async fn a_batch_that_is_repeated_finds_its_users_there(store: &Store) {
    let mut batch: Vec<_> = (0..60).map(|number| imported(&format!("u{number}@example.com"), "")).collect();
    import(store, &batch[..30]).await;
    let events = count(store, "SELECT COUNT(*) FROM events").await;
    assert_eq!(import(store, &batch[..30]).await, vec![THERE; 30]);
    assert_eq!(count(store, "SELECT COUNT(*) FROM events").await, events, "nothing was done");
    assert_eq!(import(store, &batch).await, [vec![THERE; 30], vec![IMPORTED; 30]].concat());
    assert_eq!((users(store).await, count(store, "SELECT COUNT(*) FROM user_groups").await), (60, 120));
    batch[3].email = email("U3@EXAMPLE.com");
    assert_eq!(import(store, &batch[3..4]).await, [THERE], "the address is the same in another case");
}

async fn a_row_of_the_same_address_or_id_is_refused_and_stops_no_other(store: &Store) {
    import(store, &[imported("ada@example.com", "1"), imported("bob@example.com", "2")]).await;
    let mut other_password = imported("ada@example.com", "1");
    other_password.password = Some(ImportPassword::Hash(hash("other"), None));
    let mut no_password = imported("ada@example.com", "1");
    no_password.password = None;
    let rows = [
        imported("carl@example.com", "1"),
        imported("ADA@example.com", "3"),
        imported("ada@example.com", ""),
        imported("ada@example.com", "2"),
        other_password,
        no_password,
        imported("dora@example.com", "4"),
    ];
    let expected = [
        id_taken("1", "ada@example.com"),
        email_taken(),
        email_taken(),
        email_taken(),
        email_taken(),
        email_taken(),
        IMPORTED,
    ];
    assert_eq!(import(store, &rows).await, expected);
    assert_eq!(users(store).await, 3);
}

async fn rows_of_one_batch_that_share_a_key_make_one_user(store: &Store) {
    let rows = [
        imported("ada@m\u{FC}nchen.example", "1"),
        imported("Ada@mu\u{308}nchen.example", "2"),
        imported("ada@XN--mnchen-3ya.example", "1"),
        imported("bob@example.com", "1"),
        imported("bob@example.com", "5"),
    ];
    let expected = [IMPORTED, email_taken(), THERE, id_taken("1", "ada@xn--mnchen-3ya.example"), IMPORTED];
    assert_eq!(import(store, &rows).await, expected);
    assert_eq!((users(store).await, count(store, "SELECT COUNT(*) FROM user_groups").await), (2, 4));
}

async fn a_user_who_has_a_new_password_is_still_the_one_that_was_imported(store: &Store) {
    let rows = [imported("ada@example.com", "1"), of_cost("bob@example.com", "bcrypt:12")];
    import(store, &rows).await;
    let id = |user: crate::model::User| user.id;
    let (ada, bob) = (id(user(store, "ada@example.com").await), id(user(store, "bob@example.com").await));
    // A change of the password raises the version of the credentials, and a sign-in replaces an imported hash only.
    execute(
        store,
        "UPDATE users SET password_hash = 'new', credentials_version = 2 WHERE email_key = 'ada@example.com'",
    )
    .await;
    store.replace_hash(bob, &hash("first"), &hash("second")).await.unwrap();
    assert_eq!(import(store, &rows).await, [THERE, THERE]);
    assert_eq!((id(user(store, "ada@example.com").await), users(store).await), (ada, 2));
}

async fn a_user_who_has_a_new_address_is_still_the_one_that_was_imported(store: &Store) {
    let rows = [imported("ada@example.com", "1"), imported("bob@example.com", "2")];
    import(store, &rows).await;
    let id = user(store, "ada@example.com").await.id;
    let change = token(OneTimePurpose::ChangeEmail, Some(id), "moved@example.com");
    store.store_token(&change, event()).await.unwrap();
    let (used, rotated) = (TokenUse { id: change.id, now: NOW }, SessionSecretHash::from_bytes([9; 32]));
    let current = OwnedSession { secret_hash: one_more(store, id).await.secret_hash, user_id: id };
    let entry = NewEvent { name: "user_email_change", ..event() }.about(id);
    let (former, new) = (email("ada@example.com"), email("moved@example.com"));
    let changed = store.change_email(used, &former, &new, (current, rotated), entry, None).await.unwrap();
    changed.value.unwrap().unwrap();
    assert_eq!(import(store, &rows).await, [THERE, THERE]);
    // Her former address may be that of another account by now.
    store.create_user(&new_user("ada@example.com"), None, &[], event()).await.unwrap().value.unwrap();
    assert_eq!(import(store, &rows).await, [THERE, THERE]);
    assert_eq!(import(store, &[imported("ada@example.com", "3")]).await, [email_taken()]);
    // A new password alone does not make a row of another address his.
    execute(store, "UPDATE users SET credentials_version = 2 WHERE email_key = 'bob@example.com'").await;
    assert_eq!(import(store, &[imported("carl@example.com", "2")]).await, [id_taken("2", "bob@example.com")]);
    assert_eq!(users(store).await, 3);
}

async fn an_account_that_was_not_imported_keeps_its_address(store: &Store) {
    let (id, session) = ada(store).await;
    assert_eq!(import(store, &[imported("ADA@example.com", "")]).await, [email_taken()]);
    let ada = user(store, "ada@example.com").await;
    assert_eq!((ada.id, ada.legacy_id, ada.groups), (id, None, vec![]));
    assert!(is_live(store, &session).await);
}

async fn a_dry_run_stores_nothing(store: &Store) {
    import(store, &[imported("ada@example.com", "1")]).await;
    let rows =
        [imported("ada@example.com", "1"), of_cost("bob@example.com", "bcrypt:12"), imported("ada@example.com", "2")];
    assert_eq!(import_with(store, &rows, true).await.unwrap(), [THERE, IMPORTED, email_taken()]);
    assert_eq!((users(store).await, costs(store).await), (1, String::new()));
    assert_eq!(count(store, "SELECT COUNT(*) FROM events").await, 1);
}

async fn concurrent_imports_of_the_same_rows_make_each_user_once(store: &Store) {
    let batches: Vec<Vec<_>> = (0..4)
        .map(|_| (0..100).map(|number| imported(&format!("u{number}@example.com"), &number.to_string())).collect())
        .collect();
    let done = all_at_once(batches.iter().map(|batch| import(store, batch))).await;
    let created = done.iter().flatten().filter(|outcome| **outcome == IMPORTED).count();
    assert!(done.iter().flatten().all(|outcome| [IMPORTED, THERE].contains(outcome)));
    assert_eq!((created, users(store).await), (100, 100));
}

async fn the_highest_cost_of_a_scheme_is_kept_until_no_user_has_it(store: &Store) {
    let rows = [
        of_cost("a@example.com", "bcrypt:10"),
        of_cost("b@example.com", "bcrypt:12"),
        of_cost("c@example.com", "pbkdf2-sha256:1000"),
        ImportUser { legacy_id: Some("2".to_owned()), ..of_cost("a@example.com", "pbkdf2-sha512:9") },
    ];
    assert_eq!(import(store, &rows).await, [IMPORTED, IMPORTED, IMPORTED, email_taken()]);
    const BOTH: &str = "bcrypt:12 pbkdf2-sha256:1000";
    assert_eq!(costs(store).await, BOTH, "a row that was refused costs nothing");
    import(store, &[of_cost("d@example.com", "bcrypt:11")]).await;
    assert!(!store.lower_hash_costs().await.unwrap());
    assert_eq!(costs(store).await, BOTH);
    let ada = store.credentials_by_id(user(store, "a@example.com").await.id).await.unwrap().unwrap();
    assert_eq!(ada.hash_costs.to_string(), BOTH);
    for address in ["a@example.com", "b@example.com", "c@example.com"] {
        store.replace_hash(user(store, address).await.id, &hash("first"), &hash("second")).await.unwrap();
    }
    assert!(store.lower_hash_costs().await.unwrap());
    assert_eq!(costs(store).await, "bcrypt:11", "the costliest of those that are left");
    let _ = store.delete_user(user(store, "d@example.com").await.id, MayGo, event()).await.unwrap();
    assert!(store.lower_hash_costs().await.unwrap());
    assert_eq!(costs(store).await, "");
    assert!(!store.lower_hash_costs().await.unwrap());
}

async fn hashes_that_take_too_long_together_are_refused(store: &Store) {
    let mut rows: Vec<_> =
        (1..=40).map(|r| of_cost(&format!("u{r}@example.com"), &format!("scrypt:4:{r}:1"))).collect();
    rows.push(of_cost("last@example.com", "scrypt:4:1:1"));
    rows.push(imported("own@example.com", ""));
    let outcomes = import(store, &rows).await;
    let refused = ImportOutcome::Refused(ImportRefusal::HashCosts);
    assert_eq!(outcomes[..40], [vec![IMPORTED; 32], vec![refused.clone(); 8]].concat());
    assert_eq!(outcomes[40..], [IMPORTED, IMPORTED], "the costs of the last are there, and our own hash adds none");
    let later = [of_cost("more@example.com", "bcrypt:4"), of_cost("again@example.com", "scrypt:4:32:1")];
    assert_eq!(import(store, &later).await, [refused, IMPORTED], "a later batch adds to what is there");
    assert_eq!(users(store).await, 35);
}

async fn a_new_password_ends_the_cost_of_the_old_one(store: &Store) {
    let addresses = ["rehash", "change", "reset", "verify", "invite"].map(|name| format!("{name}@example.com"));
    let rows: Vec<_> = addresses.iter().map(|address| of_cost(address, "bcrypt:12")).collect();
    import(store, &rows).await;
    execute(store, "UPDATE users SET email_verified_at = NULL WHERE name IN ('verify', 'invite')").await;
    for address in &addresses {
        assert_eq!(cost(store, address).await.as_deref(), Some("bcrypt:12"), "{address}");
    }
    let mut ids = Vec::new();
    for address in &addresses {
        ids.push(user(store, address).await.id);
    }
    store.replace_hash(ids[0], &hash("first"), &hash("second")).await.unwrap();
    let session = one_more(store, ids[1]).await;
    let rotated = SessionSecretHash::from_bytes([9; 32]);
    let (new, keys) = (hash("second"), (session.secret_hash, rotated));
    assert!(store.change_password(ids[1], FIRST, &new, keys, (NOW, NOW), event()).await.unwrap().value);
    let used = async |purpose, user_id, address: &str| {
        let token = token(purpose, user_id, address);
        store.store_token(&token, event()).await.unwrap();
        TokenUse { id: token.id, now: NOW }
    };
    let reset = used(OneTimePurpose::ResetPassword, Some(ids[2]), &addresses[2]).await;
    assert!(store.reset_password(reset, &hash("second"), event()).await.unwrap().value);
    let verify = used(OneTimePurpose::VerifyEmail, Some(ids[3]), &addresses[3]).await;
    let next = token(OneTimePurpose::ResetPassword, Some(ids[3]), &addresses[3]);
    assert!(store.verify_email_by_token(verify, None, &next, event()).await.unwrap().value.is_some());
    let invite = used(OneTimePurpose::AcceptInvitation, None, &addresses[4]).await;
    let guest = NewUser { id: ids[4], ..new_user(&addresses[4]) };
    let accepted = store.accept_invitation(invite, &guest, &[], &new_session(ids[4]), &[], event()).await.unwrap();
    accepted.value.unwrap().unwrap();
    for address in &addresses {
        assert_eq!(cost(store, address).await, None, "{address}");
    }
}

#[test]
fn every_statement_that_sets_a_password_ends_its_cost() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store");
    let mut uses = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            uses += text.matches("set_password!(").count();
            for line in text.lines().filter(|line| line.contains("password_hash = ")) {
                let is_allowed = line.contains("password_cost = NULL") || line.contains("AND password_hash = ");
                assert!(is_allowed, "{}: {line}", path.display());
            }
        }
    }
    assert_eq!(uses, 6);
}

async fn an_export_has_every_user_in_the_order_of_the_addresses(store: &Store) {
    let mut rows: Vec<_> =
        (0..25).map(|number| imported(&format!("U{number:02}@example.com"), &number.to_string())).collect();
    rows.reverse();
    rows[0].password = None;
    rows[1].disabled = true;
    import(store, &rows).await;
    let (mut after, mut all) = (String::new(), Vec::new());
    loop {
        let page = store.export_users(&after, 10).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        assert!(page.len() <= 10);
        after.clone_from(last);
        all.extend(page.into_iter().map(|(_, user)| user));
    }
    let addresses: Vec<_> = all.iter().map(|user| user.email.as_str()).collect();
    assert_eq!(addresses, (0..25).map(|number| format!("U{number:02}@example.com")).collect::<Vec<_>>());
    let (last, before) = (&all[24], &all[23]);
    assert_eq!((&last.password_hash, last.disabled, last.legacy_id.as_deref()), (&None, false, Some("24")));
    assert_eq!((before.password_hash.as_deref(), before.disabled), (Some(hash("first").expose()), true));
    assert_eq!(before.email_verified, Some(Timestamp::from_unix_seconds(1_700_000_001)));
    assert_eq!((before.created_at, before.groups.len()), (Timestamp::from_unix_seconds(1_700_000_000), 2));
}
