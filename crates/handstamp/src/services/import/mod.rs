//! Imports users from another system, in batches, and exports all users for another system.

mod dry_run;

use std::time::Duration;

use handstamp_core::UserId;
use tokio::time::sleep;

use super::{JobOutcome, Services};
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::model::{ExportedUser, ImportOutcome, ImportPassword, ImportRow, ImportUser};

pub(crate) use dry_run::DryRun;

/// The most users of one transaction, so that none takes long.
pub(crate) const USERS_AT_ONCE: usize = 1000;
/// How many users a page of an export has.
const EXPORTED_AT_ONCE: usize = 1000;
/// The waits before a batch is written again. The server may hold the lock or restart, and a busy disk may take seconds for a commit.
const TRY_AGAIN_AFTER: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];

impl Services {
    /// Prepares the database for an import.
    pub(crate) async fn begin_import(&self) -> Result<(), InternalError> {
        Ok(self.store.expect_batches().await?)
    }

    /// Creates the users of a batch in one transaction, and returns what became of each. With a dry run, nothing is stored.
    ///
    /// Each user keeps its id when the batch is written again after an error, so a commit whose answer was lost creates no one twice.
    pub(crate) async fn import_users(
        &self,
        context: &Context,
        users: &mut [ImportUser],
        mut dry_run: Option<&mut DryRun>,
    ) -> Result<Vec<ImportOutcome>, InternalError> {
        let now = self.sessions.now();
        if dry_run.is_none() {
            self.wrap_weak_hashes(users).await?;
        }
        let users = &*users;
        let known: Vec<Option<ImportOutcome>> =
            users.iter().map(|user| dry_run.as_ref().and_then(|run| run.known(user))).collect();
        let is_new = |(user, known): (_, &Option<ImportOutcome>)| known.is_none().then_some(user);
        let new = users.iter().zip(&known).filter_map(is_new);
        let rows: Vec<_> =
            new.map(|user| ImportRow { id: UserId::new(now, self.environment.random()), user }).collect();
        let event = Event::UsersImported { users: 0 };
        let mut waits = TRY_AGAIN_AFTER.iter();
        let outcomes = loop {
            let entry = self.new_event(context, &event);
            match self.store.import_users(&rows, now, entry, dry_run.is_some()).await {
                Ok(outcomes) => break outcomes,
                Err(error) => match waits.next() {
                    Some(wait) => sleep(*wait).await,
                    None => return Err(error.into()),
                },
            }
        };
        let imported = outcomes.iter().filter(|outcome| **outcome == ImportOutcome::Imported).count() as u64;
        if let Some(run) = &mut dry_run {
            let created = rows.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == ImportOutcome::Imported);
            created.for_each(|(row, _)| run.note(row.user));
        } else if imported > 0 {
            Event::UsersImported { users: imported }.record_for(context);
        }
        let mut outcomes = outcomes.into_iter();
        let outcome = |known: Option<ImportOutcome>| known.or_else(|| outcomes.next());
        Ok(known.into_iter().filter_map(outcome).collect())
    }

    /// A page of all users for another system, ordered by address, and where the next page begins; none at the end.
    pub(crate) async fn export_users(&self, after: &str) -> Result<(Vec<ExportedUser>, Option<String>), InternalError> {
        let page = self.store.export_users(after, EXPORTED_AT_ONCE).await?;
        let next = page.last().map(|(key, _)| key.clone());
        Ok((page.into_iter().map(|(_, user)| user).collect(), next))
    }

    /// Hashes the weak hashes of users by Argon2id, but for those that an earlier import has stored: those take as long as a sign-in each.
    async fn wrap_weak_hashes(&self, users: &mut [ImportUser]) -> Result<(), InternalError> {
        let is_weak = |user: &ImportUser| matches!(user.password, Some(ImportPassword::Weak(_)));
        let nobody = UserId::from_uuid(uuid::Uuid::nil());
        let rows: Vec<_> =
            users.iter().filter(|user| is_weak(user)).map(|user| ImportRow { id: nobody, user }).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let are_there = self.store.are_imported(&rows).await?;
        let mut new: Vec<&mut ImportUser> = Vec::new();
        for (user, is_there) in users.iter_mut().filter(|user| is_weak(user)).zip(are_there) {
            if !is_there {
                new.push(user);
            }
        }
        let weak = |user: &mut &mut ImportUser| match &mut user.password {
            Some(ImportPassword::Weak(hash)) => hash.take().map(|hash| (hash, self.environment.random())),
            _ => None,
        };
        let hashes: Vec<_> = new.iter_mut().filter_map(weak).collect();
        let wrapped = self.hashing.wrap_weak(hashes).await?;
        for (user, hash) in new.into_iter().zip(wrapped) {
            user.password = Some(ImportPassword::Hash(hash.to_stored(), Some(hash.cost())));
        }
        Ok(())
    }

    /// Lowers the costs of imported hashes when no user has the costliest any more, so that checks of passwords no longer do their work.
    pub(crate) async fn lower_hash_costs(&self) -> Result<JobOutcome, InternalError> {
        self.store.lower_hash_costs().await?;
        Ok(JobOutcome::Done)
    }

    /// Writes the event of a complete export.
    pub(crate) async fn note_users_exported(&self, context: &Context, users: u64) -> Result<(), InternalError> {
        let event = Event::UsersExported { users };
        self.store.write_event(self.new_event(context, &event)).await?;
        event.record_for(context);
        Ok(())
    }
}
