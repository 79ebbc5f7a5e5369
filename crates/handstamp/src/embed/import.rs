//! The handle for an import of users from another system, and for their export.

use std::sync::Arc;

use crate::context::Context;
use crate::error::Error;
use crate::model::{ExportedUser, ImportOutcome, ImportParser, ImportUser};
use crate::services::{DryRun, Services, USERS_AT_ONCE};

/// An import of users from another system: [`Users::import`](crate::Users::import).
pub struct UserImport {
    services: Arc<Services>,
    dry_run: Option<DryRun>,
    has_begun: bool,
}

impl UserImport {
    /// The most users of a batch.
    pub const MAX_BATCH: usize = USERS_AT_ONCE;

    pub(super) fn new(services: &Arc<Services>, dry_run: bool) -> Self {
        Self { services: Arc::clone(services), dry_run: dry_run.then(DryRun::default), has_begun: false }
    }

    /// A parser of rows that are imported now. Weak hashes are not allowed.
    pub fn parser(&self) -> ImportParser {
        ImportParser::new(self.services.sessions.now())
    }

    /// Creates the users of a batch in one transaction, and returns what became of each. A user that an earlier import has created
    /// from the same row is left as it is, so an import that was interrupted can be repeated.
    ///
    /// # Errors
    /// When the database cannot be written, even after some attempts. Then no user of the batch was created, or the answer was lost.
    ///
    /// # Panics
    /// When the batch has more than [`MAX_BATCH`](Self::MAX_BATCH) users.
    pub async fn batch(&mut self, users: &mut [ImportUser]) -> Result<Vec<ImportOutcome>, Error> {
        assert!(users.len() <= Self::MAX_BATCH, "a batch has {} users at most", Self::MAX_BATCH);
        if !std::mem::replace(&mut self.has_begun, true) {
            self.services.begin_import().await?;
        }
        Ok(self.services.import_users(&Context::operator(), users, self.dry_run.as_mut()).await?)
    }
}

/// An export of all users for another system: [`Users::export`](crate::Users::export).
pub struct UserExport {
    services: Arc<Services>,
    /// Where the next page begins; none at the end.
    after: Option<String>,
    count: u64,
}

impl UserExport {
    pub(super) fn new(services: &Arc<Services>) -> Self {
        Self { services: Arc::clone(services), after: Some(String::new()), count: 0 }
    }

    /// The next users, in the order of their addresses; none at the end, when the export has been noted in the audit log. A user who
    /// is created or changes the address meanwhile may be left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn next_page(&mut self) -> Result<Vec<ExportedUser>, Error> {
        let Some(after) = self.after.take() else { return Ok(Vec::new()) };
        let (users, next) = self.services.export_users(&after).await?;
        self.after = next;
        self.count += users.len() as u64;
        if self.after.is_none() {
            self.services.note_users_exported(&Context::operator(), self.count).await?;
        }
        Ok(users)
    }
}
