//! The table of the groups that users are in.

use handstamp_core::{GroupName, UserId};

use super::statement::request;
use super::{Committed, InvalidationScope, Result, Store};
use crate::model::GROUPS_PER_USER;

/// The user would be in more groups than [`GROUPS_PER_USER`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyGroupsError;

/// A column of a query on `users`: the names of the user's groups in order, separated by commas.
macro_rules! groups_column {
    () => {
        "COALESCE((SELECT string_agg(name, ',' ORDER BY name) FROM user_groups WHERE user_id = users.id), '')"
    };
}

pub(super) use groups_column;

impl Store {
    /// Removes a user from some groups and adds them to others.
    pub(crate) async fn change_groups(
        &self,
        id: UserId,
        added: &[GroupName],
        removed: &[GroupName],
    ) -> Result<Committed<Result<(), TooManyGroupsError>>> {
        let mut tx = self.begin().await?;
        for name in removed {
            tx.execute(
                request("DELETE FROM user_groups WHERE user_id = $1 AND name = $2"),
                &[id.into(), name.as_str().into()],
            )
            .await?;
        }
        for name in added {
            tx.execute(
                request(
                    "INSERT INTO user_groups (user_id, name) SELECT id, $2 FROM users WHERE id = $1
                     ON CONFLICT (user_id, name) DO NOTHING",
                ),
                &[id.into(), name.as_str().into()],
            )
            .await?;
        }
        let (count,): (i64,) =
            tx.fetch_one(request("SELECT COUNT(*) FROM user_groups WHERE user_id = $1"), &[id.into()]).await?;
        if count > GROUPS_PER_USER && !added.is_empty() {
            return tx.rollback_with(Err(TooManyGroupsError)).await;
        }
        tx.commit_invalidating(Ok(()), &[InvalidationScope::User(id)]).await
    }
}
