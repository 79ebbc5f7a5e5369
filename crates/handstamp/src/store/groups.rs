//! The table of the groups that users are in.

use handstamp_core::{GroupName, UserId};

use super::statement::{Sql, request};
use super::{Committed, InvalidationScope, LastAdministratorError, Result, Store};
use crate::model::{ADMINISTRATORS, GROUPS_PER_USER, LastAdministrator, NewEvent};

/// Why the groups of a user were not changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChangeGroupsError {
    /// The user would be in more groups than [`GROUPS_PER_USER`].
    TooMany,
    LastAdministrator(LastAdministratorError),
}

/// A column of a query on `users`: the names of the user's groups in order, separated by commas.
macro_rules! groups_column {
    () => {
        "COALESCE((SELECT string_agg(name, ',' ORDER BY name) FROM user_groups WHERE user_id = users.id), '')"
    };
}

pub(super) use groups_column;

/// The groups of such a column.
pub(super) fn groups_of(column: &str) -> Vec<String> {
    column.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect()
}

impl Store {
    /// Removes a user from some groups and adds them to others.
    pub(crate) async fn change_groups(
        &self,
        id: UserId,
        added: &[GroupName],
        removed: &[GroupName],
        last: LastAdministrator,
        event: NewEvent,
    ) -> Result<Committed<Result<(), ChangeGroupsError>>> {
        const REMOVE: Sql = request("DELETE FROM user_groups WHERE user_id = $1 AND name = $2");
        const ADD: Sql = request(
            "INSERT INTO user_groups (user_id, name) SELECT id, $2 FROM users WHERE id = $1
             ON CONFLICT (user_id, name) DO NOTHING",
        );
        let mut tx = self.begin().await?;
        if removed.iter().any(|group| group.as_str() == ADMINISTRATORS)
            && let Err(error) = tx.check_last_administrator(id, last).await?
        {
            return tx.rollback_with(Err(ChangeGroupsError::LastAdministrator(error))).await;
        }
        let (mut left, mut joined) = (Vec::new(), Vec::new());
        for (names, statement, changed) in [(removed, REMOVE, &mut left), (added, ADD, &mut joined)] {
            for name in names.iter().map(GroupName::as_str) {
                if tx.execute(statement, &[id.into(), name.into()]).await? > 0 {
                    changed.push(name);
                }
            }
        }
        let (count,): (i64,) =
            tx.fetch_one(request("SELECT COUNT(*) FROM user_groups WHERE user_id = $1"), &[id.into()]).await?;
        if count > GROUPS_PER_USER && !added.is_empty() {
            return tx.rollback_with(Err(ChangeGroupsError::TooMany)).await;
        }
        if !joined.is_empty() || !left.is_empty() {
            tx.write_event(event.with("added", joined).with("removed", left)).await?;
        }
        tx.commit_invalidating(Ok(()), &[InvalidationScope::User(id)]).await
    }
}
