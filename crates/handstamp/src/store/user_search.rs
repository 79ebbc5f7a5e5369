//! The search of users for operators: each page is a few ranges of indexes, so that it costs the same among a million users.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::LazyLock;

use handstamp_core::{EmailAddress, UserId};
use uuid::Uuid;

use super::groups::{groups_column, groups_of};
use super::statement::{Arg, Pool, limit, request};
use super::{Result, Store, from_db_time};
use crate::model::{FindUsers, FoundUser, FoundUsers, SearchPosition};

/// The last code point, after which no text goes on.
const LAST: char = '\u{10FFFF}';

/// The beginning of a search for the members of a group.
const GROUP: &str = "group:";

type Row = (Uuid, String, String, Option<i64>, i64, Option<i64>, Option<i64>, String, String);

/// A query for the columns of a [`Row`]. `$name_key` is the name in lower case, as its index has it.
macro_rules! find_users {
    ($name_key:literal, $rest:literal) => {
        concat!(
            "SELECT id, users.name, email, email_verified_at, created_at, signed_in_at, disabled_at, ",
            groups_column!(),
            ", ",
            $name_key,
            " FROM users ",
            $rest
        )
    };
}

/// The statements of a search. The databases differ by how they index names in lower case.
struct Statements {
    by_id: &'static str,
    by_legacy_id: &'static str,
    by_address: &'static str,
    after_address: &'static str,
    by_name: &'static str,
    of_same_name: &'static str,
    after_name: &'static str,
    in_group: &'static str,
}

macro_rules! statements {
    ($name_key:literal) => {
        Statements {
            by_id: find_users!($name_key, "WHERE id = $1"),
            by_legacy_id: find_users!($name_key, "WHERE legacy_id = $1"),
            by_address: find_users!($name_key, "WHERE email_key >= $1 AND email_key < $2 ORDER BY email_key LIMIT $3"),
            after_address: find_users!(
                $name_key,
                "WHERE email_key > $1 AND email_key < $2 ORDER BY email_key LIMIT $3"
            ),
            by_name: concat!(
                find_users!($name_key, "WHERE "),
                $name_key,
                " >= $1 AND ",
                $name_key,
                " < $2 ORDER BY ",
                $name_key,
                ", id LIMIT $3"
            ),
            of_same_name: concat!(
                find_users!($name_key, "WHERE "),
                $name_key,
                " = $1 AND id > $2 ORDER BY id LIMIT $3"
            ),
            after_name: concat!(
                find_users!($name_key, "WHERE "),
                $name_key,
                " > $1 AND ",
                $name_key,
                " < $2 ORDER BY ",
                $name_key,
                ", id LIMIT $3"
            ),
            in_group: find_users!(
                $name_key,
                "JOIN user_groups AS members ON members.user_id = users.id
                 WHERE members.name = $1 AND members.user_id > $2 ORDER BY members.user_id LIMIT $3"
            ),
        }
    };
}

#[cfg(feature = "sqlite")]
const SQLITE: Statements = statements!("lower(users.name)");
#[cfg(feature = "postgres")]
const POSTGRES: Statements = statements!("lower(users.name COLLATE \"C\")");

/// A user, and the name in lower case.
type Found = (FoundUser, String);

fn found(row: Row) -> Found {
    let (id, name, email, email_verified_at, created_at, signed_in_at, disabled_at, groups, name_key) = row;
    let user = FoundUser {
        id: UserId::from_uuid(id),
        name,
        email,
        email_verified: email_verified_at.is_some(),
        created_at: from_db_time(created_at),
        signed_in_at: signed_in_at.map(from_db_time),
        disabled: disabled_at.is_some(),
        groups: groups_of(&groups),
    };
    (user, name_key)
}

/// The form of an address that is unique among accounts.
fn address_key(email: &str) -> String {
    EmailAddress::parse(email).map_or_else(|_| email.to_lowercase(), |email| email.key().to_owned())
}

impl Store {
    fn search_statements(&self) -> &'static Statements {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => &SQLITE,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => &POSTGRES,
        }
    }

    async fn find(&self, sql: &'static str, args: &[Arg<'_>]) -> Result<Vec<Found>> {
        let rows: Vec<Row> = self.fetch_all(Pool::Read, request(sql), args).await?;
        Ok(rows.into_iter().map(found).collect())
    }

    /// A page of users whom a text finds. The one with this id or this id in the former system comes first. Then come those whose
    /// addresses begin with it, then those whose names do, in any case of ASCII letters. No page repeats a user, but a page of names can
    /// be short, as those whom the address has found are left out.
    pub(crate) async fn find_users(&self, query: &FindUsers) -> Result<FoundUsers> {
        let text = query.text.trim();
        if let Some(group) = text.strip_prefix(GROUP) {
            return self.find_members(group.trim(), query).await;
        }
        let prefix = address_key(text);
        let (mut users, mut next) = (Vec::new(), None);
        if query.after.is_none() && !text.is_empty() {
            users = self.find_by_ids(text).await?;
        }
        if !matches!(query.after, Some(SearchPosition::Name(..))) {
            let by_address = self.find_by_address(&prefix, query).await?;
            if by_address.len() > query.limit {
                next = Some(SearchPosition::Address(address_key(&by_address[query.limit - 1].0.email)));
            }
            users.extend(by_address.into_iter().take(query.limit).map(|(user, _)| user));
        }
        if next.is_none() && !text.is_empty() {
            let by_name = self.find_by_name(&text.to_ascii_lowercase(), query).await?;
            if by_name.len() > query.limit {
                let (last, key) = &by_name[query.limit - 1];
                next = Some(SearchPosition::Name(key.clone(), last.id.as_uuid()));
            }
            let by_name = by_name.into_iter().take(query.limit).map(|(user, _)| user);
            users.extend(by_name.filter(|user| !address_key(&user.email).starts_with(&prefix)));
        }
        let mut seen = HashSet::new();
        users.retain(|user| seen.insert(user.id.as_uuid()));
        Ok(FoundUsers { users, next })
    }

    async fn find_by_ids(&self, text: &str) -> Result<Vec<FoundUser>> {
        let statements = self.search_statements();
        let mut users = self.find(statements.by_legacy_id, &[text.into()]).await?;
        if let Ok(id) = Uuid::try_parse(text) {
            users.extend(self.find(statements.by_id, &[id.into()]).await?);
        }
        Ok(users.into_iter().map(|(user, _)| user).collect())
    }

    async fn find_by_address(&self, prefix: &str, query: &FindUsers) -> Result<Vec<Found>> {
        let (statements, end, most) = (self.search_statements(), format!("{prefix}{LAST}"), limit(query.limit + 1));
        match &query.after {
            Some(SearchPosition::Address(after)) => {
                self.find(statements.after_address, &[after.as_str().into(), end.as_str().into(), most]).await
            }
            _ => self.find(statements.by_address, &[prefix.into(), end.as_str().into(), most]).await,
        }
    }

    async fn find_by_name(&self, prefix: &str, query: &FindUsers) -> Result<Vec<Found>> {
        let (statements, end, most) = (self.search_statements(), format!("{prefix}{LAST}"), limit(query.limit + 1));
        match &query.after {
            // Two ranges: SQLite would read all names before the position for a comparison of both columns at once.
            Some(SearchPosition::Name(after, id)) => {
                let after = after.as_str();
                let mut found = self.find(statements.of_same_name, &[after.into(), (*id).into(), most]).await?;
                if found.len() <= query.limit {
                    let left = limit(query.limit + 1 - found.len());
                    found.extend(self.find(statements.after_name, &[after.into(), end.as_str().into(), left]).await?);
                }
                Ok(found)
            }
            _ => self.find(statements.by_name, &[prefix.into(), end.as_str().into(), most]).await,
        }
    }

    async fn find_members(&self, group: &str, query: &FindUsers) -> Result<FoundUsers> {
        let after = match query.after {
            Some(SearchPosition::Member(id)) => id,
            _ => Uuid::nil(),
        };
        let args = [group.into(), after.into(), limit(query.limit + 1)];
        let members = self.find(self.search_statements().in_group, &args).await?;
        let next =
            (members.len() > query.limit).then(|| SearchPosition::Member(members[query.limit - 1].0.id.as_uuid()));
        Ok(FoundUsers { users: members.into_iter().take(query.limit).map(|(user, _)| user).collect(), next })
    }
}

/// How many addresses one statement reads.
const ADDRESSES_AT_ONCE: usize = 50;

/// The statement that reads addresses. Arguments that are left over are the nil UUID, which no user has.
static ADDRESSES: LazyLock<String> = LazyLock::new(|| {
    let parameters: Vec<_> = (1..=ADDRESSES_AT_ONCE).map(|number| format!("${number}")).collect();
    format!("SELECT id, email FROM users WHERE id IN ({})", parameters.join(", "))
});

impl Store {
    /// The addresses of these users, without those that are deleted.
    pub(crate) async fn addresses_of(&self, users: &[UserId]) -> Result<BTreeMap<Uuid, String>> {
        let distinct: Vec<Uuid> = users.iter().map(|id| id.as_uuid()).collect::<BTreeSet<_>>().into_iter().collect();
        let mut addresses = BTreeMap::new();
        for ids in distinct.chunks(ADDRESSES_AT_ONCE) {
            let args: Vec<Arg<'_>> = ids
                .iter()
                .copied()
                .chain(std::iter::repeat(Uuid::nil()))
                .take(ADDRESSES_AT_ONCE)
                .map(Arg::from)
                .collect();
            let rows: Vec<(Uuid, String)> = self.fetch_all(Pool::Read, request(&ADDRESSES), &args).await?;
            addresses.extend(rows);
        }
        Ok(addresses)
    }
}

/// The statements that a page runs, for the check that each reads a range of an index.
#[cfg(test)]
pub(super) fn statements_of_search(store: &Store) -> [(&'static str, &'static str); 8] {
    let statements = store.search_statements();
    [
        (statements.by_id, ""),
        (statements.by_legacy_id, "users_by_legacy_id"),
        (statements.by_address, "email_key"),
        (statements.after_address, "email_key"),
        (statements.by_name, "users_by_name"),
        (statements.of_same_name, "users_by_name"),
        (statements.after_name, "users_by_name"),
        (statements.in_group, "user_groups_by_name"),
    ]
}
