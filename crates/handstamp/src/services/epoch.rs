//! Begins a new epoch: after a restore, and when a node notices that its folder or its database was put back from a copy.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use handstamp_core::Timestamp;

use super::{JobOutcome, Services};
use crate::context::Context;
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::state_file::{FoundState, StateFile};
use crate::store::{DatabaseState, EpochStart, InvalidationLog, Position};

/// How often the transaction is tried at once: PostgreSQL ends it, or the other one, when two wait for each other.
const ATTEMPTS: u32 = 3;
/// The delay before the next attempt after a database that was put back.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why a new epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpochReason {
    /// An operator has restored a backup.
    Restored,
    /// The data folder is a copy.
    FolderCopied,
    /// The database is older than what a node has seen.
    DatabaseOlder,
}

impl EpochReason {
    fn name(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::FolderCopied => "folder_copied",
            Self::DatabaseOlder => "database_older",
        }
    }
}

impl fmt::Display for EpochReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The highest position that nodes have noted in this state file.
///
/// # Errors
/// A message for the operator.
pub(crate) fn position_in(state_file: Option<&Path>) -> Result<Position, String> {
    let found = state_file.map(|path| StateFile::new(path).read()).transpose()?;
    Ok(Position(match found {
        Some(FoundState::Original { position, .. } | FoundState::Copied { position: Some(position) }) => position,
        _ => 0,
    }))
}

impl Services {
    /// Begins a new epoch, and returns its number and how many sessions have ended. All sessions, one-time tokens, pending sign-ins,
    /// ceremonies and device cookies from before are void, on every node when this returns. None if no epoch was needed.
    pub(crate) async fn begin_epoch(
        &self,
        context: &Context,
        reason: EpochReason,
        start: EpochStart,
    ) -> Result<Option<(u64, u64)>, InternalError> {
        let clock = self
            .store
            .clock()
            .await?
            .map_or(Timestamp::from_unix_seconds(0), |clock| Timestamp::from_unix_seconds(clock.as_secs()));
        // Device cookies carry the time of a node, or that of the database.
        let began_at = self.sessions.now().max(clock);
        let event =
            |epoch, sessions| self.new_event(context, &Event::EpochBegun { epoch, sessions, reason: reason.name() });
        let mut attempt = 1;
        let begun = loop {
            match self.store.begin_epoch(start, began_at, event).await {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                begun => break begun?,
            }
        };
        let epoch = begun.position.map_or(0, Position::epoch);
        let Some(sessions) = self.sessions.wait_until_applied(begun).await? else { return Ok(None) };
        Event::EpochBegun { epoch, sessions, reason: reason.name() }.record_for(context);
        Ok(Some((epoch, sessions)))
    }

    /// The state file of this node; none if it has none.
    pub(crate) fn state_file(&self) -> Option<StateFile> {
        self.config.state_file.as_deref().map(StateFile::new)
    }

    /// Compares the database with the state file as it was found, before the first request. Begins a new epoch if the folder or the database
    /// was put back, and writes the file anew.
    pub(crate) async fn check_state(&self, file: &StateFile, found: FoundState) -> Result<(), InternalError> {
        let state = self.store.state().await?;
        let system = Context::system();
        match found {
            FoundState::Copied { position } => {
                let beyond = EpochStart::Beyond(Position(position.unwrap_or(0)));
                self.begin_epoch(&system, EpochReason::FolderCopied, beyond).await?;
            }
            FoundState::Original { database, position, shows_copies } if database == state.created => {
                if !shows_copies {
                    Event::CopiesNotNoticed {}.record();
                }
                if state.position < Position(position) {
                    let start = EpochStart::IfBefore(Position(position));
                    self.begin_epoch(&system, EpochReason::DatabaseOlder, start).await?;
                }
            }
            FoundState::Original { .. } => Event::DatabaseReplaced {}.record(),
            FoundState::Missing => {}
        }
        let state = self.store.state().await?;
        self.sessions.note_seen(state.position);
        self.write_state(file, state).await;
        Ok(())
    }

    /// Begins a new epoch whenever the database turns out to be older than what this node has seen. Never returns.
    pub(crate) async fn watch_database_age(&self) {
        loop {
            self.sessions.database_put_back().await;
            let start = EpochStart::IfBefore(self.sessions.seen());
            if let Err(error) = self.begin_epoch(&Context::system(), EpochReason::DatabaseOlder, start).await {
                Event::JobFailed { job: "begin_epoch", error: &error }.record();
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }

    /// Writes the state file if the log has come further.
    pub(crate) async fn keep_state(&self) -> Result<JobOutcome, InternalError> {
        let Some(file) = self.state_file() else { return Ok(JobOutcome::Done) };
        let state = self.store.state().await?;
        // A database that was put back is not noted until its new epoch has begun.
        if state.position < self.sessions.seen() {
            return Ok(JobOutcome::Deferred);
        }
        self.sessions.note_seen(state.position);
        let written = matches!(file.read(), Ok(FoundState::Original { database, position, .. })
            if database == state.created && Position(position) >= state.position);
        if !written {
            self.write_state(&file, state).await;
        }
        Ok(JobOutcome::Done)
    }

    /// A disk that is full or read-only fails no node: the earlier file stays.
    async fn write_state(&self, file: &StateFile, state: DatabaseState) {
        let file = file.clone();
        let write = move || file.write(&state.created, state.position.0);
        let written = tokio::task::spawn_blocking(write).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
            Event::StateNotWritten { error: &error }.record();
        }
    }
}
