//! The members of the group `admins`: an act that must leave one who can sign in holds the lock of them.

use handstamp_core::UserId;

use super::statement::{Pool, Sql, Tx, request};
use super::{Result, Store};
use crate::model::{ADMINISTRATORS, LastAdministrator};

/// The act would leave the group `admins` without a member who can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastAdministratorError;

/// Whether a user is a member who can sign in, and whether there is another one.
const STANDING: &str = "SELECT
        (SELECT COUNT(*) FROM user_groups JOIN users ON users.id = user_groups.user_id
         WHERE user_groups.name = $1 AND user_groups.user_id = $2 AND users.disabled_at IS NULL),
        (SELECT COUNT(*) FROM (SELECT 1 FROM user_groups JOIN users ON users.id = user_groups.user_id
         WHERE user_groups.name = $1 AND user_groups.user_id <> $2 AND users.disabled_at IS NULL LIMIT 1) AS others)";

fn is_last((member, others): (i64, i64)) -> bool {
    member > 0 && others == 0
}

impl Tx<'_> {
    /// Holds the lock of the administrators until the transaction ends. It comes first in a transaction, so that no two wait for each
    /// other. Later statements see the changes of those that held it before.
    pub(super) async fn lock_administrators(&mut self) -> Result<()> {
        const LOCK: Sql = request("UPDATE administrators_lock SET id = id WHERE id = 1");
        self.execute(LOCK, &[]).await.map(drop)
    }

    /// Locks the administrators, and refuses an act that would leave none who can sign in: one after which this user is no such member.
    pub(super) async fn check_last_administrator(
        &mut self,
        id: UserId,
        last: LastAdministrator,
    ) -> Result<Result<(), LastAdministratorError>> {
        if last == LastAdministrator::MayGo {
            return Ok(Ok(()));
        }
        self.lock_administrators().await?;
        let standing = self.fetch_one(request(STANDING), &[ADMINISTRATORS.into(), id.into()]).await?;
        Ok(if is_last(standing) { Err(LastAdministratorError) } else { Ok(()) })
    }
}

impl Store {
    /// Whether a user is the only member of the group `admins` who can sign in.
    pub(crate) async fn is_last_administrator(&self, id: UserId) -> Result<bool> {
        Ok(is_last(self.fetch_one(Pool::Read, request(STANDING), &[ADMINISTRATORS.into(), id.into()]).await?))
    }
}
