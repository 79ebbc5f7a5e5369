//! The table of the groups that users are in.

use handstamp_core::{GroupName, UserId};

use super::invalidations::log_invalidations;
use super::{Committed, InvalidationScope, Store, for_request, write_with};

/// The most groups that a user is in: their names must fit into a header.
pub(crate) const GROUPS_PER_USER: i64 = 50;

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
    ) -> sqlx::Result<Committed<Result<(), TooManyGroupsError>>> {
        write_with!(self, |transaction| {
            for name in removed {
                sqlx::query(for_request("DELETE FROM user_groups WHERE user_id = $1 AND name = $2"))
                    .bind(id.as_uuid())
                    .bind(name.as_str())
                    .execute(&mut *transaction)
                    .await?;
            }
            for name in added {
                sqlx::query(for_request(
                    "INSERT INTO user_groups (user_id, name) SELECT id, $2 FROM users WHERE id = $1
                     ON CONFLICT (user_id, name) DO NOTHING",
                ))
                .bind(id.as_uuid())
                .bind(name.as_str())
                .execute(&mut *transaction)
                .await?;
            }
            let count: i64 = sqlx::query_scalar(for_request("SELECT COUNT(*) FROM user_groups WHERE user_id = $1"))
                .bind(id.as_uuid())
                .fetch_one(&mut *transaction)
                .await?;
            if count > GROUPS_PER_USER && !added.is_empty() {
                return Ok(Committed { value: Err(TooManyGroupsError), position: None });
            }
            Committed { value: Ok(()), position: log_invalidations!(transaction, &[InvalidationScope::User(id)]) }
        })
    }
}
