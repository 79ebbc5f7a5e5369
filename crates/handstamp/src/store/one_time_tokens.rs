//! The table of one-time tokens: what mailed links and codes allow, until the act that they allow deletes them.

use handstamp_core::{EmailAddress, OneTimeId, OneTimePurpose, Timestamp, UserId};
use uuid::Uuid;

use super::statement::{Pool, Sql, Tx, limit, maintenance, request};
use super::{Error, Result, Store, from_db_time};
use crate::model::{BrowserHash, ListedToken, NewEvent, NewOneTimeToken, OneTimeToken, OutboxMessage};

/// A query for the columns of a [`Row`].
macro_rules! select_tokens {
    ($rest:literal) => {
        concat!("SELECT id, user_id, email, content, browser FROM one_time_tokens ", $rest)
    };
}

type Row = (Vec<u8>, Option<Uuid>, String, String, Option<Vec<u8>>);

fn token((id, user_id, email, content, browser): Row) -> Result<OneTimeToken> {
    let browser = browser.map(|bytes| bytes.try_into().map(BrowserHash)).transpose();
    Ok(OneTimeToken {
        id: OneTimeId::from_bytes(id.try_into().map_err(|_| Error::decode("a one-time token has an id of 16 bytes"))?),
        user_id: user_id.map(UserId::from_uuid),
        email: EmailAddress::parse(&email).map_err(|_| Error::decode("a one-time token is about an address"))?,
        content,
        browser: browser.map_err(|_| Error::decode("the hash of a browser has 32 bytes"))?,
    })
}

fn number(purpose: OneTimePurpose) -> super::statement::Arg<'static> {
    i64::from(purpose.number()).into()
}

impl Tx<'_> {
    /// Stores a token, and deletes the older ones of the same user and purpose. A token to undo a change of the address outlives
    /// newer ones: each is about another address. So does a sign-in that waits for its second factor: a form that is sent twice makes two.
    pub(super) async fn store_token(&mut self, new: &NewOneTimeToken) -> Result<()> {
        const DELETE_OLDER: Sql = request("DELETE FROM one_time_tokens WHERE user_id = $1 AND purpose = $2");
        const INSERT: Sql = request(
            "INSERT INTO one_time_tokens (id, purpose, user_id, email, email_key, content, browser, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        );
        if let Some(user_id) = new.user_id
            && !matches!(
                new.purpose,
                OneTimePurpose::UndoEmailChange | OneTimePurpose::PendingSignIn | OneTimePurpose::RepeatedSignIn
            )
        {
            self.execute(DELETE_OLDER, &[user_id.into(), number(new.purpose)]).await?;
        }
        let columns = [
            new.id.as_bytes().as_slice().into(),
            number(new.purpose),
            new.user_id.into(),
            new.email.as_str().into(),
            new.email.key().into(),
            new.content.as_str().into(),
            new.browser.as_ref().map(|browser| browser.0.as_slice()).into(),
            new.created_at.into(),
            new.expires_at.into(),
        ];
        self.execute(INSERT, &columns).await.map(drop)
    }

    /// Deletes a token that is still valid, and returns it: the one act that it allows. Of many at once one gets it.
    pub(super) async fn consume_token(
        &mut self,
        id: OneTimeId,
        purpose: OneTimePurpose,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>> {
        const SQL: Sql = request(
            "DELETE FROM one_time_tokens WHERE id = $1 AND purpose = $2 AND expires_at > $3
             RETURNING id, user_id, email, content, browser",
        );
        let args = [id.as_bytes().as_slice().into(), number(purpose), now.into()];
        self.fetch_optional(SQL, &args).await?.map(token).transpose()
    }

    /// Deletes the tokens of a user whose credentials have changed. Those that undo a change of the address stay: the owner may need
    /// them most when another person has changed the password.
    pub(super) async fn delete_tokens_of(&mut self, user_id: UserId) -> Result<()> {
        const SQL: Sql = request("DELETE FROM one_time_tokens WHERE user_id = $1 AND purpose <> $2");
        self.execute(SQL, &[user_id.into(), number(OneTimePurpose::UndoEmailChange)]).await.map(drop)
    }

    /// Deletes all tokens of a user.
    pub(super) async fn delete_all_tokens_of(&mut self, user_id: UserId) -> Result<()> {
        self.execute(request("DELETE FROM one_time_tokens WHERE user_id = $1"), &[user_id.into()]).await.map(drop)
    }

    /// Deletes the tokens of this purpose about an address.
    pub(super) async fn delete_tokens_about(&mut self, email_key: &str, purpose: OneTimePurpose) -> Result<()> {
        const SQL: Sql = request("DELETE FROM one_time_tokens WHERE email_key = $1 AND purpose = $2");
        self.execute(SQL, &[email_key.into(), number(purpose)]).await.map(drop)
    }
}

impl Store {
    /// Stores a token that an operator has made: for a user, or for a person who is invited.
    pub(crate) async fn store_token(&self, new: &NewOneTimeToken, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        if let Some(user_id) = new.user_id {
            tx.lock_user(user_id).await?;
        }
        tx.store_token(new).await?;
        tx.write_event(event).await?;
        tx.commit().await
    }

    /// A token that is still valid. It stays.
    pub(crate) async fn token(
        &self,
        id: OneTimeId,
        purpose: OneTimePurpose,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>> {
        const SQL: &str = select_tokens!("WHERE id = $1 AND purpose = $2 AND expires_at > $3");
        let args = [id.as_bytes().as_slice().into(), number(purpose), now.into()];
        self.fetch_optional(Pool::Read, request(SQL), &args).await?.map(token).transpose()
    }

    /// The newest token of a user and purpose that is still valid.
    pub(crate) async fn token_of(
        &self,
        user_id: UserId,
        purpose: OneTimePurpose,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>> {
        const SQL: &str = select_tokens!(
            "WHERE user_id = $1 AND purpose = $2 AND expires_at > $3 ORDER BY created_at DESC, id LIMIT 1"
        );
        let args = [user_id.into(), number(purpose), now.into()];
        self.fetch_optional(Pool::Read, request(SQL), &args).await?.map(token).transpose()
    }

    /// The newest token of this purpose that is bound to a browser and still valid.
    pub(crate) async fn token_of_browser(
        &self,
        browser: BrowserHash,
        purpose: OneTimePurpose,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>> {
        const SQL: &str = select_tokens!(
            "WHERE browser = $1 AND purpose = $2 AND expires_at > $3 ORDER BY created_at DESC, id LIMIT 1"
        );
        let args = [browser.0.as_slice().into(), number(purpose), now.into()];
        self.fetch_optional(Pool::Read, request(SQL), &args).await?.map(token).transpose()
    }

    /// The tokens of a user that are still valid, newest first.
    pub(crate) async fn tokens_of(&self, user_id: UserId, now: Timestamp) -> Result<Vec<ListedToken>> {
        const SQL: &str = "SELECT purpose, email, created_at, expires_at FROM one_time_tokens
             WHERE user_id = $1 AND expires_at > $2 ORDER BY created_at DESC, id";
        let args = [user_id.into(), now.into()];
        let rows: Vec<(i64, String, i64, i64)> = self.fetch_all(Pool::Read, request(SQL), &args).await?;
        let listed = |(purpose, email, created_at, expires_at): (i64, String, i64, i64)| {
            let purpose = u16::try_from(purpose).ok().and_then(OneTimePurpose::from_number)?;
            Some(ListedToken {
                purpose,
                email,
                created_at: from_db_time(created_at),
                expires_at: from_db_time(expires_at),
            })
        };
        Ok(rows.into_iter().filter_map(listed).collect())
    }

    /// Counts a code that is about to be compared with that of a token. Returns false, and deletes the token, once `most` have been
    /// counted.
    pub(crate) async fn count_code(&self, id: OneTimeId, most: u32) -> Result<bool> {
        const COUNT: Sql =
            request("UPDATE one_time_tokens SET wrong_codes = wrong_codes + 1 WHERE id = $1 AND wrong_codes < $2");
        const DELETE: Sql = request("DELETE FROM one_time_tokens WHERE id = $1");
        let id = id.as_bytes().as_slice();
        let mut tx = self.begin().await?;
        let counted = tx.execute(COUNT, &[id.into(), i64::from(most).into()]).await? > 0;
        if !counted {
            tx.execute(DELETE, &[id.into()]).await?;
        }
        tx.commit().await?;
        Ok(counted)
    }

    /// Prepares the token of a message that is about to be sent: it is valid from now on, until `expires_at`. Returns false if the
    /// message is out of date: its token was used or has ended, or a newer one of the same user and purpose exists.
    ///
    /// A request is not bound to a user until its first try, which stores the token `new`.
    pub(crate) async fn prepare_token(
        &self,
        message: &OutboxMessage,
        new: Option<&NewOneTimeToken>,
        expires_at: Timestamp,
    ) -> Result<bool> {
        const EXTEND: Sql = request("UPDATE one_time_tokens SET expires_at = $2 WHERE id = $1");
        const NEWER: Sql = request(
            "SELECT CAST(1 AS BIGINT) FROM one_time_tokens WHERE user_id = $1 AND purpose = $2 AND created_at > $3 LIMIT 1",
        );
        const BIND: Sql = request("UPDATE outbox SET user_id = $2 WHERE id = $1");
        let Some(id) = message.token_id else { return Ok(false) };
        let mut tx = self.begin().await?;
        if tx.execute(EXTEND, &[id.as_bytes().as_slice().into(), expires_at.into()]).await? > 0 {
            return tx.commit().await.map(|()| true);
        }
        let Some(new) = new.filter(|_| message.user_id.is_none()) else {
            return tx.rollback().await.map(|()| false);
        };
        if let Some(user_id) = new.user_id {
            let args = [user_id.into(), number(new.purpose), new.created_at.into()];
            let newer: Option<(i64,)> = tx.fetch_optional(NEWER, &args).await?;
            if newer.is_some() {
                return tx.rollback().await.map(|()| false);
            }
            tx.execute(BIND, &[message.id.into(), user_id.into()]).await?;
        }
        tx.store_token(new).await?;
        tx.commit().await.map(|()| true)
    }

    /// Deletes up to `most` expired tokens and returns how many.
    pub(crate) async fn purge_tokens(&self, now: Timestamp, most: usize) -> Result<u64> {
        const SQL: Sql = maintenance(
            "DELETE FROM one_time_tokens WHERE id IN (SELECT id FROM one_time_tokens WHERE expires_at <= $1 LIMIT $2)",
        );
        let mut tx = self.begin().await?;
        let purged = tx.execute(SQL, &[now.into(), limit(most)]).await?;
        tx.commit().await?;
        Ok(purged)
    }
}
