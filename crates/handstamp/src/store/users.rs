//! The table of users: accounts, their credentials, and the user of a live session.

use handstamp_core::{
    AssuranceLevel, AttemptKey, Authentication, AuthenticationMethods, DisplayName, EmailAddress, HashCosts,
    PasswordHash, SessionSecretHash, Timestamp, UserId,
};
use uuid::Uuid;

use super::groups::{groups_column, groups_of};
use super::statement::{Pool, Sql, Tx, limit, request};
use super::{Committed, InvalidationScope, LastAdministratorError, Position, Result, Store, from_db_time};
use crate::model::{
    Credentials, CredentialsVersion, LastAdministrator, ListUsers, LiveSession, NewEvent, NewOneTimeToken, NewSession,
    NewUser, OwnedSession, SessionProvider, SessionUser, SignInEvents, User,
};

/// A query for the columns of an [`UserRow`]. `$1` is the time; the rest of the statement selects the users.
macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, email, email_verified_at, created_at, signed_in_at, disabled_at,
                (SELECT COUNT(*) FROM sessions WHERE user_id = users.id AND expires_at > $1), ",
            groups_column!(),
            ", language, legacy_id FROM users ",
            $rest
        )
    };
}

type UserRow = (Uuid, String, String, Option<i64>, i64, Option<i64>, Option<i64>, i64, String, String, Option<String>);

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let (
            id,
            name,
            email,
            email_verified_at,
            created_at,
            signed_in_at,
            disabled_at,
            sessions,
            groups,
            language,
            legacy_id,
        ) = row;
        Self {
            id: UserId::from_uuid(id),
            name,
            email,
            email_verified: email_verified_at.is_some(),
            created_at: from_db_time(created_at),
            signed_in_at: signed_in_at.map(from_db_time),
            disabled: disabled_at.is_some(),
            groups: groups_of(&groups),
            sessions: sessions.try_into().unwrap_or(0),
            legacy_id,
            language,
        }
    }
}

/// The part of an UPDATE that sets the hash of a password to a parameter or NULL. Its cost is our own.
macro_rules! set_password {
    ($value:literal) => {
        concat!("password_hash = ", $value, ", password_cost = NULL")
    };
}

pub(super) use set_password;

/// The address already has an account.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EmailTakenError;

/// The id, the credentials version and the password hash. Then the times of disabling, of the last change, and of the confirmation
/// of a second factor, the costs of imported hashes, and the time of the newest epoch.
type CredentialsRow = (Uuid, i64, Option<String>, Option<i64>, Option<i64>, Option<i64>, String, Option<i64>);

/// The columns of a [`CredentialsRow`].
macro_rules! credentials_columns {
    () => {
        "id, credentials_version, password_hash, disabled_at, credentials_changed_at,
         (SELECT confirmed_at FROM totp_secrets WHERE user_id = users.id),
         (SELECT costs FROM imported_hash_costs WHERE id = 1), (SELECT epoch_began_at FROM change_counter WHERE id = 1)"
    };
}

impl From<CredentialsRow> for Credentials {
    fn from(row: CredentialsRow) -> Self {
        let (id, version, password_hash, disabled_at, changed_at, second_factor, costs, epoch_began_at) = row;
        Self {
            user_id: UserId::from_uuid(id),
            version: CredentialsVersion(version),
            password_hash: password_hash.map(PasswordHash::from_stored),
            disabled: disabled_at.is_some(),
            changed_at: changed_at.map(from_db_time),
            devices_void_until: changed_at.max(epoch_began_at).map(from_db_time),
            has_second_factor: second_factor.is_some(),
            hash_costs: hash_costs(&costs),
        }
    }
}

/// The costs of this text. A kind of hash that only a later version knows is left out.
pub(super) fn hash_costs(text: &str) -> HashCosts {
    let mut costs = HashCosts::default();
    for cost in text.split_ascii_whitespace().filter_map(|cost| cost.parse().ok()) {
        // The costs were within the caps when they were stored.
        let _ = costs.insert(cost);
    }
    costs
}

/// The id and the authentication of a session, its user, and the newest log position.
type LiveSessionRow = (Uuid, String, i64, i64, Uuid, String, String, Option<i64>, String, i64, Option<String>, i64);

impl Tx<'_> {
    /// Inserts an account with its token, unless the address has an account.
    pub(super) async fn insert_user(&mut self, user: &NewUser, signed_in_at: Option<Timestamp>) -> Result<bool> {
        const SQL: &str = "INSERT INTO users
                 (id, name, email, email_key, password_hash, created_at, signed_in_at, email_verified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (email_key) DO NOTHING";
        let columns = [
            user.id.into(),
            user.name.as_str().into(),
            user.email.as_str().into(),
            user.email.key().into(),
            user.password_hash.as_ref().map(PasswordHash::expose).into(),
            user.created_at.into(),
            signed_in_at.into(),
            user.email_verified_at.into(),
        ];
        if self.execute(request(SQL), &columns).await? == 0 {
            return Ok(false);
        }
        if let Some(token) = &user.token {
            self.store_token(token).await?;
        }
        Ok(true)
    }

    /// Ends all sessions of a user but one, which continues under the secret `rotated` and was authenticated at the time that its row
    /// has. Returns false if that session has ended.
    pub(super) async fn keep_only_session(
        &mut self,
        current: OwnedSession,
        rotated: SessionSecretHash,
    ) -> Result<bool> {
        const ROTATE: &str = "UPDATE sessions SET id_hash = $3 WHERE user_id = $1 AND id_hash = $2";
        let (user_id, current) = (current.user_id, current.secret_hash);
        self.end_other_sessions(user_id, current).await?;
        let args = [user_id.into(), (&current).into(), (&rotated).into()];
        Ok(self.execute(request(ROTATE), &args).await? > 0)
    }

    /// Notes a sign-in to the account of a session. Returns false if the credentials were changed since version `checked`, the account is
    /// disabled, or its identity or its provider allows the session no more. It comes before the session: it waits for a concurrent change of the row and then sees it, so that no session of
    /// old credentials outlives the change.
    pub(super) async fn note_sign_in(&mut self, checked: CredentialsVersion, session: &NewSession) -> Result<bool> {
        const SQL: Sql = request(
            "UPDATE users SET signed_in_at = $3 WHERE id = $1 AND credentials_version = $2 AND disabled_at IS NULL",
        );
        let args = [session.user_id.into(), checked.0.into(), session.created_at.into()];
        if self.execute(SQL, &args).await? == 0 {
            return Ok(false);
        }
        match &session.provider {
            Some(provider) => self.may_begin_at(provider, session.user_id, session.created_at).await,
            None => Ok(true),
        }
    }

    /// Whether a session of this user may begin at a provider: its identity is still connected, and the provider has not ended it.
    pub(super) async fn may_begin_at(
        &mut self,
        provider: &SessionProvider,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<bool> {
        Ok(self.is_connected(user_id, provider).await? && !self.is_ended_by_provider(provider, now).await?)
    }

    /// Ends all sessions of a user, also those of the former system, and all one-time tokens but those that undo a change of address.
    async fn end_everything_of(&mut self, id: UserId, now: Timestamp) -> Result<()> {
        self.end_legacy_sessions_of(id, now).await?;
        self.end_all_sessions_of(id).await?;
        self.delete_tokens_of(id).await
    }

    /// Locks the row of a user against deletion until the transaction ends, and returns whether there is one.
    pub(super) async fn lock_user(&mut self, id: UserId) -> Result<bool> {
        const LOCK: Sql = request("UPDATE users SET disabled_at = disabled_at WHERE id = $1");
        Ok(self.execute(LOCK, &[id.into()]).await? > 0)
    }
}

impl Store {
    /// Creates an account, together with its first session if the user registers it themselves. `ended` are the previous
    /// sessions of their browser.
    pub(crate) async fn create_user(
        &self,
        user: &NewUser,
        session: Option<&NewSession>,
        ended: &[OwnedSession],
        event: NewEvent,
    ) -> Result<Committed<Result<(), EmailTakenError>>> {
        let mut tx = self.begin().await?;
        let made = tx.insert_user(user, session.map(|session| session.created_at)).await?;
        if !made {
            return tx.rollback_with(Err(EmailTakenError)).await;
        }
        let changed = match session {
            Some(session) => tx.replace_sessions(ended, session).await?.0,
            None => Vec::new(),
        };
        tx.write_event(event).await?;
        tx.commit_invalidating(Ok(()), &changed).await
    }

    /// Whether the address has an account.
    pub(crate) async fn has_account(&self, email: &EmailAddress) -> Result<bool> {
        self.credentials_by_email(email).await.map(|(found, _)| found.is_some())
    }

    /// The credentials of the account with this address, if there is one, and the costs of imported hashes, which a check of a
    /// password has either way.
    pub(crate) async fn credentials_by_email(&self, email: &EmailAddress) -> Result<(Option<Credentials>, HashCosts)> {
        // A row is returned whether or not the account exists: reading one takes microseconds, and an attacker can measure that.
        const SQL: &str = concat!(
            "SELECT ",
            credentials_columns!(),
            " FROM (SELECT 1) AS one LEFT JOIN users ON users.email_key = $1"
        );
        type Row =
            (Option<Uuid>, Option<i64>, Option<String>, Option<i64>, Option<i64>, Option<i64>, String, Option<i64>);
        let (id, version, password_hash, disabled_at, changed_at, factor, costs, epoch): Row =
            self.fetch_one(Pool::Read, request(SQL), &[email.key().into()]).await?;
        let hash_costs = hash_costs(&costs);
        let credentials = id
            .zip(version)
            .map(|(id, version)| (id, version, password_hash, disabled_at, changed_at, factor, costs, epoch).into());
        Ok((credentials, hash_costs))
    }

    pub(crate) async fn credentials_by_id(&self, id: UserId) -> Result<Option<Credentials>> {
        const SQL: &str = concat!("SELECT ", credentials_columns!(), " FROM users WHERE id = $1");
        let row: Option<CredentialsRow> = self.fetch_optional(Pool::Read, request(SQL), &[id.into()]).await?;
        Ok(row.map(Credentials::from))
    }

    /// Signs a user in who authenticated against the credentials of version `checked`, unless they were changed or the account
    /// was disabled meanwhile. `ended` are the previous sessions of the browser, whichever users they belong to. Returns how many
    /// longest unused sessions were ended to stay within the limit.
    pub(crate) async fn sign_in(
        &self,
        checked: CredentialsVersion,
        session: &NewSession,
        ended: &[OwnedSession],
        events: SignInEvents,
    ) -> Result<Committed<Option<u64>>> {
        let mut tx = self.begin().await?;
        if !tx.note_sign_in(checked, session).await? {
            return tx.rollback_with(None).await;
        }
        let (changed, unused) = tx.replace_sessions(ended, session).await?;
        tx.write_sign_in_events(events, unused).await?;
        tx.commit_invalidating(Some(unused), &changed).await
    }

    /// A page of users, ordered by address.
    pub(crate) async fn list_users(&self, query: &ListUsers, now: Timestamp) -> Result<Vec<User>> {
        const SQL: &str = select_users!(
            "WHERE email_key > $2
               AND ($3 = '' OR email_key LIKE $3 ESCAPE '!' OR lower(name) LIKE $3 ESCAPE '!')
               AND ($4 = '' OR EXISTS (SELECT 1 FROM user_groups WHERE user_id = users.id AND name = $4))
             ORDER BY email_key LIMIT $5"
        );
        let after = query.after.as_deref().unwrap_or_default().to_lowercase();
        let search = query.search.as_deref().map_or_else(String::new, containing);
        let args = [
            now.into(),
            after.as_str().into(),
            search.as_str().into(),
            query.group.as_deref().unwrap_or_default().into(),
            limit(query.limit.min(ListUsers::MAX_LIMIT)),
        ];
        let rows: Vec<UserRow> = self.fetch_all(Pool::Read, request(SQL), &args).await?;
        Ok(rows.into_iter().map(User::from).collect())
    }

    /// The user with this id.
    pub(crate) async fn user_by_id(&self, id: UserId, now: Timestamp) -> Result<Option<User>> {
        const SQL: &str = select_users!("WHERE id = $2");
        let row: Option<UserRow> = self.fetch_optional(Pool::Read, request(SQL), &[now.into(), id.into()]).await?;
        Ok(row.map(User::from))
    }

    /// The account with this address.
    pub(crate) async fn user_by_email(&self, email: &EmailAddress, now: Timestamp) -> Result<Option<User>> {
        const SQL: &str = select_users!("WHERE email_key = $2");
        let row: Option<UserRow> =
            self.fetch_optional(Pool::Read, request(SQL), &[now.into(), email.key().into()]).await?;
        Ok(row.map(User::from))
    }

    /// Disables an account and ends all its sessions, or enables it again.
    pub(crate) async fn set_disabled(
        &self,
        id: UserId,
        disabled_at: Option<Timestamp>,
        last: LastAdministrator,
        event: NewEvent,
    ) -> Result<Committed<Result<(), LastAdministratorError>>> {
        let mut tx = self.begin().await?;
        if disabled_at.is_some()
            && let Err(error) = tx.check_last_administrator(id, last).await?
        {
            return tx.rollback_with(Err(error)).await;
        }
        let changed = tx
            .execute(request("UPDATE users SET disabled_at = $2 WHERE id = $1"), &[id.into(), disabled_at.into()])
            .await?;
        if disabled_at.is_some() {
            tx.end_legacy_sessions_of(id, event.time).await?;
            tx.execute(request("DELETE FROM sessions WHERE user_id = $1"), &[id.into()]).await?;
            tx.delete_sign_ins_under_way(id).await?;
        }
        if changed > 0 {
            tx.write_event(event).await?;
        }
        tx.commit_invalidating(Ok(()), &[InvalidationScope::User(id)]).await
    }

    /// Marks the address of an account as verified, unless it already is.
    pub(crate) async fn verify_email(&self, id: UserId, now: Timestamp, event: NewEvent) -> Result<Committed<()>> {
        let mut tx = self.begin().await?;
        let verified = tx
            .execute(
                request("UPDATE users SET email_verified_at = $2 WHERE id = $1 AND email_verified_at IS NULL"),
                &[id.into(), now.into()],
            )
            .await?;
        if verified > 0 {
            tx.write_event(event).await?;
        }
        tx.commit_invalidating((), &[InvalidationScope::User(id)]).await
    }

    /// Deletes an account with its sessions, one-time tokens and unsent mails, its counts of attempts, and the content of its events.
    pub(crate) async fn delete_user(
        &self,
        id: UserId,
        last: LastAdministrator,
        event: NewEvent,
    ) -> Result<Committed<Result<(), LastAdministratorError>>> {
        const DELETE: &str = "DELETE FROM users WHERE id = $1 RETURNING email";
        let mut tx = self.begin().await?;
        if let Err(error) = tx.check_last_administrator(id, last).await? {
            return tx.rollback_with(Err(error)).await;
        }
        let deleted: Option<(String,)> = tx.fetch_optional(request(DELETE), &[id.into()]).await?;
        if let Some((email,)) = deleted {
            let account = EmailAddress::parse(&email).map(|email| AttemptKey::account(&email));
            tx.execute(request("DELETE FROM failed_sign_ins WHERE user_id = $1"), &[id.into()]).await?;
            for key in account.into_iter().chain([AttemptKey::user(id), AttemptKey::codes_of(id)]) {
                tx.delete_attempts(&key).await?;
            }
            tx.erase_events(id, usize::MAX, event).await?;
        }
        tx.commit_invalidating(Ok(()), &[InvalidationScope::User(id)]).await
    }

    /// Replaces a hash by one of the same password that was made with other settings.
    pub(crate) async fn replace_hash(&self, id: UserId, old: &PasswordHash, new: &PasswordHash) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.execute(
            request(concat!("UPDATE users SET ", set_password!("$3"), " WHERE id = $1 AND password_hash = $2")),
            &[id.into(), old.expose().into(), new.expose().into()],
        )
        .await?;
        tx.commit().await
    }

    /// Changes the password of a user who authenticated at `authenticated_at`, against the credentials of version `checked`, ends all
    /// other sessions, and gives the session `current` the new hash `rotated`. One-time tokens end. Returns false, with nothing done, if the credentials were changed
    /// or the session ended meanwhile. Entries of device cookies that were issued for this user before `now` no longer count.
    pub(crate) async fn change_password(
        &self,
        id: UserId,
        checked: CredentialsVersion,
        new: &PasswordHash,
        (current, rotated): (SessionSecretHash, SessionSecretHash),
        (now, authenticated_at): (Timestamp, Timestamp),
        event: NewEvent,
    ) -> Result<Committed<bool>> {
        const CHANGE: &str = concat!(
            "UPDATE users SET ",
            set_password!("$3"),
            ", credentials_changed_at = $4, credentials_version = credentials_version + 1
             WHERE id = $1 AND credentials_version = $2 AND disabled_at IS NULL"
        );
        const ROTATE: &str =
            "UPDATE sessions SET id_hash = $3, authenticated_at = $4 WHERE user_id = $1 AND id_hash = $2";
        let mut tx = self.begin().await?;
        let changed =
            tx.execute(request(CHANGE), &[id.into(), checked.0.into(), new.expose().into(), now.into()]).await?;
        tx.end_other_sessions(id, current).await?;
        let kept = [id.into(), (&current).into(), (&rotated).into(), authenticated_at.into()];
        let kept = tx.execute(request(ROTATE), &kept).await?;
        if changed == 0 || kept == 0 {
            return tx.rollback_with(false).await;
        }
        tx.delete_tokens_of(id).await?;
        tx.write_event(event).await?;
        tx.commit_invalidating(true, &[InvalidationScope::User(id)]).await
    }

    /// Sets the password of a user, as an operator does, and ends all sessions, one-time tokens, device cookies and counts of wrong
    /// passwords of the account.
    pub(crate) async fn set_password(
        &self,
        (id, email): (UserId, &EmailAddress),
        new: &PasswordHash,
        now: Timestamp,
        event: NewEvent,
    ) -> Result<Committed<()>> {
        const SET: &str = concat!(
            "UPDATE users SET ",
            set_password!("$2"),
            ", credentials_changed_at = $3, credentials_version = credentials_version + 1 WHERE id = $1"
        );
        let mut tx = self.begin().await?;
        if tx.execute(request(SET), &[id.into(), new.expose().into(), now.into()]).await? > 0 {
            for key in [AttemptKey::account(email), AttemptKey::user(id)] {
                tx.delete_attempts(&key).await?;
            }
            tx.end_everything_of(id, event.time).await?;
            tx.write_event(event).await?;
        }
        tx.commit_invalidating((), &[InvalidationScope::User(id)]).await
    }

    /// Makes `new` the address of a user, as an operator does, and ends all sessions, one-time tokens and device cookies. `undo` is for
    /// the former address, if it was verified. None, with nothing done, if the former address is another one.
    pub(crate) async fn replace_email(
        &self,
        id: UserId,
        (former, new): (&EmailAddress, &EmailAddress),
        (now, verified_at): (Timestamp, Option<Timestamp>),
        event: NewEvent,
        undo: Option<&NewOneTimeToken>,
    ) -> Result<Committed<Option<Result<(), EmailTakenError>>>> {
        const REPLACE: &str =
            "UPDATE users SET email = $3, email_key = $4, email_verified_at = $5, credentials_changed_at = $6,
                credentials_version = credentials_version + 1
             WHERE id = $1 AND email_key = $2";
        let mut tx = self.begin().await?;
        if tx.is_taken(new, id).await? {
            return tx.rollback_with(Some(Err(EmailTakenError))).await;
        }
        let (email, key) = (new.as_str().into(), new.key().into());
        let args = [id.into(), former.key().into(), email, key, verified_at.into(), now.into()];
        if tx.execute(request(REPLACE), &args).await? == 0 {
            return tx.rollback_with(None).await;
        }
        tx.end_everything_of(id, event.time).await?;
        if let Some(undo) = undo {
            tx.store_token(undo).await?;
        }
        tx.write_event(event).await?;
        tx.commit_invalidating(Some(Ok(())), &[InvalidationScope::User(id)]).await
    }

    /// A session of this user and the newest log position, read together. None if the session has ended or expired or the
    /// account is disabled.
    pub(crate) async fn live_session(
        &self,
        secret_hash: SessionSecretHash,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<Option<(LiveSession, Position)>> {
        const SQL: &str = concat!(
            "SELECT sessions.handle, sessions.methods, sessions.assurance, sessions.authenticated_at, users.id, users.name, users.email, users.email_verified_at, ",
            groups_column!(),
            ", users.created_at, users.legacy_id, (SELECT position FROM change_counter WHERE id = 1)
             FROM sessions JOIN users ON users.id = sessions.user_id
             WHERE sessions.id_hash = $1 AND sessions.user_id = $2 AND sessions.expires_at > $3
               AND users.disabled_at IS NULL"
        );
        let row: Option<LiveSessionRow> =
            self.fetch_optional(Pool::Read, request(SQL), &[(&secret_hash).into(), user_id.into(), now.into()]).await?;
        Ok(row.map(
            |(
                session_id,
                methods,
                assurance,
                authenticated_at,
                id,
                name,
                email,
                verified_at,
                groups,
                created_at,
                legacy_id,
                position,
            )| {
                let authentication = Authentication::new(
                    AuthenticationMethods::from_stored(&methods),
                    AssuranceLevel::from_stored(assurance),
                    from_db_time(authenticated_at),
                );
                let user = SessionUser::new(UserId::from_uuid(id), &name, &email, &groups, from_db_time(created_at));
                let user = user.with_email_verified(verified_at.is_some()).with_legacy_id(legacy_id.as_deref());
                (LiveSession { session_id, authentication, user }, Position(position))
            },
        ))
    }

    /// Whether a user has a session in which they authenticated at this time or later.
    pub(crate) async fn has_authenticated_since(&self, id: UserId, since: Timestamp) -> Result<bool> {
        const SQL: &str =
            "SELECT CAST(1 AS BIGINT) FROM sessions WHERE user_id = $1 AND authenticated_at >= $2 LIMIT 1";
        let found: Option<(i64,)> = self.fetch_optional(Pool::Read, request(SQL), &[id.into(), since.into()]).await?;
        Ok(found.is_some())
    }

    pub(crate) async fn change_name(&self, id: UserId, name: &DisplayName, event: NewEvent) -> Result<Committed<()>> {
        let mut tx = self.begin().await?;
        let changed =
            tx.execute(request("UPDATE users SET name = $2 WHERE id = $1"), &[id.into(), name.as_str().into()]).await?;
        if changed > 0 {
            tx.write_event(event).await?;
        }
        tx.commit_invalidating((), &[InvalidationScope::User(id)]).await
    }
}

/// The pattern of LIKE for texts that contain this one, with `!` as the escape character.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
