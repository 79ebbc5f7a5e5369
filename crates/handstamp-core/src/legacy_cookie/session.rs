//! Sessions of the old framework: an authentic one has no user until it is verified against the password hash.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{LegacyCookieError, LegacyKind};
use crate::Timestamp;

/// How far the clock of the old application may be ahead of ours.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The digest of a session of the old framework, by which the session is exchanged once. It is the same for all spellings of
/// its cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LegacyDigest {
    bytes: [u8; 32],
    is_of_a_copy: bool,
}

impl LegacyDigest {
    /// The first part of a digest that each signed copy of a session has by itself.
    const COPY: &[u8] = b"copy";

    pub(super) fn new(kind: LegacyKind, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new().chain_update(b"handstamp legacy session\0").chain_update(kind.name());
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self { bytes: hash.finalize().into(), is_of_a_copy: parts.first() == Some(&Self::COPY) }
    }

    /// The digest for the database.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether the session has another digest in each of its signed copies. Then only an end of all old sessions of the user ends it.
    pub const fn is_of_a_copy(&self) -> bool {
        self.is_of_a_copy
    }
}

/// A user of the old application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegacyUser {
    /// The primary key of the user, or what the settings name instead.
    Id(String),
    /// The column `fs_uniquifier` of Flask-Security, which identifies a user in sessions from its version 4 on. Version 3 puts
    /// the primary key there if the table has no such column.
    FsUniquifier(String),
}

impl LegacyUser {
    /// The text to look up in the column.
    pub fn text(&self) -> &str {
        match self {
            Self::Id(text) | Self::FsUniquifier(text) => text,
        }
    }
}

/// The session of an authentic cookie, or its key.
#[derive(Debug)]
pub enum LegacyCookie {
    /// The session itself.
    Session(UnverifiedSession),
    /// The key of a session in the store of the old application.
    Stored(StoredSessionKey),
}

impl LegacyCookie {
    /// The digest of the session.
    pub fn digest(&self) -> LegacyDigest {
        match self {
            Self::Session(session) => session.digest,
            Self::Stored(key) => key.digest,
        }
    }
}

/// The key of a session in the store of the old application. It signs in there, and is not printed.
pub struct StoredSessionKey {
    key: String,
    digest: LegacyDigest,
}

impl StoredSessionKey {
    pub(super) fn new(kind: LegacyKind, key: &str) -> Self {
        Self { key: key.to_owned(), digest: LegacyDigest::new(kind, &[b"stored", key.as_bytes()]) }
    }

    /// The text to look up: `session_key` in `django_session`, the session id of express-session, or `token` in the table
    /// `session` of better-auth.
    pub fn expose(&self) -> &str {
        &self.key
    }

    /// The digest of the session.
    pub fn digest(&self) -> LegacyDigest {
        self.digest
    }
}

/// Redacted.
impl fmt::Debug for StoredSessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredSessionKey(…)")
    }
}

/// A row of the store of the old application.
#[derive(Clone, Copy)]
pub struct StoredSession<'a> {
    /// `session_data` of Django, the JSON of express-session, or `userId` of better-auth.
    pub content: &'a str,
    /// `expire_date` of Django, or `expiresAt` of better-auth, which must be there. Stores of express-session may have it beside
    /// the JSON; the earlier of the two times counts.
    pub expires_at: Option<Timestamp>,
}

/// The comparison that a session must pass before its user is known.
pub(super) enum PasswordCheck {
    /// The framework does not tie its sessions to the password.
    Untied,
    /// Django's `_auth_user_hash`, and the keys that may have made it.
    Django { hash: Vec<u8>, keys: Vec<Hmac<Sha256>> },
    /// The first characters of the bcrypt hash, as Devise stores them.
    Devise { salt: String },
}

/// An authentic session, which may be one from before a change of the password.
pub struct UnverifiedSession {
    user: LegacyUser,
    check: PasswordCheck,
    digest: LegacyDigest,
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl UnverifiedSession {
    pub(super) fn new(user: LegacyUser, check: PasswordCheck, digest: LegacyDigest) -> Self {
        Self { user, check, digest, issued_at: None, expires_at: None }
    }

    pub(super) fn with_times(self, issued_at: Option<Timestamp>, expires_at: Option<Timestamp>) -> Self {
        Self { issued_at, expires_at, ..self }
    }

    pub(super) fn check_times(&self, now: Timestamp) -> Result<(), LegacyCookieError> {
        if self.issued_at.is_some_and(|issued_at| issued_at > now.after(MAX_CLOCK_SKEW)) {
            return Err(LegacyCookieError::NotYetValid);
        }
        if self.expires_at.is_some_and(|expires_at| now >= expires_at) {
            return Err(LegacyCookieError::Expired);
        }
        Ok(())
    }

    /// The user whose imported password hash [`verify`](Self::verify) takes. It is for that look-up alone, and
    /// proves nothing.
    pub fn user_to_look_up(&self) -> &LegacyUser {
        &self.user
    }

    /// Verifies the session against the text of the user's password hash as the old application had it. A hash that has
    /// replaced it since, as at a sign-in here, does not match. Kinds that do not tie sessions to the password do not read it.
    ///
    /// # Errors
    /// When the framework ties the session to a password, and there is no hash or another one.
    pub fn verify(self, password_hash: Option<&str>) -> Result<LegacySession, LegacyCookieError> {
        self.check.check(password_hash)?;
        let Self { user, digest, issued_at, expires_at, .. } = self;
        Ok(LegacySession { user, digest, issued_at, expires_at })
    }
}

/// Redacted.
impl fmt::Debug for UnverifiedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedSession(…)")
    }
}

impl PasswordCheck {
    /// The number of characters of a bcrypt hash up to the end of its salt.
    pub(super) const DEVISE_SALT: usize = 29;

    fn check(&self, password_hash: Option<&str>) -> Result<(), LegacyCookieError> {
        let matches = match (self, password_hash) {
            (Self::Untied, _) => true,
            (_, None) => return Err(LegacyCookieError::NoPasswordHash),
            (Self::Django { hash, keys }, Some(text)) => is_tagged(keys, text.as_bytes(), hash),
            (Self::Devise { salt }, Some(text)) => text
                .get(..Self::DEVISE_SALT)
                .is_some_and(|beginning| bool::from(beginning.as_bytes().ct_eq(salt.as_bytes()))),
        };
        if matches { Ok(()) } else { Err(LegacyCookieError::PasswordChanged) }
    }
}

/// Whether one of these keys has made the tag. Each comparison takes constant time.
pub(super) fn is_tagged<M: Mac + Clone>(keys: &[M], message: &[u8], tag: &[u8]) -> bool {
    keys.iter().any(|key| key.clone().chain_update(message).verify_slice(tag).is_ok())
}

/// The key of a MAC, of any length.
pub(super) fn mac<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// A session of the old framework that may be exchanged for one of ours, once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LegacySession {
    /// The user who is signed in.
    pub user: LegacyUser,
    /// By this the session is exchanged once.
    pub digest: LegacyDigest,
    /// When the framework has last written the session, if it says so.
    pub issued_at: Option<Timestamp>,
    /// When the session expires, if the framework says so.
    pub expires_at: Option<Timestamp>,
}
