//! Users: the account as operators and applications see it, the user of a session, and an account to be created.

use std::sync::Arc;

use handstamp_core::{DisplayName, EmailAddress, PasswordHash, Timestamp, UserId};
use uuid::Uuid;

use super::NewOneTimeToken;

/// An account as an operator sees it. With the feature `serde` it can be serialized, in the format of `handstamp user show --json`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
    /// The id of the user in the system that the user was imported from, if there was one.
    pub legacy_id: Option<String>,
    /// The language of the user's mails, as a tag of RFC 5646.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) language: String,
}

/// The user of a session. A node may cache a million of these, so their texts share one allocation.
#[derive(Clone, Debug)]
pub(crate) struct SessionUser {
    pub(crate) id: UserId,
    pub(crate) created_at: Timestamp,
    /// The name, followed by the address, the id in the former system, and the groups.
    text: Arc<str>,
    /// The lengths of the name, of the address and of the id in the former system, which is empty if there is none.
    name_bytes: u32,
    email_bytes: u16,
    legacy_id_bytes: u8,
    /// Whether a link, a code or an operator has verified the address. Otherwise it is only what the user entered.
    pub(crate) email_verified: bool,
}

impl SessionUser {
    /// A user whose address is not verified. The groups are in order, separated by commas.
    pub(crate) fn new(id: UserId, name: &str, email: &str, groups: &str, created_at: Timestamp) -> Self {
        let name_bytes = name.len().try_into().expect("a name has 100 characters at most");
        let email_bytes = email.len().try_into().expect("an address has 254 bytes at most");
        let text = [name, email, groups].concat().into();
        Self { id, created_at, text, name_bytes, email_bytes, legacy_id_bytes: 0, email_verified: false }
    }

    /// The same user, with this id in the system that the user was imported from.
    pub(crate) fn with_legacy_id(self, legacy_id: Option<&str>) -> Self {
        let Some(legacy_id) = legacy_id else { return self };
        let text = [self.name(), self.email(), legacy_id, self.groups()].concat().into();
        let legacy_id_bytes = legacy_id.len().try_into().expect("such an id has 200 bytes at most");
        Self { text, legacy_id_bytes, ..self }
    }

    /// The same user, whose address is verified or not.
    pub(crate) fn with_email_verified(self, email_verified: bool) -> Self {
        Self { email_verified, ..self }
    }

    pub(crate) fn name(&self) -> &str {
        &self.text[..self.name_bytes as usize]
    }

    pub(crate) fn email(&self) -> &str {
        &self.text[self.name_bytes as usize..self.email_end()]
    }

    /// The id in the system that the user was imported from, if there is one.
    pub(crate) fn legacy_id(&self) -> Option<&str> {
        (self.legacy_id_bytes > 0).then(|| &self.text[self.email_end()..self.legacy_id_end()])
    }

    /// The groups, separated by commas.
    pub(crate) fn groups(&self) -> &str {
        &self.text[self.legacy_id_end()..]
    }

    /// The length of all texts together.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    fn email_end(&self) -> usize {
        self.name_bytes as usize + usize::from(self.email_bytes)
    }

    fn legacy_id_end(&self) -> usize {
        self.email_end() + usize::from(self.legacy_id_bytes)
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

/// Whether an act may leave the group `admins` without a member who can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastAdministrator {
    Stays,
    MayGo,
}

/// A search of users: a page of at most `limit`.
#[derive(Clone, Debug)]
pub(crate) struct FindUsers {
    /// The beginning of an address or of a name, an id, an id in a former system, or `group:` and the name of a group. All users if it
    /// is empty.
    pub(crate) text: String,
    /// None for the first page.
    pub(crate) after: Option<SearchPosition>,
    pub(crate) limit: usize,
}

/// The position of the last user of a page, in the order of the addresses, then in that of the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SearchPosition {
    Address(String),
    Name(String, Uuid),
    /// In a group, by the id of the user.
    Member(Uuid),
}

/// A page of a search of users.
#[derive(Debug)]
pub(crate) struct FoundUsers {
    pub(crate) users: Vec<FoundUser>,
    /// None if there are no more.
    pub(crate) next: Option<SearchPosition>,
}

/// A user in a list.
#[derive(Clone, Debug)]
pub(crate) struct FoundUser {
    pub(crate) id: UserId,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) signed_in_at: Option<Timestamp>,
    pub(crate) disabled: bool,
    /// The names of the user's groups, in order.
    pub(crate) groups: Vec<String>,
}

/// An account that is about to be created.
pub(crate) struct NewUser {
    pub(crate) id: UserId,
    pub(crate) name: DisplayName,
    pub(crate) email: EmailAddress,
    /// None for an account without a password.
    pub(crate) password_hash: Option<PasswordHash>,
    pub(crate) created_at: Timestamp,
    pub(crate) email_verified_at: Option<Timestamp>,
    /// The one-time token to verify the address or to set a password, if there is one.
    pub(crate) token: Option<NewOneTimeToken>,
}

/// Which users to list: a page of at most `limit`, ordered by address.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListUsers {
    /// The address of the last user of the page before; none for the first page.
    pub after: Option<String>,
    /// The most users to return, at most 1000. 100 by default.
    pub limit: usize,
    /// Only users whose name or address contains this text, in any case of ASCII letters.
    pub search: Option<String>,
    /// Only users in this group.
    pub group: Option<String>,
}

impl ListUsers {
    /// The most users of a page.
    pub const MAX_LIMIT: usize = 1000;
}

impl Default for ListUsers {
    fn default() -> Self {
        Self { after: None, limit: 100, search: None, group: None }
    }
}
