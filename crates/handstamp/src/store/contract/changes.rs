//! The contract of the invalidation log and of the nodes, for every database.

use super::*;
use crate::store::{Committed, Invalidation, InvalidationLog, InvalidationScope, NodeId, NodeRow, Position};

const LEASE: Duration = Duration::from_millis(1500);

laws! {
    every_write_logs_what_it_invalidates
    a_write_that_invalidates_nothing_takes_no_position
    positions_of_concurrent_writes_have_no_gaps
    a_node_joins_at_the_newest_position
    a_renewal_returns_the_newest_position_and_never_lowers_the_reported_one
    an_evicted_node_cannot_renew_its_lease
    a_node_that_has_renewed_meanwhile_is_not_evicted
    rejoining_leaves_no_row_of_the_previous_membership
    trimming_the_log_keeps_the_later_invalidations
}

fn node() -> NodeId {
    NodeId(unique())
}

async fn newest(store: &Store) -> Position {
    let id = node();
    let newest = store.join(id, LEASE).await.unwrap();
    store.leave(id).await.unwrap();
    newest
}

async fn row(store: &Store, id: NodeId) -> Option<NodeRow> {
    store.nodes().await.unwrap().1.into_iter().find(|row| row.id == id)
}

/// The invalidations that a write has logged. Their last position must be the one that the write returned.
async fn changed<T>(store: &Store, before: Position, logged: Committed<T>) -> Vec<InvalidationScope> {
    let changes = store.invalidations_after(before).await.unwrap();
    assert_eq!(changes.last().map(|change| change.position), logged.position);
    changes.into_iter().map(|change| change.scope).collect()
}

async fn every_write_logs_what_it_invalidates(store: &Store) {
    let (id, first) = ada(store).await;
    let user = vec![InvalidationScope::User(id)];
    macro_rules! changes {
        ($act:expr) => {{
            let before = newest(store).await;
            let logged = $act.await.unwrap();
            changed(store, before, logged).await
        }};
    }
    assert_eq!(changes!(store.change_name(id, &DisplayName::parse("Augusta").unwrap(), event())), user);
    assert_eq!(changes!(store.change_groups(id, &[GroupName::parse("staff").unwrap()], &[], MayGo, event())), user);
    assert_eq!(changes!(store.end_other_sessions(id, first.secret_hash, event())), user);
    assert_eq!(
        changes!(store.end_sessions(with_events(&[first.owned()]))),
        [InvalidationScope::Session(first.secret_hash)]
    );
    assert_eq!(
        changes!(store.end_sessions(with_events(&[first.owned()]))),
        [InvalidationScope::Session(first.secret_hash)],
        "the first end may not have reached all nodes"
    );
    let (bob, bobs) = (new_user("bob@example.com"), new_session(UserId::from_uuid(unique())));
    let bobs = NewSession { user_id: bob.id, ..bobs };
    let _ = store.create_user(&bob, Some(&bobs), &[], event()).await.unwrap();
    let more = [one_more(store, id).await.owned(), bobs.owned(), one_more(store, id).await.owned()];
    let mut users = [id, bob.id];
    users.sort_unstable_by_key(UserId::as_uuid);
    assert_eq!(
        changes!(store.end_sessions(with_events(&more))),
        users.map(InvalidationScope::User),
        "for several sessions, the users are logged"
    );
    let second = one_more(store, id).await;
    let third = new_session(id);
    assert_eq!(
        changes!(store.sign_in(FIRST, &third, &[second.owned()], sign_in_events())),
        [InvalidationScope::Session(second.secret_hash)],
        "the previous session of the browser"
    );
    assert_eq!(changes!(store.end_session_by_id(id, third.session_id, event())), user);
    assert_eq!(
        changes!(store.end_session_by_id(id, third.session_id, event())),
        user,
        "the first end may not have reached all nodes"
    );
    let fourth = one_more(store, id).await;
    let rotated = new_session(id).secret_hash;
    assert_eq!(
        changes!(store.change_password(id, FIRST, &hash("second"), (fourth.secret_hash, rotated), (NOW, NOW), event())),
        user
    );
    assert_eq!(
        changes!(store.purge_expired_sessions(fourth.expires_at, 10)),
        [InvalidationScope::Expired(fourth.expires_at)]
    );
    assert_eq!(changes!(store.end_sessions_of(id, event())), user);
    assert_eq!(changes!(store.end_some_sessions(10, event())), [InvalidationScope::All]);
    assert_eq!(changes!(store.set_disabled(id, Some(NOW), MayGo, event())), user);
    assert_eq!(changes!(store.set_disabled(id, None, MayGo, event())), user);
    assert_eq!(changes!(store.delete_user(id, MayGo, event())), user);
}

async fn a_write_that_invalidates_nothing_takes_no_position(store: &Store) {
    let (id, first) = ada(store).await;
    let none = None;
    let taken = new_user("ada@example.com");
    assert_eq!(store.create_user(&taken, None, &[first.owned()], event()).await.unwrap().position, none);
    assert_eq!(store.sign_in(FIRST, &new_session(id), &[], sign_in_events()).await.unwrap().position, none);
    assert_eq!(
        store.sign_in(ANOTHER, &new_session(id), &[first.owned()], sign_in_events()).await.unwrap().position,
        none
    );
    let (eve, eves) = (new_user("eve@example.com"), new_session(id));
    let eves = NewSession { user_id: eve.id, ..eves };
    let _ = store.create_user(&eve, Some(&eves), &[], event()).await.unwrap();
    assert_eq!(store.end_session_by_id(id, eves.session_id, event()).await.unwrap().position, none);
    assert_eq!(store.purge_expired_sessions(NOW, 10).await.unwrap().position, none);
    let ids = (new_session(id).secret_hash, new_session(id).secret_hash);
    assert_eq!(
        store.change_password(id, ANOTHER, &hash("new"), ids, (NOW, NOW), event()).await.unwrap().position,
        none
    );
    assert_eq!(newest(store).await, Position(0));
    assert_eq!(store.invalidations_after(Position(0)).await.unwrap(), []);
}

async fn positions_of_concurrent_writes_have_no_gaps(store: &Store) {
    let (id, _) = ada(store).await;
    let name = DisplayName::parse("Augusta").unwrap();
    let acts = (0..20).map(|_| store.change_name(id, &name, event()));
    let value = all_at_once(acts).await.into_iter();
    let mut positions: Vec<_> = value.map(|logged| logged.unwrap().position.unwrap().0).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=20).collect::<Vec<_>>());
    let logged = store.invalidations_after(Position(0)).await.unwrap();
    let expected = |position| Invalidation { position: Position(position), scope: InvalidationScope::User(id) };
    assert_eq!(logged, (1..=20).map(expected).collect::<Vec<_>>());
    assert_eq!(store.invalidations_after(Position(18)).await.unwrap(), [expected(19), expected(20)]);
}

async fn a_node_joins_at_the_newest_position(store: &Store) {
    let (_, session) = ada(store).await;
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    let id = node();
    assert_eq!(store.join(id, LEASE).await.unwrap(), Position(1));
    let joined = NodeRow { id, position: Position(1), renewals: 0, lease: LEASE };
    assert_eq!(store.nodes().await.unwrap(), (Position(1), vec![joined]));
    store.leave(id).await.unwrap();
    assert_eq!(
        store.nodes().await.unwrap(),
        (Position(1), vec![]),
        "the position is returned even if there is no node"
    );
    assert_eq!(store.confirm().await.unwrap(), Position(1));
}

async fn a_renewal_returns_the_newest_position_and_never_lowers_the_reported_one(store: &Store) {
    let (_, session) = ada(store).await;
    let id = node();
    store.join(id, LEASE).await.unwrap();
    assert_eq!(store.renew(id, Position(0)).await.unwrap(), Some(Position(0)));
    let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    assert_eq!(store.renew(id, Position(0)).await.unwrap(), Some(Position(1)));
    assert_eq!(row(store, id).await.unwrap().position, Position(0), "it has not reached that position");
    assert_eq!(store.renew(id, Position(1)).await.unwrap(), Some(Position(1)));
    // This renewal was sent earlier and is run only now.
    assert_eq!(store.renew(id, Position(0)).await.unwrap(), Some(Position(1)));
    assert_eq!(row(store, id).await, Some(NodeRow { id, position: Position(1), renewals: 4, lease: LEASE }));
}

async fn an_evicted_node_cannot_renew_its_lease(store: &Store) {
    let (gone, other) = (node(), node());
    store.join(gone, LEASE).await.unwrap();
    store.join(other, LEASE).await.unwrap();
    store.evict(row(store, gone).await.unwrap()).await.unwrap();
    assert_eq!(store.renew(gone, Position(0)).await.unwrap(), None);
    assert_eq!(row(store, gone).await, None);
    assert!(row(store, other).await.is_some());
}

async fn a_node_that_has_renewed_meanwhile_is_not_evicted(store: &Store) {
    let id = node();
    store.join(id, LEASE).await.unwrap();
    let seen = row(store, id).await.unwrap();
    store.renew(id, Position(0)).await.unwrap();
    store.evict(seen).await.unwrap();
    assert!(store.renew(id, Position(0)).await.unwrap().is_some());
}

async fn rejoining_leaves_no_row_of_the_previous_membership(store: &Store) {
    let (before, now) = (node(), node());
    store.join(before, LEASE).await.unwrap();
    store.leave(before).await.unwrap();
    store.join(now, LEASE).await.unwrap();
    assert_eq!(store.nodes().await.unwrap().1.iter().map(|row| row.id).collect::<Vec<_>>(), [now]);
}

async fn trimming_the_log_keeps_the_later_invalidations(store: &Store) {
    let (_, session) = ada(store).await;
    for _ in 0..3 {
        let _ = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    }
    store.forget(Position(2)).await.unwrap();
    let left = store.invalidations_after(Position(0)).await.unwrap();
    assert_eq!(left.iter().map(|change| change.position).collect::<Vec<_>>(), [Position(3)]);
    let next = store.end_sessions(with_events(&[session.owned()])).await.unwrap();
    assert_eq!(next.position, Some(Position(4)), "positions are never reused");
}

/// A process that is frozen in the middle of a transaction holds the counter and would block all sign-outs.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_transaction_is_ended() {
    let url = DatabaseUrl::Postgres(Postgres::shared().new_database());
    let (frozen, store) = (Store::open(&url, true).await.unwrap(), Store::open(&url, true).await.unwrap());
    let (_, session) = ada(&store).await;
    let Store::Postgres(database) = &frozen else { panic!("this is PostgreSQL") };
    let mut connection = database.pool.acquire().await.unwrap();
    let mut transaction = sqlx::Connection::begin(&mut *connection).await.unwrap();
    sqlx::query("UPDATE change_counter SET position = position + 1").execute(&mut *transaction).await.unwrap();
    let begun = std::time::Instant::now();
    let ended = loop {
        match store.end_sessions(with_events(&[session.owned()])).await {
            Ok(ended) => break ended,
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(8), "sign-outs are still blocked"),
        }
    };
    assert!(transaction.commit().await.is_err());
    // A sign-out that ran out of time may have been committed, so there can be more than one invalidation.
    let logged = store.invalidations_after(Position(0)).await.unwrap();
    let positions: Vec<_> = logged.iter().map(|change| change.position).collect();
    let without_gaps: Vec<_> = (1..).map(Position).take(positions.len()).collect();
    assert_eq!(positions, without_gaps, "the rolled-back transaction took no position");
    assert_eq!(ended.position, positions.last().copied());
    assert_eq!(Some(newest(&store).await), ended.position);
}

/// `cargo test -p handstamp --lib revocations_a_second -- --ignored --nocapture`. The counter row admits one commit
/// at a time, so this is the limit of a database, whatever the number of nodes. ARCHITECTURE.md has the figures.
#[expect(clippy::print_stdout, reason = "a measurement")]
mod revocations_a_second {
    use std::time::Instant;

    use super::*;

    async fn measure(name: &str, store: &Store) {
        for at_once in [1, 8, 64] {
            let (begun, mut value) = (Instant::now(), 0);
            while begun.elapsed() < Duration::from_secs(3) {
                let ids: Vec<_> = (0..at_once).map(|_| [new_session(UserId::from_uuid(unique())).owned()]).collect();
                let outcomes = all_at_once(ids.iter().map(|ended| store.end_sessions(with_events(ended)))).await;
                value += outcomes.into_iter().filter(Result::is_ok).count();
            }
            println!("{name}, {at_once} at once: {:.0} a second", value as f64 / begun.elapsed().as_secs_f64());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a measurement"]
    async fn sqlite() {
        measure("SQLite", &store(&TempFolder::new()).await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a measurement"]
    async fn postgres() {
        let url = Postgres::shared().new_database();
        let pool = sqlx::PgPool::connect(&url).await.unwrap();
        for setting in ["ALTER SYSTEM SET fsync = on", "SELECT pg_reload_conf()"] {
            sqlx::query(setting).execute(&pool).await.unwrap();
        }
        measure("PostgreSQL", &Store::open(&DatabaseUrl::Postgres(url), true).await.unwrap()).await;
    }
}
