//! The table of users: accounts, their credentials, and the user of a live session.

use std::sync::Arc;

use handstamp_core::{DisplayName, EmailAddress, PasswordHash, SessionSecretHash, Timestamp, UserId};
use uuid::Uuid;

use super::groups::groups_column;
use super::invalidations::log_invalidations;
use super::{
    Committed, InvalidationScope, NewSession, OwnedSession, Position, Store, for_request, from_db_time, read_with,
    sessions, to_db_time, write_with,
};

/// The user of a session. A node may cache a million of these, so their texts share one allocation.
#[derive(Clone, Debug)]
pub(crate) struct SessionUser {
    pub(crate) id: UserId,
    pub(crate) created_at: Timestamp,
    /// The name, followed by the address and the groups.
    text: Arc<str>,
    /// The lengths of the name and of the address in the text.
    name_bytes: u32,
    email_bytes: u16,
    /// Whether a link, a code or an operator has verified the address. Otherwise it is only what the user entered.
    pub(crate) email_verified: bool,
}

impl SessionUser {
    /// A user whose address is not verified. The groups are in order, separated by commas.
    pub(crate) fn new(id: UserId, name: &str, email: &str, groups: &str, created_at: Timestamp) -> Self {
        let name_bytes = name.len().try_into().expect("a name has 100 characters at most");
        let email_bytes = email.len().try_into().expect("an address has 254 bytes at most");
        let text = [name, email, groups].concat().into();
        Self { id, created_at, text, name_bytes, email_bytes, email_verified: false }
    }

    pub(crate) fn name(&self) -> &str {
        &self.text[..self.name_bytes as usize]
    }

    pub(crate) fn email(&self) -> &str {
        &self.text[self.name_bytes as usize..self.email_end()]
    }

    /// The groups, separated by commas.
    pub(crate) fn groups(&self) -> &str {
        &self.text[self.email_end()..]
    }

    /// The length of the name, the address and the groups together.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    fn email_end(&self) -> usize {
        self.name_bytes as usize + usize::from(self.email_bytes)
    }

    pub(crate) fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups().split(',').filter(|name| !name.is_empty())
    }

    pub(crate) fn is_in(&self, group: &str) -> bool {
        self.group_names().any(|name| name == group)
    }

    /// Whether both values come from the same read of the row. A later read may have returned other values.
    pub(crate) fn same_snapshot(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.text, &other.text)
    }
}

/// The data of a live session that is not in its token.
#[derive(Clone, Debug)]
pub(crate) struct LiveSession {
    /// The session id that lists and forms show.
    pub(crate) session_id: Uuid,
    pub(crate) user: SessionUser,
}

/// An account that is about to be created.
pub(crate) struct NewUser {
    pub(crate) id: UserId,
    pub(crate) name: DisplayName,
    pub(crate) email: EmailAddress,
    pub(crate) password_hash: PasswordHash,
    pub(crate) created_at: Timestamp,
    pub(crate) email_verified_at: Option<Timestamp>,
}

/// An account as an operator sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct User {
    /// The id of the user, which never changes.
    pub id: UserId,
    /// The display name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// Whether the address is known to be the user's. Otherwise it is only what they entered.
    pub email_verified: bool,
    /// When the account was created.
    pub created_at: Timestamp,
    /// When the user last signed in, if ever.
    pub signed_in_at: Option<Timestamp>,
    /// Whether sign-in is disabled.
    pub disabled: bool,
    /// The names of the user's groups, in order.
    pub groups: Vec<String>,
    /// The number of live sessions.
    pub sessions: u64,
}

/// A query for the columns of an [`UserRow`]. `$1` is the time; the rest of the statement selects the users.
macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, email, email_verified_at, created_at, signed_in_at, disabled_at,
                (SELECT COUNT(*) FROM sessions WHERE user_id = users.id AND expires_at > $1), ",
            groups_column!(),
            " FROM users ",
            $rest
        )
    };
}

type UserRow = (Uuid, String, String, Option<i64>, i64, Option<i64>, Option<i64>, i64, String);

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let (id, name, email, email_verified_at, created_at, signed_in_at, disabled_at, sessions, groups) = row;
        Self {
            id: UserId::from_uuid(id),
            name,
            email,
            email_verified: email_verified_at.is_some(),
            created_at: from_db_time(created_at),
            signed_in_at: signed_in_at.map(from_db_time),
            disabled: disabled_at.is_some(),
            groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
            sessions: sessions.try_into().unwrap_or(0),
        }
    }
}

/// The credentials of an account.
#[derive(Debug, PartialEq)]
pub(crate) struct Credentials {
    pub(crate) user_id: UserId,
    pub(crate) password_hash: Option<PasswordHash>,
    pub(crate) disabled: bool,
    /// When the credentials were last changed, if ever.
    pub(crate) changed_at: Option<Timestamp>,
}

/// The address already has an account.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EmailTakenError;

type CredentialsRow = (Uuid, Option<String>, Option<i64>, Option<i64>);

impl From<CredentialsRow> for Credentials {
    fn from((id, password_hash, disabled_at, changed_at): CredentialsRow) -> Self {
        Self {
            user_id: UserId::from_uuid(id),
            password_hash: password_hash.map(PasswordHash::from_stored),
            disabled: disabled_at.is_some(),
            changed_at: changed_at.map(from_db_time),
        }
    }
}

/// The columns of a session and its user.
type LiveSessionRow = (Uuid, Uuid, String, String, Option<i64>, String, i64, i64);

impl Store {
    /// Creates an account, together with its first session if the user registers it themselves. `ended` are the previous
    /// sessions of their browser.
    pub(crate) async fn create_user(
        &self,
        user: &NewUser,
        session: Option<&NewSession>,
        ended: &[OwnedSession],
    ) -> sqlx::Result<Committed<Result<(), EmailTakenError>>> {
        write_with!(self, |transaction| {
            let made = sqlx::query(for_request(
                "INSERT INTO users
                     (id, name, email, email_key, password_hash, created_at, signed_in_at, email_verified_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (email_key) DO NOTHING",
            ))
            .bind(user.id.as_uuid())
            .bind(user.name.as_str())
            .bind(user.email.as_str())
            .bind(user.email.key())
            .bind(user.password_hash.expose())
            .bind(to_db_time(user.created_at))
            .bind(session.map(|session| to_db_time(session.created_at)))
            .bind(user.email_verified_at.map(to_db_time))
            .execute(&mut *transaction)
            .await?;
            if made.rows_affected() == 0 {
                return Ok(Committed { value: Err(EmailTakenError), position: None });
            }
            let changed = match session {
                Some(session) => sessions::replace!(ended, session, transaction).0,
                None => Vec::new(),
            };
            Committed { value: Ok(()), position: log_invalidations!(transaction, &changed) }
        })
    }

    /// Whether the address has an account.
    pub(crate) async fn has_account(&self, email: &EmailAddress) -> sqlx::Result<bool> {
        self.credentials_by_email(email).await.map(|found| found.is_some())
    }

    pub(crate) async fn credentials_by_email(&self, email: &EmailAddress) -> sqlx::Result<Option<Credentials>> {
        // A row is returned whether or not the account exists: reading one takes microseconds, and an attacker can measure that.
        const SQL: &str = "SELECT id, password_hash, disabled_at, credentials_changed_at
             FROM (SELECT 1) AS one LEFT JOIN users ON users.email_key = $1";
        let (id, password_hash, disabled_at, changed_at): (Option<Uuid>, Option<String>, Option<i64>, Option<i64>) =
            read_with!(self, |pool| sqlx::query_as(for_request(SQL)).bind(email.key()).fetch_one(pool).await)?;
        Ok(id.map(|id| Credentials::from((id, password_hash, disabled_at, changed_at))))
    }

    pub(crate) async fn credentials_by_id(&self, id: UserId) -> sqlx::Result<Option<Credentials>> {
        const SQL: &str = "SELECT id, password_hash, disabled_at, credentials_changed_at FROM users WHERE id = $1";
        let row: Option<CredentialsRow> =
            read_with!(self, |pool| sqlx::query_as(for_request(SQL)).bind(id.as_uuid()).fetch_optional(pool).await)?;
        Ok(row.map(Credentials::from))
    }

    /// Signs a user in whose password matched `checked`, unless the password was changed or the account disabled meanwhile.
    /// `ended` are the previous sessions of the browser, whichever users they belong to. Returns how many longest unused
    /// sessions were ended to stay within the limit.
    ///
    /// The update comes first: it waits for a concurrent change of the row and then sees it, so that no session of an old
    /// password outlives the change.
    pub(crate) async fn sign_in(
        &self,
        checked: &PasswordHash,
        session: &NewSession,
        ended: &[OwnedSession],
    ) -> sqlx::Result<Committed<Option<u64>>> {
        write_with!(self, |transaction| {
            let unchanged = sqlx::query(for_request(
                "UPDATE users SET signed_in_at = $3
                 WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL",
            ))
            .bind(session.user_id.as_uuid())
            .bind(checked.expose())
            .bind(to_db_time(session.created_at))
            .execute(&mut *transaction)
            .await?;
            if unchanged.rows_affected() == 0 {
                return Ok(Committed { value: None, position: None });
            }
            let (changed, unused) = sessions::replace!(ended, session, transaction);
            Committed { value: Some(unused), position: log_invalidations!(transaction, &changed) }
        })
    }

    /// All accounts, ordered by address.
    pub(crate) async fn users(&self, now: Timestamp) -> sqlx::Result<Vec<User>> {
        const SQL: &str = select_users!("ORDER BY email_key");
        let rows: Vec<UserRow> =
            read_with!(self, |pool| sqlx::query_as(for_request(SQL)).bind(to_db_time(now)).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// The account with this address.
    pub(crate) async fn user_by_email(&self, email: &EmailAddress, now: Timestamp) -> sqlx::Result<Option<User>> {
        const SQL: &str = select_users!("WHERE email_key = $2");
        let row: Option<UserRow> = read_with!(self, |pool| {
            sqlx::query_as(for_request(SQL)).bind(to_db_time(now)).bind(email.key()).fetch_optional(pool).await
        })?;
        Ok(row.map(User::from))
    }

    /// Disables an account and ends all its sessions, or enables it again.
    pub(crate) async fn set_disabled(&self, id: UserId, disabled_at: Option<Timestamp>) -> sqlx::Result<Committed<()>> {
        write_with!(self, |transaction| {
            sqlx::query(for_request("UPDATE users SET disabled_at = $2 WHERE id = $1"))
                .bind(id.as_uuid())
                .bind(disabled_at.map(to_db_time))
                .execute(&mut *transaction)
                .await?;
            if disabled_at.is_some() {
                sqlx::query(for_request("DELETE FROM sessions WHERE user_id = $1"))
                    .bind(id.as_uuid())
                    .execute(&mut *transaction)
                    .await?;
            }
            Committed { value: (), position: log_invalidations!(transaction, &[InvalidationScope::User(id)]) }
        })
    }

    /// Marks the address of an account as verified, unless it already is.
    pub(crate) async fn verify_email(&self, id: UserId, now: Timestamp) -> sqlx::Result<Committed<()>> {
        write_with!(self, |transaction| {
            sqlx::query(for_request(
                "UPDATE users SET email_verified_at = $2 WHERE id = $1 AND email_verified_at IS NULL",
            ))
            .bind(id.as_uuid())
            .bind(to_db_time(now))
            .execute(&mut *transaction)
            .await?;
            Committed { value: (), position: log_invalidations!(transaction, &[InvalidationScope::User(id)]) }
        })
    }

    /// Deletes an account and its sessions.
    pub(crate) async fn delete_user(&self, id: UserId) -> sqlx::Result<Committed<()>> {
        write_with!(self, |transaction| {
            sqlx::query(for_request("DELETE FROM users WHERE id = $1"))
                .bind(id.as_uuid())
                .execute(&mut *transaction)
                .await?;
            Committed { value: (), position: log_invalidations!(transaction, &[InvalidationScope::User(id)]) }
        })
    }

    /// Replaces a hash by one of the same password that was made with other settings.
    pub(crate) async fn replace_hash(&self, id: UserId, old: &PasswordHash, new: &PasswordHash) -> sqlx::Result<()> {
        write_with!(self, |transaction| {
            sqlx::query(for_request("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2"))
                .bind(id.as_uuid())
                .bind(old.expose())
                .bind(new.expose())
                .execute(&mut *transaction)
                .await?;
        })
    }

    /// Changes the password from `old` to `new`, ends all other sessions, and gives the session `current` the new hash `rotated`.
    /// Returns false, with nothing done, if the password was changed or the session ended meanwhile. Entries of
    /// device cookies that were issued for this user before `now` no longer count.
    pub(crate) async fn change_password(
        &self,
        id: UserId,
        (old, new): (&PasswordHash, &PasswordHash),
        (current, rotated): (SessionSecretHash, SessionSecretHash),
        now: Timestamp,
    ) -> sqlx::Result<Committed<bool>> {
        write_with!(self, |transaction| {
            let changed = sqlx::query(for_request(
                "UPDATE users SET password_hash = $3, credentials_changed_at = $4
                 WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL",
            ))
            .bind(id.as_uuid())
            .bind(old.expose())
            .bind(new.expose())
            .bind(to_db_time(now))
            .execute(&mut *transaction)
            .await?;
            sqlx::query(for_request("DELETE FROM sessions WHERE user_id = $1 AND id_hash <> $2"))
                .bind(id.as_uuid())
                .bind(current.as_bytes().as_slice())
                .execute(&mut *transaction)
                .await?;
            let kept = sqlx::query(for_request("UPDATE sessions SET id_hash = $3 WHERE user_id = $1 AND id_hash = $2"))
                .bind(id.as_uuid())
                .bind(current.as_bytes().as_slice())
                .bind(rotated.as_bytes().as_slice())
                .execute(&mut *transaction)
                .await?;
            if changed.rows_affected() == 0 || kept.rows_affected() == 0 {
                return Ok(Committed { value: false, position: None });
            }
            Committed { value: true, position: log_invalidations!(transaction, &[InvalidationScope::User(id)]) }
        })
    }

    /// A session of this user and the newest log position, read together. None if the session has ended or expired or the
    /// account is disabled.
    pub(crate) async fn live_session(
        &self,
        secret_hash: SessionSecretHash,
        user_id: UserId,
        now: Timestamp,
    ) -> sqlx::Result<Option<(LiveSession, Position)>> {
        const SQL: &str = concat!(
            "SELECT sessions.handle, users.id, users.name, users.email, users.email_verified_at, ",
            groups_column!(),
            ", users.created_at, (SELECT position FROM change_counter WHERE id = 1)
             FROM sessions JOIN users ON users.id = sessions.user_id
             WHERE sessions.id_hash = $1 AND sessions.user_id = $2 AND sessions.expires_at > $3
               AND users.disabled_at IS NULL"
        );
        let row: Option<LiveSessionRow> = read_with!(self, |pool| {
            sqlx::query_as(for_request(SQL))
                .bind(secret_hash.as_bytes().as_slice())
                .bind(user_id.as_uuid())
                .bind(to_db_time(now))
                .fetch_optional(pool)
                .await
        })?;
        Ok(row.map(|(session_id, id, name, email, email_verified_at, groups, created_at, position)| {
            let user = SessionUser::new(UserId::from_uuid(id), &name, &email, &groups, from_db_time(created_at));
            let user = SessionUser { email_verified: email_verified_at.is_some(), ..user };
            (LiveSession { session_id, user }, Position(position))
        }))
    }

    pub(crate) async fn change_name(&self, id: UserId, name: &DisplayName) -> sqlx::Result<Committed<()>> {
        write_with!(self, |transaction| {
            sqlx::query(for_request("UPDATE users SET name = $2 WHERE id = $1"))
                .bind(id.as_uuid())
                .bind(name.as_str())
                .execute(&mut *transaction)
                .await?;
            Committed { value: (), position: log_invalidations!(transaction, &[InvalidationScope::User(id)]) }
        })
    }
}
