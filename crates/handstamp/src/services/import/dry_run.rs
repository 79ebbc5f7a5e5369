//! The memory of a dry run: the rows before, of which the database keeps none.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use crate::model::{ImportOutcome, ImportPassword, ImportRefusal, ImportUser};

/// The users that a dry run has created so far, by hashes under a random key: a million of them take some 60 MB. Of a million users,
/// two have the same hash once in thirty million runs.
#[derive(Default)]
pub(crate) struct DryRun {
    hasher: RandomState,
    /// For each address, the hash of what a repeated row has in common with the first.
    by_email: HashMap<u64, u64>,
    legacy_ids: HashSet<u64>,
    legacy_session_keys: HashSet<u64>,
}

impl DryRun {
    /// The outcome of a user because of the rows before; none if they do not matter.
    pub(super) fn known(&self, user: &ImportUser) -> Option<ImportOutcome> {
        if let Some(first) = self.by_email.get(&self.hasher.hash_one(user.email.key())) {
            let is_same = *first == self.identity(user);
            return Some(match is_same {
                true => ImportOutcome::AlreadyThere,
                false => ImportOutcome::Refused(ImportRefusal::EmailTaken),
            });
        }
        let is_among = |taken: &HashSet<u64>, key: &&str| taken.contains(&self.hasher.hash_one(*key));
        if let Some(id) = user.legacy_id.as_deref().filter(|id| is_among(&self.legacy_ids, id)) {
            return Some(ImportOutcome::Refused(ImportRefusal::LegacyIdTaken(id.to_owned(), None)));
        }
        let key = user.legacy_session_key.as_deref().filter(|key| is_among(&self.legacy_session_keys, key));
        key.map(|_| ImportOutcome::Refused(ImportRefusal::LegacySessionKeyTaken))
    }

    /// Notes a user that was created, but for the dry run.
    pub(super) fn note(&mut self, user: &ImportUser) {
        self.by_email.insert(self.hasher.hash_one(user.email.key()), self.identity(user));
        if let Some(id) = &user.legacy_id {
            self.legacy_ids.insert(self.hasher.hash_one(id.as_str()));
        }
        if let Some(key) = &user.legacy_session_key {
            self.legacy_session_keys.insert(self.hasher.hash_one(key.as_str()));
        }
    }

    fn identity(&self, user: &ImportUser) -> u64 {
        let hash = user.password.as_ref().map(ImportPassword::text);
        self.hasher.hash_one((user.email.key(), &user.legacy_id, hash))
    }
}
