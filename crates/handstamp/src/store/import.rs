//! Users that come from another system: a batch in one transaction, the costs of their password hashes, and pages for an export.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use handstamp_core::{HashCosts, Timestamp, UserId};
use uuid::Uuid;

use super::groups::{groups_column, groups_of};
use super::statement::{Arg, Pool, Sql, Tx, limit, maintenance, request};
use super::users::hash_costs;
use super::{Error, Result, Store, from_db_time};
use crate::model::{ExportedUser, ImportOutcome, ImportPassword, ImportRefusal, ImportRow, NewEvent};

/// How many users one statement writes. SQLite looks for the name of each parameter among those before it, so long statements cost
/// more. A million users took 58 s of the processor with 50, and 40 s with 10 and with ids that stand side by side.
const USERS_OF_A_STATEMENT: usize = 10;
/// How many columns of a user it writes.
const COLUMNS: usize = 12;
/// How many memberships of a group one statement writes.
const GROUPS_OF_A_STATEMENT: usize = 100;

/// The rows of a VALUES, each with this many parameters.
fn values(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let parameters: Vec<_> = (1..=columns).map(|column| format!("${}", columns * row + column)).collect();
        format!("({})", parameters.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Inserts users. Rows that are left over have no id.
static INSERT_USERS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO users (id, name, email, email_key, password_hash, created_at, email_verified_at, disabled_at, legacy_id,
             imported_at, password_cost, legacy_session_key)
         SELECT column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11, column12
         FROM (VALUES {}) AS imported WHERE column1 IS NOT NULL
         ON CONFLICT DO NOTHING",
        values(USERS_OF_A_STATEMENT, COLUMNS)
    )
});

/// Inserts memberships of groups. Rows that are left over have no user.
static INSERT_GROUPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO user_groups (user_id, name)
         SELECT column1, column2 FROM (VALUES {}) AS imported WHERE column1 IS NOT NULL",
        values(GROUPS_OF_A_STATEMENT, 2)
    )
});

/// The users that have one of these addresses, ids or session keys.
static FIND_USERS: LazyLock<String> = LazyLock::new(|| {
    let parameters = |first: usize| {
        (first..first + USERS_OF_A_STATEMENT).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
    };
    const COLUMNS: &str =
        "id, email, email_key, legacy_id, legacy_session_key, password_hash, password_cost, imported_at,
        credentials_version";
    format!(
        "SELECT {COLUMNS} FROM users WHERE email_key IN ({})
         UNION SELECT {COLUMNS} FROM users WHERE legacy_id IN ({})
         UNION SELECT {COLUMNS} FROM users WHERE legacy_session_key IN ({})",
        parameters(1),
        parameters(USERS_OF_A_STATEMENT + 1),
        parameters(2 * USERS_OF_A_STATEMENT + 1)
    )
});

type FoundRow =
    (Uuid, String, String, Option<String>, Option<String>, Option<String>, Option<String>, Option<i64>, i64);

/// A stored user that has the address, the id or the session key of a row.
struct Found {
    id: Uuid,
    email: String,
    legacy_id: Option<String>,
    legacy_session_key: Option<String>,
    password_hash: Option<String>,
    cost: Option<String>,
    is_imported: bool,
    credentials_changed: bool,
}

impl Found {
    /// Whether an earlier import has created it from this row.
    fn is_from(&self, row: &ImportRow<'_>) -> bool {
        self.is_imported && self.legacy_id == row.user.legacy_id && self.has_password_of(row.user.password.as_ref())
    }

    /// Whether it has this password, or had it until it was changed, or until a sign-in replaced the hash.
    fn has_password_of(&self, password: Option<&ImportPassword>) -> bool {
        let stored = self.password_hash.as_deref();
        self.credentials_changed
            || match password {
                None => stored.is_none(),
                Some(password) => {
                    password.is_stored_as(stored) || (password.is_replaced() && self.cost.is_none() && stored.is_some())
                }
            }
    }
}

/// The users of these rows by the keys of their addresses.
fn found_by_key(rows: Vec<FoundRow>) -> HashMap<String, Found> {
    let found =
        |(id, email, key, legacy_id, legacy_session_key, password_hash, cost, imported_at, version): FoundRow| {
            let (is_imported, credentials_changed) = (imported_at.is_some(), version > 1);
            let found = Found {
                id,
                email,
                legacy_id,
                legacy_session_key,
                password_hash,
                cost,
                is_imported,
                credentials_changed,
            };
            (key, found)
        };
    rows.into_iter().map(found).collect()
}

impl Tx<'_> {
    /// Inserts users, and returns what became of each.
    async fn insert_imported(&mut self, rows: &[ImportRow<'_>], now: Timestamp) -> Result<Vec<ImportOutcome>> {
        let cost = |row: &ImportRow<'_>| Some(row.user.password.as_ref()?.cost()?.to_string());
        let costs: Vec<Option<String>> = rows.iter().map(cost).collect();
        let mut args = Vec::with_capacity(USERS_OF_A_STATEMENT * COLUMNS);
        for (row, cost) in rows.iter().zip(&costs) {
            let ImportRow { id, user } = row;
            args.extend([
                Arg::from(*id),
                user.name.as_str().into(),
                user.email.as_str().into(),
                user.email.key().into(),
                user.password.as_ref().map(ImportPassword::text).into(),
                user.created_at.into(),
                user.email_verified_at.into(),
                user.disabled.then_some(now).into(),
                user.legacy_id.as_deref().into(),
                now.into(),
                cost.as_deref().into(),
                user.legacy_session_key.as_deref().into(),
            ]);
        }
        let (no_text, no_number) = (Arg::OptionalText(None), Arg::OptionalInteger(None));
        for _ in rows.len()..USERS_OF_A_STATEMENT {
            args.extend([Arg::OptionalUuid(None), no_text, no_text, no_text, no_text]);
            args.extend([no_number, no_number, no_number, no_text, no_number, no_text, no_text]);
        }
        if self.execute(request(&INSERT_USERS), &args).await? == rows.len() as u64 {
            return Ok(vec![ImportOutcome::Imported; rows.len()]);
        }
        self.outcomes_of(rows).await
    }

    /// The outcomes of rows of which some were not inserted.
    async fn outcomes_of(&mut self, rows: &[ImportRow<'_>]) -> Result<Vec<ImportOutcome>> {
        let mut args = vec![Arg::OptionalText(None); 3 * USERS_OF_A_STATEMENT];
        for (number, row) in rows.iter().enumerate() {
            args[number] = row.user.email.key().into();
            args[USERS_OF_A_STATEMENT + number] = row.user.legacy_id.as_deref().into();
            args[2 * USERS_OF_A_STATEMENT + number] = row.user.legacy_session_key.as_deref().into();
        }
        let by_key = found_by_key(self.fetch_all(request(&FIND_USERS), &args).await?);
        let by_legacy_id: HashMap<&str, &Found> =
            by_key.values().filter_map(|found| Some((found.legacy_id.as_deref()?, found))).collect();
        let session_keys: HashSet<&str> =
            by_key.values().filter_map(|found| found.legacy_session_key.as_deref()).collect();
        let with_id_of = |row: &ImportRow<'_>| by_legacy_id.get(row.user.legacy_id.as_deref()?).copied();
        let mut moved = HashSet::new();
        for row in rows {
            let has_address = |found: &Found| by_key.get(row.user.email.key()).is_some_and(|with| with.id == found.id);
            let Some(found) = with_id_of(row).filter(|found| !has_address(found)) else { continue };
            if found.is_imported && found.credentials_changed && self.has_changed_address(found.id).await? {
                moved.insert(found.id);
            }
        }
        let outcome = |(number, row): (usize, &ImportRow<'_>)| {
            // A later row may have the address that this one did not get because of its id.
            let is_earlier = |found: &&Found| rows[number + 1..].iter().all(|later| later.id.as_uuid() != found.id);
            let with_address = by_key.get(row.user.email.key()).filter(is_earlier);
            let with_id = with_id_of(row);
            if with_address.is_some_and(|found| found.id == row.id.as_uuid()) {
                return Ok(ImportOutcome::Imported);
            }
            // Another account may have the address that the user has left.
            if with_address.is_some_and(|found| found.is_from(row))
                || with_id.is_some_and(|found| moved.contains(&found.id))
            {
                return Ok(ImportOutcome::AlreadyThere);
            }
            if with_address.is_some() {
                return Ok(ImportOutcome::Refused(ImportRefusal::EmailTaken));
            }
            if let Some((id, found)) = row.user.legacy_id.as_ref().zip(with_id) {
                return Ok(ImportOutcome::Refused(ImportRefusal::LegacyIdTaken(id.clone(), Some(found.email.clone()))));
            }
            let key = row.user.legacy_session_key.as_deref();
            // Another process may have deleted the account meanwhile. Then the batch is written again.
            key.filter(|key| session_keys.contains(*key)).ok_or_else(Error::row_not_found)?;
            Ok(ImportOutcome::Refused(ImportRefusal::LegacySessionKeyTaken))
        };
        rows.iter().enumerate().map(outcome).collect()
    }

    /// Whether the user has changed the address, by the audit log.
    async fn has_changed_address(&mut self, user: Uuid) -> Result<bool> {
        const SQL: Sql = request("SELECT COUNT(*) FROM events WHERE user_id = $1 AND name = 'user_email_change'");
        let (changes,): (i64,) = self.fetch_one(SQL, &[user.into()]).await?;
        Ok(changes > 0)
    }

    async fn insert_groups(&mut self, memberships: &[(UserId, &str)]) -> Result<()> {
        for memberships in memberships.chunks(GROUPS_OF_A_STATEMENT) {
            let mut args: Vec<Arg<'_>> =
                memberships.iter().flat_map(|(user, name)| [Arg::from(*user), (*name).into()]).collect();
            for _ in memberships.len()..GROUPS_OF_A_STATEMENT {
                args.extend([Arg::OptionalUuid(None), Arg::OptionalText(None)]);
            }
            self.execute(request(&INSERT_GROUPS), &args).await?;
        }
        Ok(())
    }

    /// The costs of imported hashes, which no other transaction changes until this one ends.
    async fn lock_hash_costs(&mut self) -> Result<HashCosts> {
        const LOCK: Sql = request("UPDATE imported_hash_costs SET costs = costs WHERE id = 1 RETURNING costs");
        let (costs,): (String,) = self.fetch_one(LOCK, &[]).await?;
        Ok(hash_costs(&costs))
    }

    async fn set_hash_costs(&mut self, costs: &HashCosts) -> Result<()> {
        const SET: Sql = request("UPDATE imported_hash_costs SET costs = $1 WHERE id = 1");
        let costs = costs.to_string();
        self.execute(SET, &[costs.as_str().into()]).await.map(drop)
    }
}

impl Store {
    /// Prepares for many batches.
    pub(crate) async fn expect_batches(&self) -> Result<()> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(database) => Ok(database.expect_batches().await?),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Creates the users of a batch, with their groups and the costs of their hashes, and returns what became of each. `event` is
    /// written with the number of users that were created, if there are any. A dry run does all of this and undoes it.
    pub(crate) async fn import_users(
        &self,
        rows: &[ImportRow<'_>],
        now: Timestamp,
        event: NewEvent,
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>> {
        let cost = |row: &ImportRow<'_>| row.user.password.as_ref().and_then(ImportPassword::cost);
        let mut tx = self.begin().await?;
        // The lock comes first, so that two imports wait for each other here and not for each other's rows.
        let before =
            if rows.iter().any(|row| cost(row).is_some()) { tx.lock_hash_costs().await? } else { HashCosts::default() };
        let mut most = before.clone();
        let mut affordable = Vec::with_capacity(rows.len());
        let mut is_affordable = Vec::with_capacity(rows.len());
        for row in rows {
            let fits = cost(row).is_none_or(|cost| most.insert(cost).is_ok());
            is_affordable.push(fits);
            if fits {
                affordable.push(*row);
            }
        }
        let mut inserted = Vec::with_capacity(affordable.len());
        for rows in affordable.chunks(USERS_OF_A_STATEMENT) {
            inserted.extend(tx.insert_imported(rows, now).await?);
        }
        // The costs of those that were created only.
        let mut costs = before.clone();
        let mut memberships = Vec::new();
        let mut count = 0_u64;
        for (row, _) in affordable.iter().zip(&inserted).filter(|(_, outcome)| **outcome == ImportOutcome::Imported) {
            count += 1;
            memberships.extend(row.user.groups.iter().map(|name| (row.id, name.as_str())));
            if let Some(cost) = cost(row) {
                costs.insert(cost).map_err(|_| Error::decode("the costs of hashes exceed the caps"))?;
            }
        }
        if costs != before {
            tx.set_hash_costs(&costs).await?;
        }
        tx.insert_groups(&memberships).await?;
        if count > 0 {
            tx.write_event(event.with("users", count)).await?;
        }
        if dry_run || count == 0 {
            tx.rollback().await?
        } else {
            tx.commit().await?
        }
        let mut inserted = inserted.into_iter();
        let outcome = |fits: bool| match fits {
            true => inserted.next(),
            false => Some(ImportOutcome::Refused(ImportRefusal::HashCosts)),
        };
        Ok(is_affordable.into_iter().filter_map(outcome).collect())
    }

    /// Which rows an earlier import has stored.
    pub(crate) async fn are_imported(&self, rows: &[ImportRow<'_>]) -> Result<Vec<bool>> {
        let mut are_there = Vec::with_capacity(rows.len());
        for rows in rows.chunks(USERS_OF_A_STATEMENT) {
            let mut args = vec![Arg::OptionalText(None); 3 * USERS_OF_A_STATEMENT];
            for (number, row) in rows.iter().enumerate() {
                args[number] = row.user.email.key().into();
            }
            let found = found_by_key(self.fetch_all(Pool::Read, request(&FIND_USERS), &args).await?);
            let is_there =
                |row: &ImportRow<'_>| found.get(row.user.email.key()).is_some_and(|found| found.is_from(row));
            are_there.extend(rows.iter().map(is_there));
        }
        Ok(are_there)
    }

    /// Lowers the costs of imported hashes to those of the users that are left, and returns whether they were higher.
    pub(crate) async fn lower_hash_costs(&self) -> Result<bool> {
        const NEXT: Sql = maintenance("SELECT MIN(password_cost) FROM users WHERE password_cost > $1");
        let mut tx = self.begin().await?;
        // The lock waits for batches that are being imported, and the next statements see their users.
        let before = tx.lock_hash_costs().await?;
        let (mut costs, mut last) = (String::new(), String::new());
        while !before.is_empty() {
            let (next,): (Option<String>,) = tx.fetch_one(NEXT, &[last.as_str().into()]).await?;
            let Some(next) = next else { break };
            costs = costs + " " + &next;
            last = next;
        }
        let after = hash_costs(&costs);
        if after == before {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.set_hash_costs(&after).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A page of all users for another system, ordered by address, after this address.
    pub(crate) async fn export_users(&self, after: &str, rows: usize) -> Result<Vec<(String, ExportedUser)>> {
        const SQL: &str = concat!(
            "SELECT id, email, email_key, name, password_hash, email_verified_at, created_at, disabled_at, ",
            groups_column!(),
            ", legacy_id, legacy_session_key FROM users WHERE email_key > $1 ORDER BY email_key LIMIT $2"
        );
        type Row = (
            Uuid,
            String,
            String,
            String,
            Option<String>,
            Option<i64>,
            i64,
            Option<i64>,
            String,
            Option<String>,
            Option<String>,
        );
        let rows: Vec<Row> = self.fetch_all(Pool::Read, request(SQL), &[after.into(), limit(rows)]).await?;
        let exported = |row: Row| {
            let (
                id,
                email,
                key,
                name,
                password_hash,
                verified_at,
                created_at,
                disabled_at,
                groups,
                id_there,
                key_there,
            ) = row;
            let user = ExportedUser {
                id: UserId::from_uuid(id),
                email,
                name,
                password_form: password_hash
                    .as_ref()
                    .is_some_and(|hash| hash.starts_with("$argon2id$"))
                    .then_some("nfc"),
                password_hash,
                email_verified: verified_at.map(from_db_time),
                created_at: from_db_time(created_at),
                disabled: disabled_at.is_some(),
                groups: groups_of(&groups),
                legacy_id: id_there,
                legacy_session_key: key_there,
            };
            (key, user)
        };
        Ok(rows.into_iter().map(exported).collect())
    }
}
