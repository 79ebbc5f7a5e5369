//! The acts that one-time tokens allow. Each uses its token in the transaction of the act, so of many requests at once one succeeds.

use handstamp_core::{
    AttemptKey, EmailAddress, GroupName, OneTimeId, OneTimePurpose, PasswordHash, SessionSecretHash, Timestamp, UserId,
};
use uuid::Uuid;

use super::statement::{Sql, Tx, request};
use super::users::set_password;
use super::{Committed, EmailTakenError, InvalidationScope, Result, Store};
use crate::model::{
    CredentialsVersion, NewEvent, NewOneTimeToken, NewSession, NewUser, OneTimeToken, OwnedSession, SignInEvents,
};

/// The use of a one-time token.
#[derive(Clone, Copy)]
pub(crate) struct TokenUse {
    pub(crate) id: OneTimeId,
    pub(crate) now: Timestamp,
}

/// The outcome of verifying an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    /// The address was verified before.
    Before,
    /// The account is as it was, with a verified address.
    Kept,
    /// The address was verified for the first time in another browser than that of the account: the sessions and the password have
    /// ended.
    Emptied,
}

/// The state of an account that an act of a token depends on.
struct Account {
    verified: bool,
    disabled: bool,
}

impl Tx<'_> {
    /// Uses a token of a user, whose address is still the one that the token is about.
    async fn use_token(
        &mut self,
        token: TokenUse,
        purpose: OneTimePurpose,
    ) -> Result<Option<(OneTimeToken, UserId, Account)>> {
        const SQL: Sql = request("SELECT email_verified_at, disabled_at FROM users WHERE id = $1 AND email_key = $2");
        let Some(used) = self.consume_token(token.id, purpose, token.now).await? else { return Ok(None) };
        let Some(user_id) = used.user_id else { return Ok(None) };
        let row: Option<(Option<i64>, Option<i64>)> =
            self.fetch_optional(SQL, &[user_id.into(), used.email.key().into()]).await?;
        let account =
            row.map(|(verified, disabled)| Account { verified: verified.is_some(), disabled: disabled.is_some() });
        Ok(account.map(|account| (used, user_id, account)))
    }

    /// Ends what was there before the first confirmation of an address: sessions, the password, second factors, passkeys, identities,
    /// and all other tokens. So an account that another person has prepared for this address is worth nothing to them.
    async fn end_all_before_confirmation(&mut self, user_id: UserId, now: Timestamp) -> Result<()> {
        const SQL: Sql = request(concat!(
            "UPDATE users SET ",
            set_password!("NULL"),
            ", email_verified_at = $2, credentials_changed_at = $2, credentials_version = credentials_version + 1
             WHERE id = $1"
        ));
        self.execute(SQL, &[user_id.into(), now.into()]).await?;
        self.delete_factors(user_id).await?;
        self.delete_passkeys_of(user_id).await?;
        self.delete_identities_of(user_id).await?;
        self.end_all_sessions_of(user_id).await?;
        self.delete_all_tokens_of(user_id).await
    }

    pub(super) async fn end_all_sessions_of(&mut self, user_id: UserId) -> Result<()> {
        self.execute(request("DELETE FROM sessions WHERE user_id = $1"), &[user_id.into()]).await.map(drop)
    }
}

impl Store {
    /// Sets a new password by a reset link, and ends all sessions, other tokens, device cookies and counts of wrong passwords of the
    /// account. The address is verified by it. Returns false if the token was used or has ended.
    pub(crate) async fn reset_password(
        &self,
        token: TokenUse,
        new: &PasswordHash,
        event: NewEvent,
    ) -> Result<Committed<bool>> {
        const SQL: Sql = request(concat!(
            "UPDATE users SET ",
            set_password!("$2"),
            ", credentials_changed_at = $3, email_verified_at = COALESCE(email_verified_at, $3),
                credentials_version = credentials_version + 1
             WHERE id = $1"
        ));
        let mut tx = self.begin().await?;
        let used = tx.use_token(token, OneTimePurpose::ResetPassword).await?;
        let Some((used, user_id, account)) = used.filter(|(_, _, account)| !account.disabled) else {
            return tx.rollback_with(false).await;
        };
        tx.execute(SQL, &[user_id.into(), new.expose().into(), token.now.into()]).await?;
        for key in [AttemptKey::account(&used.email), AttemptKey::user(user_id)] {
            tx.delete_attempts(&key).await?;
        }
        tx.end_all_sessions_of(user_id).await?;
        if account.verified {
            tx.delete_tokens_of(user_id).await?;
        } else {
            // Another person may have made the account.
            tx.delete_all_tokens_of(user_id).await?;
            tx.delete_factors(user_id).await?;
            tx.delete_passkeys_of(user_id).await?;
            tx.delete_identities_of(user_id).await?;
        }
        tx.write_event(event).await?;
        tx.commit_invalidating(true, &[InvalidationScope::User(user_id)]).await
    }

    /// Verifies the address of an account. If that is the first time, and `keep` is not its user, it ends the sessions and the password, and
    /// stores the token `reset` to set a new one.
    pub(crate) async fn verify_email_by_token(
        &self,
        token: TokenUse,
        keep: Option<UserId>,
        reset: &NewOneTimeToken,
        event: NewEvent,
    ) -> Result<Committed<Option<Verified>>> {
        const VERIFY: Sql = request("UPDATE users SET email_verified_at = $2 WHERE id = $1");
        let mut tx = self.begin().await?;
        let used = tx.use_token(token, OneTimePurpose::VerifyEmail).await?;
        let Some((_, user_id, account)) = used.filter(|(_, _, account)| !account.disabled) else {
            return tx.rollback_with(None).await;
        };
        if account.verified {
            return tx.commit_with(Some(Verified::Before)).await;
        }
        let verified = if keep == Some(user_id) {
            tx.execute(VERIFY, &[user_id.into(), token.now.into()]).await?;
            Verified::Kept
        } else {
            tx.end_all_before_confirmation(user_id, token.now).await?;
            tx.store_token(reset).await?;
            Verified::Emptied
        };
        tx.write_event(event).await?;
        tx.commit_invalidating(Some(verified), &[InvalidationScope::User(user_id)]).await
    }

    /// Creates the account of a confirmed registration, with its first session in the browser that registered. None if the token was used
    /// or has ended.
    pub(crate) async fn confirm_registration(
        &self,
        token: TokenUse,
        user: &NewUser,
        session: Option<&NewSession>,
        ended: &[OwnedSession],
        event: NewEvent,
    ) -> Result<Committed<Option<Result<(), EmailTakenError>>>> {
        let mut tx = self.begin().await?;
        if tx.consume_token(token.id, OneTimePurpose::ConfirmRegistration, token.now).await?.is_none() {
            return tx.rollback_with(None).await;
        }
        tx.delete_tokens_about(user.email.key(), OneTimePurpose::ConfirmRegistration).await?;
        if !tx.insert_user(user, session.map(|session| session.created_at)).await? {
            // The token is gone for good: the address has an account.
            return tx.commit_with(Some(Err(EmailTakenError))).await;
        }
        let changed = match session {
            Some(session) => tx.replace_sessions(ended, session).await?.0,
            None => Vec::new(),
        };
        tx.write_event(event).await?;
        tx.commit_invalidating(Some(Ok(())), &changed).await
    }

    /// Accepts an invitation: creates the account, or takes over the one with this id, whose address was never verified, and begins a
    /// session. None if the token was used or has ended.
    pub(crate) async fn accept_invitation(
        &self,
        token: TokenUse,
        user: &NewUser,
        groups: &[GroupName],
        session: &NewSession,
        ended: &[OwnedSession],
        event: NewEvent,
    ) -> Result<Committed<Option<Result<(), EmailTakenError>>>> {
        const FIND: Sql = request("SELECT id, email_verified_at, disabled_at FROM users WHERE email_key = $1");
        const TAKE_OVER: Sql =
            request(concat!("UPDATE users SET name = $2, ", set_password!("$3"), ", signed_in_at = $4 WHERE id = $1"));
        const ADD_GROUP: Sql =
            request("INSERT INTO user_groups (user_id, name) VALUES ($1, $2) ON CONFLICT (user_id, name) DO NOTHING");
        type Found = (Uuid, Option<i64>, Option<i64>);
        let mut tx = self.begin().await?;
        if tx.consume_token(token.id, OneTimePurpose::AcceptInvitation, token.now).await?.is_none() {
            return tx.rollback_with(None).await;
        }
        tx.delete_tokens_about(user.email.key(), OneTimePurpose::AcceptInvitation).await?;
        if !tx.insert_user(user, Some(token.now)).await? {
            let found: Found = tx.fetch_one(FIND, &[user.email.key().into()]).await?;
            if found != (user.id.as_uuid(), None, None) {
                return tx.rollback_with(Some(Err(EmailTakenError))).await;
            }
            tx.end_all_before_confirmation(user.id, token.now).await?;
            let hash = user.password_hash.as_ref().map(PasswordHash::expose);
            let args = [user.id.into(), user.name.as_str().into(), hash.into(), token.now.into()];
            tx.execute(TAKE_OVER, &args).await?;
        }
        for group in groups {
            tx.execute(ADD_GROUP, &[user.id.into(), group.as_str().into()]).await?;
        }
        let (mut changed, _) = tx.replace_sessions(ended, session).await?;
        changed.push(InvalidationScope::User(user.id));
        tx.write_event(event).await?;
        tx.commit_invalidating(Some(Ok(())), &changed).await
    }

    /// Makes the address of a token that of its user, who has confirmed it in the session `current`. All other sessions, tokens and
    /// device cookies end; the session continues under the secret `rotated`. `undo` is for the former address, if it was
    /// verified. None if the token or the session has ended, or the former address is another one.
    pub(crate) async fn change_email(
        &self,
        token: TokenUse,
        former: &EmailAddress,
        new: &EmailAddress,
        (current, rotated): (OwnedSession, SessionSecretHash),
        event: NewEvent,
        undo: Option<&NewOneTimeToken>,
    ) -> Result<Committed<Option<Result<(), EmailTakenError>>>> {
        const CHANGE: Sql = request(
            "UPDATE users SET email = $3, email_key = $4, email_verified_at = $5, credentials_changed_at = $5,
                credentials_version = credentials_version + 1
             WHERE id = $1 AND email_key = $2 AND disabled_at IS NULL",
        );
        let user_id = current.user_id;
        let mut tx = self.begin().await?;
        let used = tx.consume_token(token.id, OneTimePurpose::ChangeEmail, token.now).await?;
        if used.is_none_or(|used| used.user_id != Some(user_id)) {
            return tx.rollback_with(None).await;
        }
        if tx.is_taken(new, user_id).await? {
            return tx.rollback_with(Some(Err(EmailTakenError))).await;
        }
        let args = [user_id.into(), former.key().into(), new.as_str().into(), new.key().into(), token.now.into()];
        let changed = tx.execute(CHANGE, &args).await?;
        let kept = tx.keep_only_session(current, rotated).await?;
        if changed == 0 || !kept {
            return tx.rollback_with(None).await;
        }
        tx.delete_tokens_of(user_id).await?;
        if let Some(undo) = undo {
            tx.store_token(undo).await?;
        }
        tx.write_event(event).await?;
        tx.commit_invalidating(Some(Ok(())), &[InvalidationScope::User(user_id)]).await
    }

    /// Gives an account its former address again, by the link in the notice to that address. The sessions, the password and all tokens
    /// end, since another person may know them, and the token `reset` sets a new password. None if the token was used or has ended.
    pub(crate) async fn undo_email_change(
        &self,
        token: TokenUse,
        reset: &NewOneTimeToken,
        event: NewEvent,
    ) -> Result<Committed<Option<Result<(), EmailTakenError>>>> {
        const UNDO: Sql = request("UPDATE users SET email = $2, email_key = $3 WHERE id = $1");
        let mut tx = self.begin().await?;
        let used = tx.consume_token(token.id, OneTimePurpose::UndoEmailChange, token.now).await?;
        let Some((user_id, email)) = used.and_then(|used| Some((used.user_id?, used.email))) else {
            return tx.rollback_with(None).await;
        };
        if tx.is_taken(&email, user_id).await? {
            return tx.rollback_with(Some(Err(EmailTakenError))).await;
        }
        tx.execute(UNDO, &[user_id.into(), email.as_str().into(), email.key().into()]).await?;
        tx.end_all_before_confirmation(user_id, token.now).await?;
        tx.store_token(reset).await?;
        tx.write_event(event).await?;
        tx.commit_invalidating(Some(Ok(())), &[InvalidationScope::User(user_id)]).await
    }

    /// Signs in by the code of a token, which is used. An address that was never verified is verified by it, and what was there before
    /// ends. None if the token was used or has ended, the credentials were changed, or the account is disabled or has a second factor.
    pub(crate) async fn sign_in_by_token(
        &self,
        token: TokenUse,
        checked: CredentialsVersion,
        session: &NewSession,
        ended: &[OwnedSession],
        events: SignInEvents,
    ) -> Result<Committed<Option<u64>>> {
        let user_id = session.user_id;
        let mut tx = self.begin().await?;
        let used = tx.use_token(token, OneTimePurpose::SignIn).await?;
        let Some((_, _, account)) = used.filter(|(_, of, _)| *of == user_id) else {
            return tx.rollback_with(None).await;
        };
        if !tx.note_sign_in(checked, session).await? {
            return tx.rollback_with(None).await;
        }
        if account.verified && tx.has_totp(user_id).await? {
            return tx.rollback_with(None).await;
        }
        if !account.verified {
            tx.end_all_before_confirmation(user_id, token.now).await?;
        }
        let (mut changed, unused) = tx.replace_sessions(ended, session).await?;
        if !account.verified {
            changed.push(InvalidationScope::User(user_id));
        }
        tx.write_sign_in_events(events, unused).await?;
        tx.commit_invalidating(Some(unused), &changed).await
    }
}

impl Tx<'_> {
    /// Whether an address is that of another account.
    pub(super) async fn is_taken(&mut self, email: &EmailAddress, user_id: UserId) -> Result<bool> {
        const SQL: Sql = request("SELECT CAST(1 AS BIGINT) FROM users WHERE email_key = $1 AND id <> $2");
        let other: Option<(i64,)> = self.fetch_optional(SQL, &[email.key().into(), user_id.into()]).await?;
        Ok(other.is_some())
    }
}
