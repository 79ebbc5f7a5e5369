//! The contract of administration: users are searched by ranges of indexes, and an administrator who can sign in stays.

use super::*;
use crate::model::{ADMINISTRATORS, FindUsers, FoundUser, LastAdministrator::Stays, SearchPosition};
use crate::store::LastAdministratorError;
use crate::store::user_search::statements_of_search;

laws! {
    users_are_found_by_the_beginning_of_an_address_or_of_a_name
    users_are_found_by_their_ids_and_by_a_group
    the_pages_of_a_search_have_each_user_once
    a_search_reads_ranges_of_indexes
    the_last_administrator_who_can_sign_in_stays
    of_two_administrators_who_remove_each_other_at_once_one_stays
}

/// A user with this address and name, in these groups.
async fn person(store: &Store, address: &str, name: &str, in_groups: &[&str]) -> UserId {
    let user = NewUser { name: DisplayName::parse(name).unwrap(), ..new_user(address) };
    store.create_user(&user, None, &[], event()).await.unwrap().value.unwrap();
    store.change_groups(user.id, &groups(in_groups), &[], MayGo, event()).await.unwrap().value.unwrap();
    user.id
}

/// The addresses on all pages of a search, a few on each.
async fn find(store: &Store, text: &str) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.find_users(&FindUsers { text: text.to_owned(), after, limit: 2 }).await.unwrap();
        found.extend(page.users.into_iter().map(|FoundUser { email, .. }| email));
        if page.next.is_none() {
            return found;
        }
        after = page.next;
    }
}

async fn users_are_found_by_the_beginning_of_an_address_or_of_a_name(store: &Store) {
    person(store, "Ada@example.com", "Countess of Lovelace", &[]).await;
    person(store, "adam@example.com", "ADAM", &[]).await;
    person(store, "zoe@example.com", "Ada of the Other Town", &[]).await;
    person(store, "per_cent%@example.com", "100 % _", &[]).await;
    assert_eq!(find(store, "ADA").await, ["Ada@example.com", "adam@example.com", "zoe@example.com"]);
    assert_eq!(find(store, "  ada@example.com ").await, ["Ada@example.com"], "a whole address");
    assert_eq!(find(store, "countess").await, ["Ada@example.com"]);
    assert_eq!(find(store, "lovelace").await, [""; 0], "a name is found by its beginning");
    assert_eq!(find(store, "example.com").await, [""; 0], "so is an address");
    assert_eq!(find(store, "per_").await, ["per_cent%@example.com"]);
    assert_eq!(find(store, "%").await, [""; 0], "no character is a pattern");
    assert_eq!(find(store, "100 %").await, ["per_cent%@example.com"]);
    assert_eq!(find(store, "").await.len(), 4, "an empty text finds all");
}

async fn users_are_found_by_their_ids_and_by_a_group(store: &Store) {
    let ada = person(store, "ada@example.com", "Ada", &["staff", "admins"]).await;
    for number in 0..5 {
        person(store, &format!("u{number}@example.com"), "User", &["staff"]).await;
    }
    execute(store, "UPDATE users SET legacy_id = '4711' WHERE name = 'Ada'").await;
    for text in [ada.to_string(), ada.to_string().to_uppercase(), "4711".to_owned()] {
        assert_eq!(find(store, &text).await, ["ada@example.com"], "{text}");
    }
    assert_eq!(find(store, "471").await, [""; 0], "an id is found as a whole");
    assert_eq!(find(store, &UserId::from_uuid(unique()).to_string()).await, [""; 0]);
    assert_eq!(find(store, "group:admins").await, ["ada@example.com"]);
    assert_eq!(find(store, "group:staff").await.len(), 6);
    assert_eq!(find(store, "group:").await, [""; 0]);
}

async fn the_pages_of_a_search_have_each_user_once(store: &Store) {
    let mut all = Vec::new();
    for number in 0..7 {
        let (by_address, by_name) = (format!("same{number}@example.com"), format!("x{number}@example.com"));
        person(store, &by_address, "Same", &[]).await;
        person(store, &by_name, "Same", &[]).await;
        all.extend([by_address, by_name]);
    }
    for text in ["same", "SAME", ""] {
        let mut found = find(store, text).await;
        found.sort();
        all.sort();
        assert_eq!(found, all, "{text}");
    }
    let position = Some(SearchPosition::Address("x3@example.com".to_owned()));
    let rest = FindUsers { text: String::new(), after: position, limit: 50 };
    let rest = store.find_users(&rest).await.unwrap();
    assert_eq!((rest.users.len(), rest.next), (3, None), "a page begins after a position, whether it is there or not");
}

/// How the database would run a statement. PostgreSQL reads a small table as a whole unless it is told not to.
pub(super) async fn plan(store: &Store, sql: &str, args: &[super::super::statement::Arg<'_>]) -> String {
    let mut tx = store.begin().await.unwrap();
    let text = match store {
        Store::Sqlite(_) => format!("EXPLAIN QUERY PLAN {sql}"),
        Store::Postgres(_) => format!("EXPLAIN {sql}"),
    };
    let explain = request(Box::leak(text.into_boxed_str()));
    let lines: Vec<String> = match store {
        Store::Sqlite(_) => {
            let rows: Vec<(i64, i64, i64, String)> = tx.fetch_all(explain, args).await.unwrap();
            rows.into_iter().map(|(.., detail)| detail).collect()
        }
        Store::Postgres(_) => {
            for setting in ["SET LOCAL enable_seqscan = off", "SET LOCAL enable_bitmapscan = off"] {
                tx.execute(request(setting), &[]).await.unwrap();
            }
            let rows: Vec<(String,)> = tx.fetch_all(explain, args).await.unwrap();
            rows.into_iter().map(|(line,)| line).collect()
        }
    };
    tx.rollback().await.unwrap();
    lines.join("\n")
}

async fn a_search_reads_ranges_of_indexes(store: &Store) {
    let id = unique();
    let (from, until, most) = ("ada".into(), "adb".into(), super::super::statement::limit(50));
    let args: [&[super::super::statement::Arg<'_>]; 8] = [
        &[id.into()],
        &[from],
        &[from, until, most],
        &[from, until, most],
        &[from, until, most],
        &[from, id.into(), most],
        &[from, until, most],
        &[from, id.into(), most],
    ];
    for ((sql, index), args) in statements_of_search(store).into_iter().zip(args) {
        let plan = plan(store, sql, args).await;
        assert!(plan.contains(index), "{sql}\n{plan}");
        for slow in ["SCAN users", "Seq Scan", "FOR ORDER BY", "SCAN members"] {
            assert!(!plan.contains(slow), "{sql}\n{plan}");
        }
        // The sort of the groups of each user stands deeper, in a subquery.
        let sorts_users = plan.lines().take(4).any(|line| line.trim_start_matches(" ->").starts_with("Sort"));
        assert!(!sorts_users, "{sql}\n{plan}");
        if index == "users_by_name" {
            // Both ends of the range, so that a page deep in the names does not read those before it. `<expr>` is the name in lower case.
            let bounds = plan.lines().filter(|line| line.contains("users_by_name") || line.contains("Index Cond"));
            let bounds = bounds.collect::<Vec<_>>().join(" ").replace("<expr>", "key").replace("->", "");
            let is_bound = bounds.contains('>') && (bounds.contains('<') || bounds.contains('='));
            assert!(is_bound, "{sql}\n{plan}");
        }
    }
}

async fn the_last_administrator_who_can_sign_in_stays(store: &Store) {
    let ada = person(store, "ada@example.com", "Ada", &[ADMINISTRATORS]).await;
    let bob = person(store, "bob@example.com", "Bob", &[ADMINISTRATORS]).await;
    let admins = groups(&[ADMINISTRATORS]);
    let disable = async |id, last| store.set_disabled(id, Some(NOW), last, event()).await.unwrap().value;
    let demote = async |id, last| store.change_groups(id, &[], &admins, last, event()).await.unwrap().value;
    let delete = async |id, last| store.delete_user(id, last, event()).await.unwrap().value;
    assert!(!store.is_last_administrator(ada).await.unwrap());
    assert_eq!(disable(bob, Stays).await, Ok(()));
    assert!(store.is_last_administrator(ada).await.unwrap() && !store.is_last_administrator(bob).await.unwrap());
    assert_eq!(disable(ada, Stays).await, Err(LastAdministratorError), "a disabled member cannot sign in");
    assert_eq!(demote(ada, Stays).await, Err(ChangeGroupsError::LastAdministrator(LastAdministratorError)));
    assert_eq!(delete(ada, Stays).await, Err(LastAdministratorError));
    let user = store.user_by_id(ada, NOW).await.unwrap().unwrap();
    assert!(!user.disabled && user.groups == [ADMINISTRATORS], "nothing was changed");
    assert_eq!(demote(bob, Stays).await, Ok(()), "a disabled member may go");
    assert_eq!(delete(bob, Stays).await, Ok(()));
    let staff = groups(&["staff"]);
    assert_eq!(store.change_groups(ada, &[], &staff, Stays, event()).await.unwrap().value, Ok(()), "other groups may");
    assert_eq!(demote(ada, MayGo).await, Ok(()));
    assert_eq!(delete(ada, Stays).await, Ok(()), "a site without administrators has none to keep");
}

async fn of_two_administrators_who_remove_each_other_at_once_one_stays(store: &Store) {
    let admins = groups(&[ADMINISTRATORS]);
    for round in 0..20 {
        let ada = person(store, &format!("ada{round}@example.com"), "Ada", &[ADMINISTRATORS]).await;
        let bob = person(store, &format!("bob{round}@example.com"), "Bob", &[ADMINISTRATORS]).await;
        let act = async |id: UserId, how: usize| match how % 3 {
            0 => store.set_disabled(id, Some(NOW), Stays, event()).await.unwrap().value.is_ok(),
            1 => store.change_groups(id, &[], &admins, Stays, event()).await.unwrap().value.is_ok(),
            _ => store.delete_user(id, Stays, event()).await.unwrap().value.is_ok(),
        };
        let done = all_at_once([(ada, round), (bob, round + 1)].into_iter().map(|(id, how)| act(id, how))).await;
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "{round}");
        for id in [ada, bob] {
            let _ = store.delete_user(id, MayGo, event()).await.unwrap();
        }
    }
}
