//! Tests of the verification: an intact log passes whatever happens to the site, and every change of every row is found.

use std::sync::Arc;

use handstamp_core::{Argon2Params, SecretKey};
use handstamp_testing::{Postgres, TempFolder};
use sqlx::AssertSqlSafe;

use super::*;
use crate::Handstamp;
use crate::config::{Config, DatabaseUrl, PublicUrl};
use crate::context::Context;
use crate::model::LastAdministrator;
use crate::services::{CreateUser, Services};

const SECRET: &str = "n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg";
const NEXT_SECRET: &str = "Zm9vYmFyYmF6cXV4-3k9TTdhLWJ2LXp5NGpzNm1wMA8";

/// Declares each of these functions as a test on SQLite and as one on PostgreSQL.
macro_rules! on_both_databases {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let folder = super::TempFolder::new();
                let file = folder.path().join("data/handstamp.db");
                super::$test(&super::DatabaseUrl::Sqlite(file)).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(&super::DatabaseUrl::Postgres(super::Postgres::shared().new_database())).await;
            })*
        }
    };
}

on_both_databases! {
    an_intact_log_is_verified_after_deletions_of_users
    every_change_of_every_column_of_every_event_is_found
    every_removal_insertion_and_reordering_of_an_event_is_found
    every_erasure_without_a_deletion_of_a_user_is_found
    events_removed_from_the_end_are_found_by_an_earlier_head
    a_changed_head_is_found
    an_event_that_is_not_sealed_and_was_changed_or_inserted_is_found
    events_sealed_under_an_earlier_secret_are_proven_by_later_seals
    a_log_that_grows_while_it_is_verified_is_intact
}

/// A site whose jobs do not run.
struct Site(Handstamp);

impl Site {
    async fn open(database: &DatabaseUrl, secret: &str, fallbacks: &[&str]) -> Self {
        let secret_key = |text: &&str| SecretKey::parse(text).unwrap();
        let public_url = PublicUrl::parse("http://localhost").unwrap();
        let mut config = Config::new(public_url, database.clone(), secret_key(&secret));
        config.secret_key_fallbacks = fallbacks.iter().map(secret_key).collect();
        config.session.cache_entries = 0;
        config.hashing.params = Argon2Params::new(8, 1, 1).unwrap();
        let handstamp = Handstamp::open(config).await.unwrap();
        let mut jobs = std::mem::take(&mut *handstamp.0.jobs.lock().unwrap());
        jobs.drain().await;
        Self(handstamp)
    }

    /// Ends it, so that a node with other secrets need not wait for it.
    async fn closes(self) {
        self.0.close().await;
    }

    fn services(&self) -> &Arc<Services> {
        &self.0.0.site.services
    }

    async fn creates(&self, name: &str) -> UserId {
        let email = format!("{name}@example.com");
        let user = CreateUser::parse(name, &email, "a password of this very test").unwrap();
        self.services().create_user(&Context::operator(), user).await.unwrap()
    }

    async fn deletes(&self, user: UserId) {
        self.services().delete_user(&Context::operator(), user, LastAdministrator::Stays).await.unwrap();
    }

    /// Writes an event about this user.
    async fn disables(&self, user: UserId) {
        self.services().set_user_disabled(&Context::operator(), user, true, LastAdministrator::Stays).await.unwrap();
    }

    async fn seals(&self) {
        self.services().seal_events().await.unwrap();
    }

    async fn head(&self) -> EventHead {
        self.services().events_head().await.unwrap()
    }

    async fn verifies(&self, since: Option<EventHead>) -> AuditReport {
        self.services().verify_events(since, &mut |_, _| {}).await.unwrap()
    }

    async fn problem(&self) -> Option<AuditProblem> {
        self.verifies(None).await.problem
    }

    /// A log of twelve events with two deletions: of a user whose events were sealed, and of one whose events were not.
    async fn fill(&self) {
        let ada = self.creates("ada").await;
        let bob = self.creates("bob").await;
        self.disables(bob).await;
        self.disables(ada).await;
        self.services().set_user_disabled(&Context::operator(), bob, false, LastAdministrator::Stays).await.unwrap();
        self.services()
            .change_groups(&Context::operator(), ada, &["staff"], &[], LastAdministrator::Stays)
            .await
            .unwrap();
        self.seals().await;
        self.deletes(ada).await;
        self.seals().await;
        let carol = self.creates("carol").await;
        self.disables(carol).await;
        self.disables(bob).await;
        self.deletes(carol).await;
        self.seals().await;
        self.disables(bob).await;
        self.seals().await;
    }
}

/// The number of events of [`Site::fill`].
const EVENTS: i64 = 12;

/// A connection to the database beside the site, by which a test changes rows.
enum Attacker {
    Sqlite(sqlx::SqlitePool),
    Postgres(sqlx::PgPool),
}

impl Attacker {
    async fn connect(database: &DatabaseUrl) -> Self {
        match database {
            DatabaseUrl::Sqlite(file) => {
                Self::Sqlite(sqlx::SqlitePool::connect(&format!("sqlite:{}", file.display())).await.unwrap())
            }
            DatabaseUrl::Postgres(url) => Self::Postgres(sqlx::PgPool::connect(url).await.unwrap()),
        }
    }

    async fn executes(&self, sql: &str) {
        let text = AssertSqlSafe(sql.to_owned());
        let done = match self {
            Self::Sqlite(pool) => sqlx::raw_sql(text).execute(pool).await.map(drop),
            Self::Postgres(pool) => sqlx::raw_sql(text).execute(pool).await.map(drop),
        };
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    async fn integers(&self, sql: &str) -> Vec<i64> {
        let text = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(text).fetch_all(pool).await.unwrap(),
            Self::Postgres(pool) => sqlx::query_scalar(text).fetch_all(pool).await.unwrap(),
        }
    }

    /// An SQL expression of this many equal bytes.
    fn bytes(&self, byte: u8, count: usize) -> String {
        self.blob(&vec![byte; count])
    }

    /// An SQL expression of these bytes.
    fn blob(&self, bytes: &[u8]) -> String {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sqlite(_) => format!("x'{digits}'"),
            Self::Postgres(_) => format!("decode('{digits}', 'hex')"),
        }
    }

    /// An SQL expression of a UUID.
    fn uuid(&self, byte: u8) -> String {
        let digits = format!("{byte:02x}").repeat(16);
        match self {
            Self::Sqlite(_) => format!("x'{digits}'"),
            Self::Postgres(_) => format!("CAST('{digits}' AS uuid)"),
        }
    }

    /// Keeps the log as it is now, for [`restores`](Self::restores).
    async fn keeps(&self) {
        self.executes("CREATE TABLE kept AS SELECT * FROM events").await;
        self.executes("CREATE TABLE kept_head AS SELECT * FROM event_head").await;
    }

    async fn restores(&self) {
        self.executes("DELETE FROM events; INSERT INTO events SELECT * FROM kept").await;
        self.executes("DELETE FROM event_head; INSERT INTO event_head SELECT * FROM kept_head").await;
    }
}

/// A filled site, and an attacker who has kept its log.
async fn attacked(database: &DatabaseUrl) -> (Site, Attacker) {
    let site = Site::open(database, SECRET, &[]).await;
    site.fill().await;
    let attacker = Attacker::connect(database).await;
    attacker.keeps().await;
    (site, attacker)
}

async fn erased_positions(attacker: &Attacker) -> Vec<i64> {
    attacker.integers("SELECT position FROM events WHERE erased_by IS NOT NULL ORDER BY position").await
}

/// Checks that the changes are found at this position, and undoes them.
async fn is_found(site: &Site, attacker: &Attacker, position: i64, changes: &[String]) {
    for change in changes {
        attacker.executes(change).await;
    }
    let problem = site.problem().await.unwrap_or_else(|| panic!("position {position}: {changes:?}"));
    assert_eq!(problem.position, u64::try_from(position).ok(), "{changes:?}: {problem}");
    attacker.restores().await;
}

async fn an_intact_log_is_verified_after_deletions_of_users(database: &DatabaseUrl) {
    let site = Site::open(database, SECRET, &[]).await;
    assert_eq!(site.verifies(Some(EventHead::EMPTY)).await.problem, None, "a log without events");
    site.fill().await;
    let mut progress = Vec::new();
    let head = site.head().await;
    let report = site.services().verify_events(Some(head), &mut |done, all| progress.push((done, all))).await.unwrap();
    let erased = erased_positions(&Attacker::connect(database).await).await;
    assert_eq!((report.problem, report.head, head.position), (None, head, EVENTS as u64));
    assert_eq!((report.erased, erased.len(), report.unsealed, report.unknown_keys), (5, 5, 0, 0));
    assert_eq!(progress, [(EVENTS as u64, EVENTS as u64)]);
}

async fn every_change_of_every_column_of_every_event_is_found(database: &DatabaseUrl) {
    let (site, attacker) = attacked(database).await;
    let erased = erased_positions(&attacker).await;
    let without_user = attacker.integers("SELECT position FROM events WHERE user_id IS NULL").await;
    let changes = [
        format!("commitment = {}", attacker.bytes(7, 32)),
        format!("commitment = {}", attacker.bytes(7, 31)),
        format!("tag = {}", attacker.bytes(7, 36)),
        format!("tag = {}", attacker.bytes(7, 35)),
        "tag = (SELECT other.tag FROM kept AS other WHERE other.position = 13 - events.position)".to_owned(),
        format!("id = {}", attacker.uuid(7)),
        "id = NULL".to_owned(),
        "time = time + 1".to_owned(),
        "time = -1".to_owned(),
        "name = name || 'x'".to_owned(),
        format!("user_id = {}", attacker.uuid(7)),
        "user_id = NULL".to_owned(),
        "content = content || ' '".to_owned(),
        format!("salt = {}", attacker.bytes(7, 16)),
        format!("salt = {}", attacker.bytes(7, 15)),
        format!("erased_by = {}", attacker.uuid(7)),
        "erased_by = NULL".to_owned(),
    ];
    for position in 1..=EVENTS {
        for change in &changes {
            let has_that_value = match change.as_str() {
                "id = NULL" => erased.contains(&position),
                "user_id = NULL" => without_user.contains(&position),
                "erased_by = NULL" => !erased.contains(&position),
                _ => false,
            };
            if !has_that_value {
                let change = format!("UPDATE events SET {change} WHERE position = {position}");
                is_found(&site, &attacker, position, &[change]).await;
            }
        }
    }
    assert_eq!(site.problem().await, None);
}

/// The statements that insert an event at a position, which has to be free. An attacker can compute the commitment, but no seal.
fn insertion(attacker: &Attacker, position: i64, tag: &str) -> String {
    let id = Uuid::from_bytes([7; 16]);
    let record = EventRecord { id, time: Timestamp::from_unix_seconds(1), user: None, name: "x", content: "{}" };
    let commitment = attacker.blob(record.commitment(&[7; 16]).as_bytes());
    let (id, salt) = (attacker.uuid(7), attacker.bytes(7, 16));
    format!(
        "INSERT INTO events (commitment, position, tag, id, time, name, user_id, content, salt, erased_by)
         VALUES ({commitment}, {position}, {tag}, {id}, 1, 'x', NULL, '{{}}', {salt}, NULL)"
    )
}

async fn every_removal_insertion_and_reordering_of_an_event_is_found(database: &DatabaseUrl) {
    let (site, attacker) = attacked(database).await;
    let move_later = |position: i64, by: i64| {
        [
            format!("UPDATE events SET position = -position WHERE position > {position}"),
            format!("UPDATE events SET position = {by} - position WHERE position < 0"),
        ]
    };
    let a_tag = "(SELECT tag FROM kept WHERE position = 1)";
    for position in 1..=EVENTS {
        let removal = format!("DELETE FROM events WHERE position = {position}");
        is_found(&site, &attacker, position, std::slice::from_ref(&removal)).await;
        let moved = move_later(position, -1);
        is_found(&site, &attacker, position, &[&[removal][..], &moved].concat()).await;
        let later = move_later(position - 1, 1);
        let tag = format!("(SELECT tag FROM kept WHERE position = {position})");
        is_found(&site, &attacker, position, &[&later[..], &[insertion(&attacker, position, &tag)]].concat()).await;
        for other in position + 1..=EVENTS {
            let swap = [
                format!("UPDATE events SET position = -1 WHERE position = {position}"),
                format!("UPDATE events SET position = {position} WHERE position = {other}"),
                format!("UPDATE events SET position = {other} WHERE position = -1"),
            ];
            let seals = format!(
                "UPDATE events SET tag = (SELECT tag FROM kept WHERE kept.position = events.position)
                 WHERE position IN ({position}, {other})"
            );
            is_found(&site, &attacker, position, &swap).await;
            is_found(&site, &attacker, position, &[&swap[..], &[seals]].concat()).await;
        }
    }
    for (stored, found) in [(0, 1), (-3, 1), (EVENTS + 1, EVENTS + 1), (EVENTS + 2, EVENTS + 1)] {
        is_found(&site, &attacker, found, &[insertion(&attacker, stored, a_tag)]).await;
    }
    assert_eq!(site.problem().await, None);
}

/// The statement that erases an event as the deletion of a user does.
fn erasure(attacker: &Attacker, position: i64, by: &str) -> String {
    let no_salt = attacker.bytes(0, 0);
    format!(
        "UPDATE events SET id = NULL, time = 0, name = '', user_id = NULL, content = '', salt = {no_salt},
            erased_by = {by} WHERE position = {position}"
    )
}

async fn every_erasure_without_a_deletion_of_a_user_is_found(database: &DatabaseUrl) {
    let (site, attacker) = attacked(database).await;
    let erased = erased_positions(&attacker).await;
    let deletions =
        attacker.integers("SELECT position FROM events WHERE name = 'user_deleted' ORDER BY position").await;
    for position in (1..=EVENTS).filter(|position| !erased.contains(position)) {
        let by_none = erasure(&attacker, position, &attacker.uuid(7));
        let is_deletion = deletions.contains(&position);
        if !is_deletion {
            is_found(&site, &attacker, position, std::slice::from_ref(&by_none)).await;
        }
        for deletion in &deletions {
            let by = format!("(SELECT id FROM kept WHERE position = {deletion})");
            attacker.executes(&erasure(&attacker, position, &by)).await;
            let kind = site.problem().await.map(|problem| problem.kind);
            assert_eq!(kind, Some(AuditProblemKind::WrongErasure), "{position} by {deletion}");
            attacker.restores().await;
        }
        if is_deletion {
            attacker.executes(&by_none).await;
            let kind = site.problem().await.map(|problem| problem.kind);
            assert_eq!(kind, Some(AuditProblemKind::WrongErasure), "the deletion of {position}");
            attacker.restores().await;
        }
    }
    for position in erased {
        let by = deletions.iter().map(|deletion| format!("(SELECT id FROM kept WHERE position = {deletion})"));
        let found = async |by: &str| {
            attacker.executes(&format!("UPDATE events SET erased_by = {by} WHERE position = {position}")).await;
            let problem = site.problem().await;
            attacker.restores().await;
            problem.is_some()
        };
        let mut moved = 0;
        for by in by {
            moved += usize::from(found(&by).await);
        }
        assert_eq!(moved, 1, "position {position} belongs to one of the two deletions");
    }
    assert_eq!(site.problem().await, None);
}

/// The statements that remove all events after a position, and make the stored head that of this position.
async fn truncation(site: &Site, attacker: &Attacker, position: i64) -> Vec<String> {
    let rows = site.services().store.stored_events_after(i64::MIN, position as usize).await.unwrap();
    let mut head = EventHead::EMPTY;
    for row in rows {
        let commitment = EventCommitment::from_bytes(row.commitment.as_slice().try_into().unwrap());
        let tag = EventTag::from_bytes(row.tag.as_slice().try_into().unwrap());
        head = site.services().event_writer.keys.check_seal(&head, &commitment, &tag).0;
    }
    let link = attacker.blob(&head.link);
    vec![
        format!("DELETE FROM events WHERE position > {position}"),
        format!("UPDATE event_head SET position = {position}, link = {link}"),
    ]
}

async fn events_removed_from_the_end_are_found_by_an_earlier_head(database: &DatabaseUrl) {
    let (site, attacker) = attacked(database).await;
    let head = site.head().await;
    for position in 0..EVENTS {
        let changes = truncation(&site, &attacker, position).await;
        is_found(&site, &attacker, position + 1, &changes[..1]).await;
        for change in &changes {
            attacker.executes(change).await;
        }
        let problem = site.verifies(Some(head)).await.problem.unwrap();
        assert_eq!((problem.kind, problem.position), (AuditProblemKind::Missing, Some(position as u64 + 1)));
        if position == EVENTS - 1 {
            assert_eq!(site.problem().await, None, "without a head nothing tells that there was one more event");
        }
        attacker.restores().await;
    }
    let of_another_log = EventHead { position: 6, ..head };
    let problem = site.verifies(Some(of_another_log)).await.problem.unwrap();
    assert_eq!((problem.kind, problem.position), (AuditProblemKind::WrongHead, Some(6)));
    assert_eq!(site.verifies(Some(head)).await.problem, None);
}

async fn a_changed_head_is_found(database: &DatabaseUrl) {
    let (site, attacker) = attacked(database).await;
    let link = attacker.bytes(7, 32);
    for (change, position) in [
        (format!("link = {link}"), EVENTS),
        ("position = 5".to_owned(), 6),
        (format!("position = {}", EVENTS + 3), EVENTS + 1),
    ] {
        is_found(&site, &attacker, position, &[format!("UPDATE event_head SET {change}")]).await;
    }
}

async fn an_event_that_is_not_sealed_and_was_changed_or_inserted_is_found(database: &DatabaseUrl) {
    let site = Site::open(database, SECRET, &[]).await;
    site.fill().await;
    let dora = site.creates("dora").await;
    site.disables(dora).await;
    let attacker = Attacker::connect(database).await;
    attacker.keeps().await;
    assert_eq!((site.problem().await, site.verifies(None).await.unsealed), (None, 2));
    let forged = insertion(&attacker, 0, &attacker.bytes(7, 36)).replace(", 0, ", ", NULL, ");
    let a_tag = "(SELECT tag FROM kept WHERE position IS NULL LIMIT 1)";
    let with_a_tag = insertion(&attacker, 0, a_tag).replace(", 0, ", ", NULL, ");
    let unsealed = "WHERE name = 'user_disabled' AND position IS NULL";
    for change in [
        forged.clone(),
        with_a_tag,
        format!("UPDATE events SET content = '{{}}' {unsealed}"),
        format!("UPDATE events SET name = 'user_enabled' {unsealed}"),
        format!("UPDATE events SET tag = {} {unsealed}", attacker.bytes(7, 36)),
        format!("UPDATE events SET tag = {} {unsealed}", attacker.bytes(7, 3)),
        format!("UPDATE events SET commitment = {} {unsealed}", attacker.bytes(7, 32)),
    ] {
        attacker.executes(&change).await;
        let problem = site.problem().await.unwrap();
        assert_eq!((problem.kind, problem.position), (AuditProblemKind::Forged, None), "{change}: {problem}");
        attacker.restores().await;
    }
    let erased = erasure(&attacker, 0, &attacker.uuid(7)).replace("WHERE position = 0", unsealed);
    attacker.executes(&erased).await;
    assert_eq!(site.problem().await.unwrap().kind, AuditProblemKind::WrongErasure);
    attacker.restores().await;
    attacker.executes(&format!("DELETE FROM events {unsealed}")).await;
    assert_eq!(site.problem().await, None, "until it is sealed an event can be removed unnoticed");
    attacker.restores().await;
    attacker.executes(&forged).await;
    site.seals().await;
    assert_eq!(
        site.head().await.position,
        EVENTS as u64 + 2,
        "a forged event is not sealed, and does not keep others from it"
    );
    assert_eq!(site.problem().await.unwrap().kind, AuditProblemKind::Forged);
}

async fn events_sealed_under_an_earlier_secret_are_proven_by_later_seals(database: &DatabaseUrl) {
    let site = Site::open(database, SECRET, &[]).await;
    site.fill().await;
    let head = site.head().await;
    site.closes().await;
    let rotated = Site::open(database, NEXT_SECRET, &[SECRET]).await;
    assert_eq!((rotated.problem().await, rotated.verifies(None).await.unknown_keys), (None, 0));
    rotated.closes().await;
    let alone = Site::open(database, NEXT_SECRET, &[]).await;
    let problem = alone.problem().await.unwrap();
    assert_eq!((problem.kind, problem.position), (AuditProblemKind::NotProven, Some(1)));
    assert_eq!(alone.verifies(Some(head)).await.problem, None, "the head proves them");
    alone.creates("dora").await;
    alone.seals().await;
    assert_eq!((alone.problem().await, alone.verifies(None).await.unknown_keys), (None, EVENTS as u64));
    let attacker = Attacker::connect(database).await;
    attacker.keeps().await;
    for position in 1..=EVENTS {
        // The attacker computes the commitment of another event, and keeps the seal, which cannot be checked.
        let tag = format!("(SELECT tag FROM kept WHERE position = {position})");
        let removal = format!("DELETE FROM events WHERE position = {position}");
        is_found(&alone, &attacker, 1, &[removal, insertion(&attacker, position, &tag)]).await;
        let key_id = format!("UPDATE events SET tag = {} WHERE position = {position}", attacker.bytes(7, 36));
        is_found(&alone, &attacker, 1, &[key_id]).await;
    }
    assert_eq!(alone.problem().await, None);
}

async fn a_log_that_grows_while_it_is_verified_is_intact(database: &DatabaseUrl) {
    let site = Site::open(database, SECRET, &[]).await;
    let acts = async {
        for round in 0..12 {
            let user = site.creates(&format!("user-{round}")).await;
            site.disables(user).await;
            if round % 2 == 0 {
                site.seals().await;
            }
            site.deletes(user).await;
            site.creates(&format!("other-{round}")).await;
        }
        site.seals().await;
    };
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let verifications = async {
        let mut head = site.head().await;
        let mut count = 0;
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            let report = site.verifies(Some(head)).await;
            assert_eq!(report.problem, None);
            head = report.head;
            count += 1;
        }
        count
    };
    let acts = async {
        acts.await;
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let ((), count) = tokio::join!(acts, verifications);
    assert!(count > 5, "{count}");
    assert_eq!((site.head().await.position, site.problem().await), (48, None));
}

/// Writes events of sign-ins, many in each transaction.
async fn writes(site: &Site, attacker: &Attacker, events: usize) {
    const SQL: &str = "INSERT INTO events (commitment, tag, id, time, name, user_id, content, salt)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let services = site.services();
    let (user, session) = (UserId::new(services.sessions.now(), [7; 10]), Uuid::from_bytes([7; 16]));
    let client = crate::context::ClientInfo {
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0".to_owned(),
        address: "2001:db8:1234:5678::9".to_owned(),
        ..Default::default()
    };
    let (context, event) = (Context::of(&client), crate::events::Event::AuthnLoginSuccess { user });
    let mut left = events;
    while left > 0 {
        let count = left.min(1000);
        let entries = (0..count).map(|_| services.new_event(&context, &event).in_session(session));
        let rows = entries.map(|event| (event.committed(), event));
        macro_rules! insert {
            ($pool:expr) => {{
                let mut transaction = $pool.begin().await.unwrap();
                for ((content, commitment, tag), event) in rows {
                    let query = sqlx::query(SQL).bind(commitment.as_bytes().to_vec()).bind(tag.as_bytes().to_vec());
                    let query = query.bind(event.id).bind(event.time.unix_seconds() as i64).bind(event.name);
                    let query = query.bind(user.as_uuid()).bind(content).bind(event.salt.to_vec());
                    query.execute(&mut *transaction).await.unwrap();
                }
                transaction.commit().await.unwrap();
            }};
        }
        match attacker {
            Attacker::Sqlite(pool) => insert!(pool),
            Attacker::Postgres(pool) => insert!(pool),
        }
        left -= count;
    }
}

/// Prints how long a log of a million events takes, for the guide. Run it in release.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement that takes minutes"]
#[expect(clippy::print_stdout, reason = "the figures are its result")]
async fn a_million_events_are_measured() {
    let folder = TempFolder::new();
    for database in [
        DatabaseUrl::Sqlite(folder.path().join("data/handstamp.db")),
        DatabaseUrl::Postgres(Postgres::shared().new_database()),
    ] {
        let site = Site::open(&database, SECRET, &[]).await;
        let attacker = Attacker::connect(&database).await;
        let mut begun = std::time::Instant::now();
        let mut seconds = || std::mem::replace(&mut begun, std::time::Instant::now()).elapsed().as_secs_f64();
        writes(&site, &attacker, 1_000_000).await;
        let written = seconds();
        // The disk may still be busy with what was written.
        while site.services().seal_events().await.is_err() {}
        let sealed = seconds();
        assert_eq!(site.problem().await, None);
        let verified = seconds();
        assert_eq!(site.head().await.position, 1_000_000);
        let size = std::fs::metadata(folder.path().join("data/handstamp.db")).unwrap().len() / 1_000_000;
        println!("written {written:.1} s, sealed {sealed:.1} s, verified {verified:.1} s, SQLite has {size} MB");
    }
}
