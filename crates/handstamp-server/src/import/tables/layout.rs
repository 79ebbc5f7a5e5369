//! Finds the table of users and its columns by the names that frameworks and their guides give them.

use super::super::found::Rules;
use super::super::shown::Shown;
use crate::user_file::{Field, MappedColumn, System};

const EMAIL: &[&str] = &["email", "email_address", "e_mail", "mail"];
const NAME: &[&str] = &["name", "full_name", "fullname", "display_name", "displayname", "real_name"];
const FIRST_NAME: &[&str] = &["first_name", "firstname", "given_name"];
const LAST_NAME: &[&str] = &["last_name", "lastname", "family_name", "surname"];
const USERNAME: &[&str] = &["username", "user_name", "login", "nickname"];
/// The times come first, since they tell more.
const VERIFIED: &[&str] = &[
    "confirmed_at",
    "email_confirmed_at",
    "email_verified_at",
    "confirmed_on",
    "email_verified",
    "emailverified",
    "email_confirmed",
    "is_email_verified",
    "is_verified",
    "is_confirmed",
    "verified",
    "confirmed",
];
const CREATED: &[&str] = &[
    "created_at",
    "createdat",
    "create_datetime",
    "created_on",
    "created",
    "date_created",
    "date_joined",
    "registered_at",
    "registered_on",
    "joined_at",
    "member_since",
];
const ENABLED: &[&str] = &["active", "is_active", "enabled", "is_enabled"];
const DISABLED: &[&str] = &[
    "disabled",
    "is_disabled",
    "blocked",
    "is_blocked",
    "banned",
    "is_banned",
    "suspended",
    "is_suspended",
    "deleted",
    "is_deleted",
    "locked",
    "is_locked",
];
const DISABLED_AT: &[&str] = &[
    "disabled_at",
    "blocked_at",
    "banned_at",
    "suspended_at",
    "locked_at",
    "deleted_at",
    "discarded_at",
    "deactivated_at",
];
/// The column by which Flask-Security knows its users. Its cookies have it instead of the primary key.
const FS_UNIQUIFIER: &str = "fs_uniquifier";
/// How many tables and columns a message lists.
const MAX_LISTED: usize = 40;

impl System {
    /// The usual names of the column of the password hash.
    fn password_columns(self) -> &'static [&'static str] {
        match self {
            Self::Flask => {
                &["password_hash", "password", "pw_hash", "hashed_password", "password_digest", "passwd", "pwd_hash"]
            }
            Self::Devise => &["encrypted_password"],
            _ => &["password"],
        }
    }

    /// Columns that the table of users always has, besides the address and the password.
    fn required_columns(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Django => &[&["last_login"]],
            Self::BetterAuth => &[&["emailverified", "email_verified"]],
            _ => &[],
        }
    }

    /// The pairs of tables that have the groups of users: the one with the memberships, and the one with the names.
    fn group_tables(self, users: &str) -> Vec<(String, &'static [&'static str])> {
        match self {
            Self::Flask => ["roles_users", "users_roles", "user_roles", "user_role"]
                .map(|table| (table.to_owned(), ["role", "roles"].as_slice()))
                .to_vec(),
            Self::Django => vec![(format!("{users}_groups"), &["auth_group"])],
            _ => Vec::new(),
        }
    }
}

/// A table or view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// The schema, if it must be named.
    pub(super) schema: Option<String>,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The primary key, if it is one column.
    pub(super) key: Option<String>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// Whether its type is one of bytes, which the database must not turn into text.
    pub(super) is_bytes: bool,
}

impl Table {
    /// The name, with the schema if it must be named.
    pub(super) fn shown_name(&self) -> String {
        self.schema.iter().chain([&self.name]).map(String::as_str).collect::<Vec<_>>().join(".")
    }

    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that have one of these names, in the order of the names. Case does not matter.
    fn named(&self, names: &[&str]) -> Vec<&Column> {
        let columns = |name: &&str| {
            let name = (*name).to_owned();
            self.columns.iter().filter(move |column| column.name.eq_ignore_ascii_case(&name))
        };
        names.iter().flat_map(columns).collect()
    }

    fn first(&self, names: &[&str]) -> Option<String> {
        self.named(names).first().map(|column| column.name.clone())
    }

    fn listed_columns(&self) -> String {
        listed(self.columns.iter().map(|column| column.name.as_str()))
    }
}

fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_LISTED);
    let names: Vec<String> = names.take(MAX_LISTED).map(|name| Shown(name).to_string()).collect();
    let names = names.join(", ");
    if more > 0 { format!("{names} and {more} more") } else { names }
}

/// The value of a column by which a user is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disables {
    True,
    False,
    /// Any value, such as a time.
    Set,
}

/// Where the hashes of passwords are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PasswordColumn {
    Column(String),
    /// The accounts of better-auth: the table, and its columns of the user, the provider and the password.
    Account {
        table: Table,
        user: String,
        provider: String,
        password: String,
    },
}

/// The place that tells whether an address is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VerifiedColumn {
    Column(String),
    /// The addresses of django-allauth: the table.
    Addresses(Table),
}

/// Where the groups of users are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupsColumn {
    Column(String),
    Memberships(Box<Memberships>),
}

/// The table of memberships with its columns of the user and of the group, and the table of names with its key and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memberships {
    pub(super) table: Table,
    pub(super) user: String,
    pub(super) group: String,
    pub(super) names: Table,
    pub(super) key: String,
    pub(super) name: String,
}

/// The table of users, and which columns are which fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) table: Table,
    pub(super) email: String,
    /// The first of these that is not empty is the name: each is columns that are joined by spaces.
    pub(super) names: Vec<Vec<String>>,
    pub(super) password: Option<PasswordColumn>,
    pub(super) verified: Option<VerifiedColumn>,
    pub(super) created: Option<String>,
    pub(super) disabled: Vec<(String, Disables)>,
    pub(super) groups: Option<GroupsColumn>,
    pub(super) legacy_id: Option<String>,
    pub(super) legacy_session_key: Option<String>,
}

impl Layout {
    /// Whether the table has the column by which Flask-Security knows its users.
    pub(super) fn is_of_flask_security(&self, system: System) -> bool {
        system == System::Flask && self.table.column(FS_UNIQUIFIER).is_some()
    }
}

/// The table of users among these tables. `table` and `mapped` are what the command names.
///
/// # Errors
/// When none or several are found: what there is, and how to name it.
pub(super) fn find(
    rules: &Rules,
    tables: &[Table],
    table: Option<&str>,
    mapped: &[MappedColumn],
) -> Result<Layout, String> {
    let users = match table {
        Some(name) => named_table(tables, name)?,
        None => found_table(rules.system, tables, mapped)?,
    };
    for map in mapped {
        if users.column(&map.column).is_none() {
            return Err(format!(
                "--map names the column {:?}; the columns of {} are {}",
                map.column,
                Shown(&users.shown_name()),
                users.listed_columns()
            ));
        }
    }
    layout(rules, tables, users, mapped)
}

fn named_table<'a>(tables: &'a [Table], name: &str) -> Result<&'a Table, String> {
    let matches = |table: &&Table| {
        let full = table.schema.as_ref().map(|schema| format!("{schema}.{}", table.name));
        table.shown_name() == name || full.as_deref() == Some(name)
    };
    let shown = Shown(name);
    tables.iter().find(matches).ok_or_else(|| format!("there is no table {shown}; the tables are {}", names_of(tables)))
}

fn names_of(tables: &[Table]) -> String {
    if tables.is_empty() {
        return "none: the database is empty, or this user may not see them".to_owned();
    }
    let names: Vec<String> = tables.iter().map(Table::shown_name).collect();
    listed(names.iter().map(String::as_str))
}

fn found_table<'a>(system: System, tables: &'a [Table], mapped: &[MappedColumn]) -> Result<&'a Table, String> {
    let is_mapped = |field| mapped.iter().any(|map| map.field == field);
    let has = |table: &Table, field, names: &[&str]| is_mapped(field) || !table.named(names).is_empty();
    let candidates: Vec<&Table> = tables
        .iter()
        .filter(|table| {
            mapped.iter().all(|map| table.column(&map.column).is_some())
                && has(table, Field::Email, EMAIL)
                && (system == System::BetterAuth || has(table, Field::PasswordHash, system.password_columns()))
                && system.required_columns().iter().all(|names| !table.named(names).is_empty())
        })
        .collect();
    match candidates.as_slice() {
        [table] => Ok(table),
        [] => {
            let password = system.password_columns().first().copied().unwrap_or_default();
            let with = if system == System::BetterAuth {
                "email and emailVerified".to_owned()
            } else {
                format!("email and {password}")
            };
            Err(format!(
                "no table has columns such as {with}; the tables are {}; name one with --table, and its columns with --map COLUMN=FIELD",
                names_of(tables)
            ))
        }
        several => {
            let names: Vec<String> = several.iter().map(|table| table.shown_name()).collect();
            let names = listed(names.iter().map(String::as_str));
            Err(format!("several tables have addresses and passwords: {names}; name one with --table"))
        }
    }
}

fn layout(rules: &Rules, tables: &[Table], users: &Table, mapped: &[MappedColumn]) -> Result<Layout, String> {
    let system = rules.system;
    let leaves_out = |field| rules.without.contains(&field);
    let mapped_to = |field| mapped.iter().find(|map| map.field == field).map(|map| map.column.to_owned());
    let only = |field: Field, names: &[&str]| -> Result<Option<String>, String> {
        if let Some(column) = mapped_to(field) {
            return Ok(Some(column));
        }
        match users.named(names).as_slice() {
            [] => Ok(None),
            [column] => Ok(Some(column.name.clone())),
            several => Err(format!(
                "{} has several columns that could be {}: {}; name one with --map COLUMN={}",
                Shown(&users.shown_name()),
                field.name(),
                listed(several.iter().map(|column| column.name.as_str())),
                field.name()
            )),
        }
    };
    let email = only(Field::Email, EMAIL)?.ok_or_else(|| {
        format!(
            "{} has no column such as email; its columns are {}; name one with --map COLUMN=email",
            Shown(&users.shown_name()),
            users.listed_columns()
        )
    })?;
    let password = match system {
        _ if leaves_out(Field::PasswordHash) => None,
        System::BetterAuth if mapped_to(Field::PasswordHash).is_none() => Some(accounts(tables, users)?),
        _ => only(Field::PasswordHash, system.password_columns())?.map(PasswordColumn::Column),
    };
    let names = match mapped_to(Field::Name) {
        Some(column) => vec![vec![column]],
        None => {
            let whole = users.first(NAME).map(|column| vec![column]);
            let parts: Vec<String> = users.first(FIRST_NAME).into_iter().chain(users.first(LAST_NAME)).collect();
            let username = users.first(USERNAME).map(|column| vec![column]);
            let parts = (!parts.is_empty()).then_some(parts);
            whole.into_iter().chain(parts).chain(username).collect()
        }
    };
    let key = users.key.clone().or_else(|| users.first(&["id"]));
    let addresses = (system == System::Django && key.is_some()).then(|| addresses(tables, users)).flatten();
    let verified = match (mapped_to(Field::EmailVerified), addresses) {
        _ if rules.all_verified => None,
        (Some(column), _) => Some(VerifiedColumn::Column(column)),
        (None, Some(table)) => Some(VerifiedColumn::Addresses(table)),
        (None, None) => users.first(VERIFIED).map(VerifiedColumn::Column),
    };
    let disabled = match mapped_to(Field::Disabled) {
        Some(column) => vec![(column, Disables::True)],
        None => {
            let columns = |names, disables| {
                users.named(names).into_iter().map(move |column| (column.name.clone(), disables)).collect::<Vec<_>>()
            };
            [columns(ENABLED, Disables::False), columns(DISABLED, Disables::True), columns(DISABLED_AT, Disables::Set)]
                .concat()
        }
    };
    let groups = match mapped_to(Field::Groups) {
        Some(column) => Some(GroupsColumn::Column(column)),
        None => key.as_ref().and_then(|_| memberships(system, tables, users)),
    };
    let has_uniquifier = system == System::Flask && mapped.iter().all(|map| map.column != FS_UNIQUIFIER);
    Ok(Layout {
        table: Table { key, ..users.clone() },
        email,
        names: if leaves_out(Field::Name) { Vec::new() } else { names },
        password,
        verified: verified.filter(|_| !leaves_out(Field::EmailVerified)),
        created: mapped_to(Field::CreatedAt).or_else(|| users.first(CREATED)).filter(|_| !leaves_out(Field::CreatedAt)),
        disabled: if leaves_out(Field::Disabled) { Vec::new() } else { disabled },
        groups: groups.filter(|_| !leaves_out(Field::Groups)),
        legacy_id: mapped_to(Field::LegacyId)
            .or_else(|| users.key.clone().or_else(|| users.first(&["id"])))
            .filter(|_| !leaves_out(Field::LegacyId)),
        legacy_session_key: mapped_to(Field::LegacySessionKey)
            .or_else(|| users.column(FS_UNIQUIFIER).filter(|_| has_uniquifier).map(|column| column.name.clone()))
            .filter(|_| !leaves_out(Field::LegacySessionKey)),
    })
}

/// The table of accounts of better-auth, which has the passwords.
fn accounts(tables: &[Table], users: &Table) -> Result<PasswordColumn, String> {
    let account = |table: &Table| {
        Some(PasswordColumn::Account {
            user: table.first(&["userid", "user_id"])?,
            provider: table.first(&["providerid", "provider_id"])?,
            password: table.first(&["password"])?,
            table: table.clone(),
        })
    };
    let found: Vec<_> = tables.iter().filter(|table| table.schema == users.schema).filter_map(account).collect();
    let count = found.len();
    match found.into_iter().next() {
        Some(account) if count == 1 => Ok(account),
        _ => Err(format!(
            "{} tables have columns such as userId, providerId and password; the tables are {}",
            if count == 0 { "no".to_owned() } else { count.to_string() },
            names_of(tables)
        )),
    }
}

/// The table of addresses of django-allauth.
fn addresses(tables: &[Table], users: &Table) -> Option<Table> {
    let is_addresses = |table: &&Table| {
        table.schema == users.schema
            && table.name == "account_emailaddress"
            && ["user_id", "email", "verified"].iter().all(|column| table.column(column).is_some())
    };
    tables.iter().find(is_addresses).cloned()
}

/// The groups of users by two more tables.
fn memberships(system: System, tables: &[Table], users: &Table) -> Option<GroupsColumn> {
    let table = |name: &str| tables.iter().find(|table| table.schema == users.schema && table.name == name);
    system.group_tables(&users.name).into_iter().find_map(|(memberships, names)| {
        let memberships = table(&memberships)?;
        let names = names.iter().find_map(|name| table(name))?;
        let group = memberships.first(&["role_id", "group_id"])?;
        let user = memberships.first(&["user_id"]).or_else(|| {
            // A custom model of Django names the column after itself.
            let others = |column: &&Column| column.name.ends_with("_id") && column.name != group;
            let mut others = memberships.columns.iter().filter(others);
            others.next().filter(|_| others.next().is_none()).map(|column| column.name.clone())
        })?;
        Some(GroupsColumn::Memberships(Box::new(Memberships {
            user,
            group,
            key: names.key.clone()?,
            name: names.first(&["name"])?,
            table: memberships.clone(),
            names: names.clone(),
        })))
    })
}

#[cfg(test)]
mod tests;
