//! Users that come from another system: a batch in one transaction, the costs of their password hashes, and pages for an export.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use handstamp_core::{Timestamp, UserId};
use uuid::Uuid;

use super::groups::groups_column;
use super::statement::{Arg, Pool, Sql, Tx, limit, maintenance, request};
use super::{Error, Result, Store, from_db_time};
use crate::model::{ExportedUser, ImportOutcome, ImportPassword, ImportRefusal, ImportRow, NewEvent};

/// How many users one statement writes.
const USERS_OF_A_STATEMENT: usize = 50;
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
             imported_at, password_family, legacy_session_key)
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

/// The users that have one of these addresses or ids.
static FIND_USERS: LazyLock<String> = LazyLock::new(|| {
    let parameters = |first: usize| {
        (first..first + USERS_OF_A_STATEMENT).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
    };
    const COLUMNS: &str =
        "id, email, email_key, legacy_id, password_hash, password_family, imported_at, credentials_version";
    format!(
        "SELECT {COLUMNS} FROM users WHERE email_key IN ({})
         UNION SELECT {COLUMNS} FROM users WHERE legacy_id IN ({})",
        parameters(1),
        parameters(USERS_OF_A_STATEMENT + 1)
    )
});

type FoundRow = (Uuid, String, String, Option<String>, Option<String>, Option<String>, Option<i64>, i64);

/// A stored user that has the address or the id of a row.
struct Found {
    id: Uuid,
    email: String,
    legacy_id: Option<String>,
    password_hash: Option<String>,
    family: Option<String>,
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
        let was_replaced = self.family.is_none() && password.is_some_and(|password| password.family.is_some());
        self.credentials_changed
            || was_replaced
            || self.password_hash.as_deref() == password.map(|password| password.hash.expose())
    }
}

impl Tx<'_> {
    /// Inserts users, and returns what became of each.
    async fn insert_imported(&mut self, rows: &[ImportRow<'_>], now: Timestamp) -> Result<Vec<ImportOutcome>> {
        let mut args = Vec::with_capacity(USERS_OF_A_STATEMENT * COLUMNS);
        for row in rows {
            let ImportRow { id, user } = row;
            args.extend([
                Arg::from(*id),
                user.name.as_str().into(),
                user.email.as_str().into(),
                user.email.key().into(),
                user.password.as_ref().map(|password| password.hash.expose()).into(),
                user.created_at.into(),
                user.email_verified_at.into(),
                user.disabled.then_some(now).into(),
                user.legacy_id.as_deref().into(),
                now.into(),
                user.password.as_ref().and_then(|password| password.family.as_ref()).map(|family| &*family.name).into(),
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

    /// What became of rows of which some were not inserted.
    async fn outcomes_of(&mut self, rows: &[ImportRow<'_>]) -> Result<Vec<ImportOutcome>> {
        let mut args = vec![Arg::OptionalText(None); 2 * USERS_OF_A_STATEMENT];
        for (number, row) in rows.iter().enumerate() {
            args[number] = row.user.email.key().into();
            args[USERS_OF_A_STATEMENT + number] = row.user.legacy_id.as_deref().into();
        }
        let found: Vec<FoundRow> = self.fetch_all(request(&FIND_USERS), &args).await?;
        let mut by_key = HashMap::new();
        for (id, email, key, legacy_id, password_hash, family, imported_at, version) in found {
            let (is_imported, credentials_changed) = (imported_at.is_some(), version > 1);
            let found = Found { id, email, legacy_id, password_hash, family, is_imported, credentials_changed };
            by_key.insert(key, found);
        }
        let mut taken_keys = HashSet::new();
        for key in rows.iter().filter_map(|row| row.user.legacy_session_key.as_deref()) {
            const TAKEN: Sql = request("SELECT CAST(1 AS BIGINT) FROM users WHERE legacy_session_key = $1");
            let taken: Option<(i64,)> = self.fetch_optional(TAKEN, &[key.into()]).await?;
            taken_keys.extend(taken.map(|_| key));
        }
        let by_legacy_id: HashMap<&str, &Found> =
            by_key.values().filter_map(|found| Some((found.legacy_id.as_deref()?, found))).collect();
        let outcome = |row: &ImportRow<'_>| {
            if let Some(found) = by_key.get(row.user.email.key()) {
                return Ok(match () {
                    () if found.id == row.id.as_uuid() => ImportOutcome::Imported,
                    () if found.is_from(row) => ImportOutcome::AlreadyThere,
                    () => ImportOutcome::Refused(ImportRefusal::EmailTaken),
                });
            }
            let taken = row.user.legacy_id.as_deref().and_then(|id| Some((id, by_legacy_id.get(id)?)));
            if let Some((id, found)) = taken {
                return Ok(ImportOutcome::Refused(ImportRefusal::LegacyIdTaken(id.to_owned(), Some(found.email.clone()))));
            }
            let key = row.user.legacy_session_key.as_deref();
            // Another process may have deleted the account meanwhile. Then the batch is written again.
            key.filter(|key| taken_keys.contains(*key)).ok_or_else(Error::row_not_found)?;
            Ok(ImportOutcome::Refused(ImportRefusal::LegacySessionKeyTaken))
        };
        rows.iter().map(outcome).collect()
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

    /// Raises the costs of families of hashes. The rows are written even where their costs stay, so that
    /// [`Store::forget_hash_costs`] waits for this transaction.
    async fn raise_hash_costs(&mut self, costs: &BTreeMap<&str, i64>) -> Result<()> {
        const RAISE: Sql = request(
            "INSERT INTO imported_hash_costs (family, cost) VALUES ($1, $2)
             ON CONFLICT (family) DO UPDATE SET cost = CASE
                 WHEN imported_hash_costs.cost < excluded.cost THEN excluded.cost ELSE imported_hash_costs.cost END",
        );
        for (family, cost) in costs {
            self.execute(RAISE, &[(*family).into(), (*cost).into()]).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Creates the users of a batch, with their groups and the costs of their hashes, and returns what became of each. `event` is
    /// written with the number of users that were created, if there are any. A dry run does all of this and undoes it.
    pub(crate) async fn import_users(
        &self,
        rows: &[ImportRow<'_>],
        now: Timestamp,
        event: NewEvent,
        dry_run: bool,
    ) -> Result<Vec<ImportOutcome>> {
        let mut tx = self.begin().await?;
        let mut outcomes = Vec::with_capacity(rows.len());
        for rows in rows.chunks(USERS_OF_A_STATEMENT) {
            outcomes.extend(tx.insert_imported(rows, now).await?);
        }
        let imported = || rows.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == ImportOutcome::Imported);
        let mut costs = BTreeMap::new();
        let families = imported().filter_map(|(row, _)| row.user.password.as_ref()?.family.as_ref());
        for family in families {
            let cost = costs.entry(family.name.as_str()).or_insert(family.cost);
            *cost = family.cost.max(*cost);
        }
        tx.raise_hash_costs(&costs).await?;
        let mut memberships = Vec::new();
        for (row, _) in imported() {
            memberships.extend(row.user.groups.iter().map(|name| (row.id, name.as_str())));
        }
        tx.insert_groups(&memberships).await?;
        let count = imported().count();
        if count > 0 {
            tx.write_event(event.with("users", count)).await?;
        }
        if dry_run || count == 0 {
            tx.rollback().await?
        } else {
            tx.commit().await?
        }
        Ok(outcomes)
    }

    /// Deletes the costs of families that no user has any more.
    pub(crate) async fn forget_hash_costs(&self) -> Result<()> {
        const LOCK: Sql = maintenance("UPDATE imported_hash_costs SET cost = cost");
        const FORGET: Sql = maintenance(
            "DELETE FROM imported_hash_costs WHERE NOT EXISTS
                 (SELECT 1 FROM users WHERE password_family = imported_hash_costs.family)",
        );
        let mut tx = self.begin().await?;
        // The lock waits for batches that are being imported, and the second statement sees their users.
        if tx.execute(LOCK, &[]).await? == 0 || tx.execute(FORGET, &[]).await? == 0 {
            return tx.rollback().await;
        }
        tx.commit().await
    }

    /// A page of all users for another system, ordered by address, after this address.
    pub(crate) async fn export_users(&self, after: &str, rows: usize) -> Result<Vec<(String, ExportedUser)>> {
        const SQL: &str = concat!(
            "SELECT id, email, email_key, name, password_hash, email_verified_at, created_at, disabled_at, ",
            groups_column!(),
            ", legacy_id FROM users WHERE email_key > $1 ORDER BY email_key LIMIT $2"
        );
        type Row =
            (Uuid, String, String, String, Option<String>, Option<i64>, i64, Option<i64>, String, Option<String>);
        let rows: Vec<Row> = self.fetch_all(Pool::Read, request(SQL), &[after.into(), limit(rows)]).await?;
        let exported = |row: Row| {
            let (id, email, key, name, password_hash, verified_at, created_at, disabled_at, groups, legacy_id) = row;
            let user = ExportedUser {
                id: UserId::from_uuid(id),
                email,
                name,
                password_hash,
                email_verified: verified_at.map(from_db_time),
                created_at: from_db_time(created_at),
                disabled: disabled_at.is_some(),
                groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
                legacy_id,
            };
            (key, user)
        };
        Ok(rows.into_iter().map(exported).collect())
    }
}
