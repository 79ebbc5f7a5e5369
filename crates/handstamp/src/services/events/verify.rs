//! Verifies the audit log: each row against its commitment, the chain of the commitments against the seals, and the erased rows
//! against the events that record their erasure.

use std::collections::HashMap;

use handstamp_core::{
    ErasedEvents, EventCommitment, EventHead, EventKeys, EventRecord, EventSalt, EventTag, EventTagError, Timestamp,
    UserId,
};
use uuid::Uuid;

use crate::internal_error::InternalError;
use crate::model::{AuditProblem, AuditProblemKind, AuditReport, ERASED_FIELDS, EventContent, StoredEvent};
use crate::store::{self, Store};

/// The most rows that are in memory at once.
const PAGE: usize = 2000;

/// The end of a verification before its time: a problem was found, or the database failed.
enum Stop {
    Problem(AuditProblem),
    Internal(InternalError),
}

impl From<AuditProblem> for Stop {
    fn from(problem: AuditProblem) -> Self {
        Self::Problem(problem)
    }
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Internal(error.into())
    }
}

fn problem(kind: AuditProblemKind, position: u64, message: impl Into<String>) -> AuditProblem {
    AuditProblem { kind, position: Some(position), message: message.into() }
}

/// Verifies the audit log from its beginning to its end, and that it leads to the head `since`. Calls `progress` with the number of
/// verified events and of all events, after every page.
///
/// Events are sealed and erased meanwhile, so the rows of one read may not fit those of an earlier one. Where they do not, they are
/// read again, in one statement.
pub(super) async fn verify(
    store: &Store,
    keys: &EventKeys,
    since: Option<EventHead>,
    progress: &mut Progress<'_>,
) -> Result<AuditReport, InternalError> {
    let mut verifier = Verifier::new(keys, since);
    let problem = match run(store, &mut verifier, progress).await {
        Ok(()) => None,
        Err(Stop::Problem(problem)) => Some(problem),
        Err(Stop::Internal(error)) => return Err(error),
    };
    Ok(AuditReport { problem, ..verifier.report })
}

/// Called with the number of verified events and of all events.
pub(super) type Progress<'a> = dyn FnMut(u64, u64) + Send + 'a;

async fn run(store: &Store, verifier: &mut Verifier<'_>, progress: &mut Progress<'_>) -> Result<(), Stop> {
    loop {
        read_to_the_end(store, verifier, progress).await?;
        verifier.check_since()?;
        read_unsealed(store, verifier).await?;
        let wrong = verifier.wrong_erasures();
        if wrong.is_empty() {
            return Ok(verifier.check_proven()?);
        }
        for id in wrong {
            verifier.compare_erasure(id, &store.erasure(id).await?)?;
        }
    }
}

/// Reads the sealed rows that the verifier has not seen, up to the stored head.
async fn read_to_the_end(store: &Store, verifier: &mut Verifier<'_>, progress: &mut Progress<'_>) -> Result<(), Stop> {
    loop {
        let before = store.events_head().await?;
        loop {
            let rows = read_page(store, verifier).await?;
            if rows.is_empty() {
                break;
            }
            rows.iter().try_for_each(|row| verifier.check(row))?;
            let verified = verifier.report.head.position;
            progress(verified, before.position.max(verified));
        }
        verifier.check_reaches(before)?;
        let after = store.events_head().await?;
        // Otherwise more events were sealed meanwhile.
        if after.position <= verifier.report.head.position {
            return Ok(verifier.check_stored_head(after)?);
        }
    }
}

async fn read_page(store: &Store, verifier: &Verifier<'_>) -> Result<Vec<StoredEvent>, Stop> {
    let after = verifier.last_position;
    match store.stored_events_after(after, PAGE).await {
        // One of these rows cannot be read: those before it are read one by one.
        Err(error) if error.is_decode() => match store.stored_events_after(after, 1).await {
            Err(error) if error.is_decode() => {
                let position = verifier.report.head.position + 1;
                Err(problem(AuditProblemKind::Changed, position, format!("the event was changed: {error}")).into())
            }
            rows => Ok(rows?),
        },
        rows => Ok(rows?),
    }
}

async fn read_unsealed(store: &Store, verifier: &mut Verifier<'_>) -> Result<(), Stop> {
    verifier.report.unsealed = 0;
    loop {
        let rows = match store.unsealed_events(verifier.report.unsealed, PAGE).await {
            Err(error) if error.is_decode() => return Err(forged(&format!(": {error}")).into()),
            rows => rows?,
        };
        if rows.is_empty() {
            return Ok(());
        }
        rows.iter().try_for_each(|row| verifier.check_unsealed(row))?;
    }
}

fn forged(detail: &str) -> AuditProblem {
    let message = format!(
        "an event that is not sealed was not written by this site, or with a secret that is neither secret_key nor in \
         secret_key_fallbacks{detail}"
    );
    AuditProblem { kind: AuditProblemKind::Forged, position: None, message }
}

/// Erased rows that name the same event.
#[derive(Default)]
struct ErasedRows {
    /// The position of the first.
    first: Option<u64>,
    commitments: Vec<EventCommitment>,
}

/// The state of a verification, without input or output.
struct Verifier<'a> {
    keys: &'a EventKeys,
    since: Option<EventHead>,
    report: AuditReport,
    /// The position of the last row, where the next page begins.
    last_position: i64,
    /// Up to this position a seal by a known key, or the head `since`, proves all events.
    proven: u64,
    /// Erased rows, by the event that records the erasure.
    erased: HashMap<Uuid, ErasedRows>,
    /// The events that record an erasure: what each records, until it was compared.
    recorded: HashMap<Uuid, ErasedEvents>,
    /// The same events, with the commitment of each that was verified.
    records: HashMap<Uuid, EventCommitment>,
}

impl<'a> Verifier<'a> {
    fn new(keys: &'a EventKeys, since: Option<EventHead>) -> Self {
        let report = AuditReport { head: EventHead::EMPTY, erased: 0, unsealed: 0, unknown_keys: 0, problem: None };
        Self {
            keys,
            since,
            report,
            last_position: i64::MIN,
            proven: 0,
            erased: HashMap::new(),
            recorded: HashMap::new(),
            records: HashMap::new(),
        }
    }

    /// Checks the next sealed row.
    fn check(&mut self, row: &StoredEvent) -> Result<(), AuditProblem> {
        let position = self.report.head.position + 1;
        match row.position.map(u64::try_from) {
            Some(Ok(found)) if found == position => {}
            Some(Ok(found)) if found > position => {
                let message = format!("the event was removed; the next one is at position {found}");
                return Err(problem(AuditProblemKind::Missing, position, message));
            }
            _ => return Err(problem(AuditProblemKind::Inserted, position, "another event was inserted before it")),
        }
        let changed =
            |what: &str| problem(AuditProblemKind::Changed, position, format!("the event was changed: {what}"));
        let commitment = opened(row).map_err(changed)?;
        let tag = row.tag.as_slice().try_into().map(EventTag::from_bytes).map_err(|_| changed("its seal is cut"))?;
        let (head, checked) = self.keys.check_seal(&self.report.head, &commitment, &tag);
        self.report.head = head;
        self.last_position = row.position.unwrap_or(i64::MAX);
        match checked {
            Ok(()) => self.proven = position,
            Err(EventTagError::UnknownKey) => self.report.unknown_keys += 1,
            Err(EventTagError::Invalid) => return Err(self.wrong_seal(position)),
        }
        if let Some(since) = self.since.filter(|since| since.position == position) {
            if since.link != self.report.head.link {
                let message = "an event up to here is another one than when the given head was printed";
                return Err(problem(AuditProblemKind::WrongHead, position, message));
            }
            self.proven = position;
        }
        self.note_erasure(row, commitment);
        Ok(())
    }

    fn wrong_seal(&self, position: u64) -> AuditProblem {
        let first = self.proven + 1;
        let message = if first == position {
            "the seal does not fit: the event was changed, or is another one than the one that was sealed here"
                .to_owned()
        } else {
            format!(
                "the seal of position {position} does not fit: an event from {first} to {position} is another one than was sealed here"
            )
        };
        problem(AuditProblemKind::WrongSeal, first, message)
    }

    /// Checks a row that is not sealed.
    fn check_unsealed(&mut self, row: &StoredEvent) -> Result<(), AuditProblem> {
        let commitment = opened(row).map_err(|what| forged(&format!(": {what}")))?;
        let tag = row.tag.as_slice().try_into().map(EventTag::from_bytes).map_err(|_| forged(""))?;
        self.keys.check_commitment(&commitment, &tag).map_err(|_| forged(""))?;
        self.report.unsealed += 1;
        self.note_erasure(row, commitment);
        Ok(())
    }

    /// Notes a row that is erased, or that records an erasure.
    fn note_erasure(&mut self, row: &StoredEvent, commitment: EventCommitment) {
        if let Some(by) = row.erased_by {
            self.report.erased += u64::from(row.position.is_some());
            let rows = self.erased.entry(by).or_default();
            rows.first = rows.first.or(row.position.and_then(|position| u64::try_from(position).ok()));
            rows.commitments.push(commitment);
        } else if let Some((id, recorded)) = row.id.zip(recorded_erasure(row)) {
            self.recorded.insert(id, recorded);
            self.records.insert(id, commitment);
        }
    }

    /// The events whose erased rows are not those that were read since the last call. They have to be read again: first those that
    /// no event records, in the order of the rows.
    fn wrong_erasures(&mut self) -> Vec<Uuid> {
        let (mut erased, recorded) = (std::mem::take(&mut self.erased), std::mem::take(&mut self.recorded));
        let mut differing = Vec::new();
        for (id, recorded) in recorded {
            let rows = erased.remove(&id).unwrap_or_default();
            if ErasedEvents::of(rows.commitments) != recorded {
                differing.push(id);
            }
        }
        let mut wrong: Vec<_> = erased.into_iter().map(|(id, rows)| (rows.first.unwrap_or(u64::MAX), id)).collect();
        wrong.sort_unstable();
        wrong.into_iter().map(|(_, id)| id).chain(differing).collect()
    }

    /// Compares an event that records an erasure with all rows that name it, as one statement has read them.
    fn compare_erasure(&self, id: Uuid, rows: &[StoredEvent]) -> Result<(), AuditProblem> {
        let positions: Vec<u64> = rows.iter().filter_map(|row| u64::try_from(row.position?).ok()).collect();
        let first = positions.iter().copied().min().unwrap_or(self.report.head.position);
        let wrong = |message: String| problem(AuditProblemKind::WrongErasure, first, message);
        let (records, erased): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.id == Some(id));
        let recorded = records.first().and_then(|row| self.is_verified(id, row).then(|| recorded_erasure(row))?);
        let Some(recorded) = recorded else {
            return Err(wrong(format!("the event was erased, but no deletion of a user records it ({id})")));
        };
        let commitments = erased.iter().map(|row| opened(row)).collect::<Result<Vec<_>, _>>();
        let found =
            ErasedEvents::of(commitments.map_err(|what| wrong(format!("an erased event was changed: {what}")))?);
        if found == recorded {
            return Ok(());
        }
        let (count, found) = (recorded.count, found.count);
        Err(wrong(format!("the deletion of a user has erased {count} events, but {found} others name it ({id})")))
    }

    /// Whether an event that records an erasure is genuine. One that was sealed after the last page is verified with the next.
    fn is_verified(&self, id: Uuid, row: &StoredEvent) -> bool {
        let Ok(commitment) = opened(row) else { return false };
        match row.position {
            Some(position) if position > self.last_position => true,
            Some(_) => self.records.get(&id) == Some(&commitment),
            None => {
                let tag = row.tag.as_slice().try_into().map(EventTag::from_bytes);
                tag.is_ok_and(|tag| self.keys.check_commitment(&commitment, &tag).is_ok())
            }
        }
    }

    /// Checks that the rows reach a head that was stored before they were read.
    fn check_reaches(&self, stored: EventHead) -> Result<(), AuditProblem> {
        let last = self.report.head.position;
        if last >= stored.position {
            return Ok(());
        }
        let message = format!("the events from here to position {} were removed", stored.position);
        Err(problem(AuditProblemKind::Missing, last + 1, message))
    }

    /// Checks the head that is stored, which was read after the rows.
    fn check_stored_head(&self, stored: EventHead) -> Result<(), AuditProblem> {
        if stored == self.report.head {
            return Ok(());
        }
        let message = format!("the stored head is of position {}, and not that of the last event", stored.position);
        Err(problem(AuditProblemKind::WrongHead, (stored.position + 1).min(self.report.head.position), message))
    }

    /// Checks that the given head was reached.
    fn check_since(&self) -> Result<(), AuditProblem> {
        let last = self.report.head.position;
        match self.since {
            Some(since) if since.position > last => {
                let message = format!(
                    "the events from here to position {}, that of the given head, were removed",
                    since.position
                );
                Err(problem(AuditProblemKind::Missing, last + 1, message))
            }
            _ => Ok(()),
        }
    }

    /// Checks that all events are proven.
    fn check_proven(&self) -> Result<(), AuditProblem> {
        if self.proven == self.report.head.position {
            return Ok(());
        }
        let message = "the events from here on are sealed by keys that are not known here, so nothing proves them: add the \
                       earlier secret to secret_key_fallbacks";
        Err(problem(AuditProblemKind::NotProven, self.proven + 1, message))
    }
}

/// The commitment of a row, if the other columns fit it: they open it, or are those of an erased event.
fn opened(row: &StoredEvent) -> Result<EventCommitment, &'static str> {
    let commitment = row.commitment.as_slice().try_into().map(EventCommitment::from_bytes);
    let commitment = commitment.map_err(|_| "its commitment is cut")?;
    if row.erased_by.is_some() {
        let is_empty = row.id.is_none()
            && row.time == 0
            && row.user.is_none()
            && row.name.is_empty()
            && row.content.is_empty()
            && row.salt.is_empty();
        return if is_empty { Ok(commitment) } else { Err("it is marked as erased, but has content") };
    }
    let parts = || -> Option<(EventRecord<'_>, EventSalt)> {
        let record = EventRecord {
            id: row.id?,
            time: Timestamp::from_unix_seconds(row.time.try_into().ok()?),
            user: row.user.map(UserId::from_uuid),
            name: &row.name,
            content: &row.content,
        };
        Some((record, row.salt.as_slice().try_into().ok()?))
    };
    let (record, salt) = parts().ok_or("it lacks its content")?;
    if record.commitment(&salt) == commitment { Ok(commitment) } else { Err("its content does not fit its commitment") }
}

/// The set of erased events that an event records, if it records an erasure.
fn recorded_erasure(row: &StoredEvent) -> Option<ErasedEvents> {
    let (count, digest) = ERASED_FIELDS;
    // Few events do, and parsing each would take longer than all the rest.
    if !row.content.contains(digest) {
        return None;
    }
    let content: EventContent = serde_json::from_str(&row.content).ok()?;
    ErasedEvents::from_text(content.fields.get(count)?.as_u64()?, content.fields.get(digest)?.as_str()?)
}

#[cfg(test)]
mod tests;
