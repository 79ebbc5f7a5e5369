//! The table of events: the audit log, its sealing, and the erasure of the events of a user.

use std::sync::LazyLock;

use handstamp_core::{ErasedEvents, EventCommitment, EventHead, EventKeys, EventTag, Timestamp, UserId};
use uuid::Uuid;

use super::event_hours::CountedHours;
use super::statement::{Arg, Pool, Sql, Tx, limit, maintenance, request};
use super::{Error, Result, Store, from_db_time};
use crate::model::{
    AuditEvent, ERASED_FIELDS, EventActor, EventContent, EventSearch, ListEvents, NewEvent, SignInEvents, StoredEvent,
};

/// A query for the columns of a [`StoredRow`].
macro_rules! stored_events {
    ($rest:literal) => {
        concat!(
            "SELECT commitment, position, tag, id, time, name, user_id, content, salt, erased_by FROM events ",
            $rest
        )
    };
}

/// The most events that one transaction seals, so that none takes long.
const SEALED_AT_ONCE: usize = 500;
/// How many of them one statement updates, since the database may be some milliseconds away.
const SEALED_BY_ONE_STATEMENT: usize = 50;

/// The statement that seals events: the arguments are the commitment, the position and the seal of each. Arguments that are left
/// over have an empty commitment, which no event has. It does not ask for `position IS NULL`: SQLite would then read all events
/// that are not sealed, of which there can be a million.
pub(super) static SEAL: LazyLock<String> = LazyLock::new(|| {
    let row = |row: usize| format!("(${}, ${}, ${})", 3 * row + 1, 3 * row + 2, 3 * row + 3);
    let rows: Vec<_> = (0..SEALED_BY_ONE_STATEMENT).map(row).collect();
    format!(
        "UPDATE events SET position = sealed.column2, tag = sealed.column3 FROM (VALUES {}) AS sealed
         WHERE events.commitment = sealed.column1",
        rows.join(", ")
    )
});

impl Tx<'_> {
    /// Writes an event in the transaction of its act, and its webhook, and the mail that the act causes.
    ///
    /// The transaction must hold a lock that the deletion of the user takes as well. It has that if it has changed the row of the
    /// user, of a session or of a group of the user; otherwise it calls [`lock_user`](Self::lock_user). Without the lock, the event
    /// of an act that overlaps the deletion could outlive the user.
    pub(super) async fn write_event(&mut self, event: NewEvent) -> Result<()> {
        const INSERT: Sql = request(
            "INSERT INTO events (commitment, tag, id, time, name, user_id, content, salt)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        );
        let (content, commitment, tag) = event.committed();
        let columns = [
            commitment.as_bytes().as_slice().into(),
            tag.as_bytes().as_slice().into(),
            event.id.into(),
            event.time.into(),
            event.name.into(),
            event.user.into(),
            content.as_str().into(),
            event.salt.as_slice().into(),
        ];
        self.execute(INSERT, &columns).await?;
        for message in event.message.iter().chain(&event.webhook()) {
            self.enqueue(message).await?;
        }
        self.note_written(&event);
        Ok(())
    }

    /// Writes the events of a sign-in, which has ended this number of unused sessions.
    pub(super) async fn write_sign_in_events(&mut self, events: SignInEvents, unused: u64) -> Result<()> {
        self.write_event(events.signed_in).await?;
        if unused > 0 {
            self.write_event(events.limited.with("sessions", unused)).await?;
        }
        Ok(())
    }

    /// Erases up to `most` events of a user, the oldest first, and writes the event that records it, with their number and the
    /// digest of their commitments. Where nothing is left out, the transaction must have deleted the user before.
    pub(super) async fn erase_events(&mut self, user: UserId, most: usize, event: NewEvent) -> Result<u64> {
        const ERASE: Sql = request(
            "UPDATE events SET id = NULL, time = 0, name = '', user_id = NULL, content = '', salt = $4, erased_by = $3
             WHERE commitment IN (SELECT commitment FROM events WHERE user_id = $1 ORDER BY id LIMIT $2)
             RETURNING commitment",
        );
        // Sealing updates the same rows. With this lock first, neither waits for a row that the other holds.
        self.lock_head().await?;
        let no_salt: &[u8] = &[];
        let args = [user.into(), limit(most), event.id.into(), no_salt.into()];
        let rows: Vec<(Vec<u8>,)> = self.fetch_all(ERASE, &args).await?;
        let erased = ErasedEvents::of(rows.into_iter().map(|(bytes,)| commitment(bytes)).collect::<Result<_>>()?);
        let event = event.without_personal_data();
        let event = event.with(ERASED_FIELDS.0, erased.count).with(ERASED_FIELDS.1, erased.digest_text());
        self.write_event(event).await?;
        Ok(erased.count)
    }

    /// Stores the positions and the seals of events.
    async fn store_seals(&mut self, seals: &[(EventCommitment, u64, EventTag)]) -> Result<()> {
        let none: &[u8] = &[];
        let mut args = Vec::with_capacity(3 * SEALED_BY_ONE_STATEMENT);
        for (commitment, position, tag) in seals {
            let (commitment, tag) = (commitment.as_bytes().as_slice(), tag.as_bytes().as_slice());
            args.extend([Arg::from(commitment), number_column(*position).into(), tag.into()]);
        }
        for _ in seals.len()..SEALED_BY_ONE_STATEMENT {
            args.extend([Arg::from(none), 0.into(), none.into()]);
        }
        if self.execute(maintenance(&SEAL), &args).await? == seals.len() as u64 {
            Ok(())
        } else {
            Err(Error::decode("an event disappeared while it was sealed"))
        }
    }

    /// Locks the newest position until the transaction ends, and returns it.
    async fn lock_head(&mut self) -> Result<EventHead> {
        const LOCK: Sql =
            maintenance("UPDATE event_head SET position = position WHERE id = 1 RETURNING position, link");
        head(self.fetch_one(LOCK, &[]).await?)
    }
}

/// The result of sealing a batch of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedEvents {
    pub(crate) sealed: u64,
    /// Events of the batch that no node of this site has written, by the keys of this one.
    pub(crate) refused: u64,
    /// Whether there may be more events to seal.
    pub(crate) more: bool,
}

fn head((position, link): (i64, Vec<u8>)) -> Result<EventHead> {
    let link = link.try_into().map_err(|_| Error::decode("a link of wrong length"))?;
    Ok(EventHead { position: position.try_into().map_err(|_| Error::decode("a negative position"))?, link })
}

fn commitment(bytes: Vec<u8>) -> Result<EventCommitment> {
    bytes.try_into().map(EventCommitment::from_bytes).map_err(|_| Error::decode("a commitment of wrong length"))
}

impl Store {
    /// Writes the event of an act that changes nothing else, unless its user is deleted meanwhile.
    pub(crate) async fn write_event(&self, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        let exists = match event.user {
            Some(user) => tx.lock_user(user).await?,
            None => true,
        };
        if !exists {
            return tx.rollback().await;
        }
        tx.write_event(event).await?;
        tx.commit().await
    }

    /// Seals a batch of events, in the order of their ids: gives each the next position, and replaces the tag of its commitment by
    /// that of its link. Of those that are not sealed, the first `skipped` are left out, since they were refused before.
    ///
    /// The lock of the newest position comes first, so no two nodes seal at once.
    pub(crate) async fn seal_events(&self, keys: &EventKeys, skipped: u64) -> Result<SealedEvents> {
        const SELECT: Sql = maintenance(
            "SELECT commitment, tag, time, name, CASE WHEN name = 'authn_login_fail' THEN content ELSE '' END
             FROM events WHERE position IS NULL ORDER BY id LIMIT $1 OFFSET $2",
        );
        const ADVANCE: Sql = maintenance("UPDATE event_head SET position = $1, link = $2 WHERE id = 1");
        let mut tx = self.begin().await?;
        let before = tx.lock_head().await?;
        let rows: Vec<UnsealedRow> =
            tx.fetch_all(SELECT, &[limit(SEALED_AT_ONCE), number_column(skipped).into()]).await?;
        let (mut newest, count) = (before, rows.len());
        let (mut seals, mut hours) = (Vec::with_capacity(count), CountedHours::default());
        for (commitment, tag, time, name, content) in rows {
            let Some(commitment) = written_by_this_site(keys, (commitment, tag)) else { continue };
            hours.count(time, &name, &content);
            let seal;
            (newest, seal) = keys.seal(&newest, &commitment);
            seals.push((commitment, newest.position, seal));
        }
        if seals.is_empty() {
            tx.rollback().await?;
        } else {
            for seals in seals.chunks(SEALED_BY_ONE_STATEMENT) {
                tx.store_seals(seals).await?;
            }
            tx.add_to_hours(hours).await?;
            tx.execute(ADVANCE, &[number_column(newest.position).into(), newest.link.as_slice().into()]).await?;
            tx.commit().await?;
        }
        let (sealed, refused) = (seals.len() as u64, (count - seals.len()) as u64);
        Ok(SealedEvents { sealed, refused, more: count == SEALED_AT_ONCE })
    }

    /// The time of the oldest event that is not sealed, if there is one. That of an erased event is zero.
    pub(crate) async fn oldest_unsealed_event(&self) -> Result<Option<Timestamp>> {
        const SQL: &str = "SELECT time FROM events WHERE position IS NULL ORDER BY id LIMIT 1";
        let row: Option<(i64,)> = self.fetch_optional(Pool::Read, maintenance(SQL), &[]).await?;
        Ok(row.map(|(time,)| from_db_time(time)))
    }

    /// The newest position and its link.
    pub(crate) async fn events_head(&self) -> Result<EventHead> {
        const SQL: &str = "SELECT position, link FROM event_head WHERE id = 1";
        head(self.fetch_one(Pool::Read, request(SQL), &[]).await?)
    }

    /// A page of events, as the query says: after a position in the order of the positions, else the newest first.
    pub(crate) async fn list_events(&self, query: &ListEvents) -> Result<Vec<AuditEvent>> {
        macro_rules! select_events {
            ($rest:literal) => {
                concat!(
                    "SELECT position, id, time, name, user_id, content FROM events
                     WHERE ($1 = '' OR name = $1) AND id IS NOT NULL ",
                    $rest
                )
            };
        }
        const ALL: &str = select_events!("AND id < $2 ORDER BY id DESC LIMIT $3");
        const OF_USER: &str = select_events!("AND id < $2 AND user_id = $4 ORDER BY id DESC LIMIT $3");
        const ALL_AFTER: &str = select_events!("AND position > $2 ORDER BY position LIMIT $3");
        const OF_USER_AFTER: &str = select_events!("AND position > $2 AND user_id = $4 ORDER BY position LIMIT $3");
        let sql = match (query.after, query.user) {
            (None, None) => ALL,
            (None, Some(_)) => OF_USER,
            (Some(_), None) => ALL_AFTER,
            (Some(_), Some(_)) => OF_USER_AFTER,
        };
        let from = query
            .after
            .map_or_else(|| query.before.unwrap_or(Uuid::max()).into(), |position| number_column(position).into());
        let name = query.event.as_deref().unwrap_or_default();
        let mut args = vec![name.into(), from, limit(query.limit.min(ListEvents::MAX_LIMIT))];
        args.extend(query.user.map(Arg::from));
        let rows: Vec<ListedRow> = self.fetch_all(Pool::Read, request(sql), &args).await?;
        Ok(rows.into_iter().map(listed).collect())
    }

    /// Up to `most` events before the one with this id, the newest first, within the times of a search. Of its other conditions they
    /// meet the one that an index serves: the user, else the actor if it is an operator, else the name.
    pub(crate) async fn search_events(
        &self,
        search: &EventSearch,
        before: Uuid,
        most: usize,
    ) -> Result<Vec<AuditEvent>> {
        let [end, start] = [search.until, search.from].map(|time| time.map(first_id_at));
        let before = end.map_or(before, |end| before.min(end));
        let mut args: Vec<Arg<'_>> = vec![before.into(), start.unwrap_or(Uuid::nil()).into(), limit(most)];
        let sql = match search {
            EventSearch { user: Some(user), .. } => {
                args.push((*user).into());
                SEARCH_OF_USER
            }
            EventSearch { actor: Some(EventActor::Operator), .. } => SEARCH_OF_OPERATORS,
            EventSearch { name: Some(name), .. } => {
                args.push(name.as_str().into());
                SEARCH_OF_NAME
            }
            _ => SEARCH,
        };
        let rows: Vec<ListedRow> = self.fetch_all(Pool::Read, request(sql), &args).await?;
        Ok(rows.into_iter().map(listed).collect())
    }

    /// Erases up to `most` events of a user, the oldest first, and returns how many. If the user has no more than that it does
    /// nothing, since the deletion of the user erases them.
    pub(crate) async fn erase_some_events(&self, user: UserId, most: usize, event: NewEvent) -> Result<u64> {
        const COUNT: Sql =
            request("SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE user_id = $1 LIMIT $2) AS counted");
        let (count,): (i64,) = self.fetch_one(Pool::Read, COUNT, &[user.into(), limit(most + 1)]).await?;
        if usize::try_from(count).is_ok_and(|count| count <= most) {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let erased = tx.erase_events(user, most, event).await?;
        tx.commit().await?;
        Ok(erased)
    }

    /// A page of rows for verification, in the order of their positions, after this one.
    pub(crate) async fn stored_events_after(&self, position: i64, rows: usize) -> Result<Vec<StoredEvent>> {
        const SQL: &str = stored_events!("WHERE position > $1 ORDER BY position LIMIT $2");
        self.stored_events(SQL, &[position.into(), limit(rows)]).await
    }

    /// A page of rows that are not sealed, in the order of their ids, after the first `skipped`.
    pub(crate) async fn unsealed_events(&self, skipped: u64, rows: usize) -> Result<Vec<StoredEvent>> {
        const SQL: &str = stored_events!("WHERE position IS NULL ORDER BY id LIMIT $1 OFFSET $2");
        self.stored_events(SQL, &[limit(rows), number_column(skipped).into()]).await
    }

    /// The row of an event and those whose erasure it records, as one read.
    pub(crate) async fn erasure(&self, id: Uuid) -> Result<Vec<StoredEvent>> {
        const SQL: &str = stored_events!("WHERE id = $1 OR erased_by = $1");
        self.stored_events(SQL, &[id.into()]).await
    }

    async fn stored_events(&self, sql: &'static str, args: &[Arg<'_>]) -> Result<Vec<StoredEvent>> {
        let rows: Vec<StoredRow> = self.fetch_all(Pool::Read, maintenance(sql), args).await?;
        let event = |(commitment, position, tag, id, time, name, user, content, salt, erased_by): StoredRow| {
            StoredEvent { commitment, position, tag, id, time, name, user, content, salt, erased_by }
        };
        Ok(rows.into_iter().map(event).collect())
    }
}

type StoredRow =
    (Vec<u8>, Option<i64>, Vec<u8>, Option<Uuid>, i64, String, Option<Uuid>, String, Vec<u8>, Option<Uuid>);

/// A query for a page of a search. `$1` and `$2` are the ends of the ids, `$3` the number of rows.
macro_rules! search_events {
    ($condition:literal) => {
        concat!(
            "SELECT position, id, time, name, user_id, content FROM events WHERE ",
            $condition,
            "id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3"
        )
    };
}

pub(super) const SEARCH: &str = search_events!("");
pub(super) const SEARCH_OF_USER: &str = search_events!("user_id = $4 AND ");
pub(super) const SEARCH_OF_NAME: &str = search_events!("name = $4 AND ");
/// The actor comes first in the content, and an index has the events of operators by that.
pub(super) const SEARCH_OF_OPERATORS: &str = search_events!("substr(content, 1, 19) = '{\"actor\":\"operator\"' AND ");

/// The least id of an event at a time: the ids begin with it (RFC 9562, version 7).
fn first_id_at(time: Timestamp) -> Uuid {
    let milliseconds = u128::from(time.unix_seconds()).saturating_mul(1000).min((1 << 48) - 1);
    Uuid::from_u128(milliseconds << 80)
}

/// The commitment and the tag of an event that is not sealed, and what its hour is counted by: the time, the name, and the content of
/// failed sign-ins.
type UnsealedRow = (Vec<u8>, Vec<u8>, i64, String, String);

type ListedRow = (Option<i64>, Uuid, i64, String, Option<Uuid>, String);

fn listed((position, id, time, name, user, content): ListedRow) -> AuditEvent {
    // An event whose content was changed is listed without it. A verification finds that.
    let content: EventContent = serde_json::from_str(&content).unwrap_or_default();
    let user = user.map(UserId::from_uuid);
    let position = position.and_then(|position| u64::try_from(position).ok());
    AuditEvent::new(id, position, from_db_time(time), name, user, content)
}

/// The commitment of a row that is not sealed, if its tag proves that a node of this site has written it.
fn written_by_this_site(keys: &EventKeys, (commitment, tag): (Vec<u8>, Vec<u8>)) -> Option<EventCommitment> {
    let commitment = EventCommitment::from_bytes(commitment.try_into().ok()?);
    let tag = EventTag::from_bytes(tag.try_into().ok()?);
    keys.check_commitment(&commitment, &tag).is_ok().then_some(commitment)
}

/// A number as both databases store it. No log has more events than that.
fn number_column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
