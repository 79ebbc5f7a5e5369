//! The statement that reads the users of a table, and what becomes of the values of a row.

use super::super::found::Found;
use super::super::rows::Place;
use super::database::{Dialect, Value};
use super::layout::{Disables, GroupsColumn, Layout, Memberships, PasswordColumn, Table, VerifiedColumn};
use crate::user_file::Field;

/// The most bytes of a value. A longer one is not read.
pub(super) const MAX_VALUE_BYTES: usize = 64 << 10;

/// The meaning of the value of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Id,
    Text(Field),
    /// A part of a name: which alternative it belongs to.
    Name(usize),
    Disabled(Disables),
    /// The names of groups, one on each line.
    GroupLines,
}

/// A statement that reads users, and the meaning of its columns. The last column is the length of the longest value.
pub(super) struct Statement {
    pub(super) sql: String,
    parts: Vec<Part>,
}

/// Quotes a name.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The quoted name of a table, with its schema.
pub(super) fn quoted_table(table: &Table) -> String {
    table.schema.iter().chain([&table.name]).map(|name| quoted(name)).collect::<Vec<_>>().join(".")
}

impl Dialect {
    /// The value of a column as text or as bytes.
    fn value(self, alias: &str, table: &Table, column: &str) -> String {
        let name = format!("{alias}.{}", quoted(column));
        match self {
            Self::Sqlite => name,
            Self::Postgres if table.column(column).is_some_and(|column| column.is_bytes) => name,
            Self::Postgres => format!("CAST({name} AS text)"),
        }
    }

    fn lines_of(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("group_concat({column}, char(10))"),
            Self::Postgres => format!("string_agg(CAST({column} AS text), chr(10))"),
        }
    }
}

impl Layout {
    /// The statement that reads all users in the order of the key, or the first ones.
    pub(super) fn statement(&self, dialect: Dialect, limit: Option<usize>) -> Statement {
        let own = |column: &str| dialect.value("u", &self.table, column);
        let key = self.table.key.as_deref().map(quoted);
        let (mut values, mut joins) = (Vec::new(), String::new());
        if let Some(key) = &self.table.key {
            values.push((Part::Id, own(key)));
        }
        values.push((Part::Text(Field::Email), own(&self.email)));
        for (place, columns) in self.names.iter().enumerate() {
            values.extend(columns.iter().map(|column| (Part::Name(place), own(column))));
        }
        for (column, disables) in &self.disabled {
            values.push((Part::Disabled(*disables), own(column)));
        }
        let plain = [
            (&self.created, Field::CreatedAt),
            (&self.legacy_id, Field::LegacyId),
            (&self.legacy_session_key, Field::LegacySessionKey),
        ];
        for (column, field) in plain {
            values.extend(column.as_deref().map(|column| (Part::Text(field), own(column))));
        }
        let mut join = |alias: &str, select: String, on: &str| {
            joins += &format!(" LEFT JOIN ({select}) {alias} ON {alias}.id = u.{}{on}", key.as_deref().unwrap_or("id"));
        };
        match &self.password {
            None => {}
            Some(PasswordColumn::Column(column)) => values.push((Part::Text(Field::PasswordHash), own(column))),
            Some(PasswordColumn::Account { table, user, provider, password }) => {
                let (user, provider) = (quoted(user), quoted(provider));
                let select = format!(
                    "SELECT {user} AS id, MIN({}) AS password FROM {} WHERE {provider} = 'credential' GROUP BY {user}",
                    quoted(password),
                    quoted_table(table)
                );
                join("hp", select, "");
                values.push((Part::Text(Field::PasswordHash), dialect.value("hp", &Table::default(), "password")));
            }
        }
        match &self.verified {
            None => {}
            Some(VerifiedColumn::Column(column)) => values.push((Part::Text(Field::EmailVerified), own(column))),
            Some(VerifiedColumn::Addresses(table)) => {
                let select = format!(
                    "SELECT user_id AS id, lower(email) AS email FROM {} WHERE verified GROUP BY user_id, lower(email)",
                    quoted_table(table)
                );
                join("hv", select, &format!(" AND hv.email = lower(u.{})", quoted(&self.email)));
                let is_verified = match dialect {
                    Dialect::Sqlite => "(hv.id IS NOT NULL)",
                    Dialect::Postgres => "CAST((hv.id IS NOT NULL) AS text)",
                };
                values.push((Part::Text(Field::EmailVerified), is_verified.to_owned()));
            }
        }
        match &self.groups {
            None => {}
            Some(GroupsColumn::Column(column)) => values.push((Part::Text(Field::Groups), own(column))),
            Some(GroupsColumn::Memberships(memberships)) => {
                let Memberships { table, user, group, names, key, name } = &**memberships;
                let select = format!(
                    "SELECT m.{user} AS id, {} AS names FROM {} m JOIN {} g ON g.{} = m.{} GROUP BY m.{user}",
                    dialect.lines_of(&format!("g.{}", quoted(name))),
                    quoted_table(table),
                    quoted_table(names),
                    quoted(key),
                    quoted(group),
                    user = quoted(user),
                );
                join("hg", select, "");
                values.push((Part::GroupLines, "hg.names".to_owned()));
            }
        }
        let bounded = values
            .iter()
            .map(|(_, value)| format!("CASE WHEN octet_length({value}) <= {MAX_VALUE_BYTES} THEN {value} END"));
        let lengths: Vec<_> = values.iter().map(|(_, value)| format!("coalesce(octet_length({value}), 0)")).collect();
        let longest = match dialect {
            Dialect::Sqlite => format!("max(0, {})", lengths.join(", ")),
            Dialect::Postgres => format!("CAST(greatest({}) AS text)", lengths.join(", ")),
        };
        let mut sql = format!(
            "SELECT {}, {longest} FROM {} u{joins}",
            bounded.collect::<Vec<_>>().join(", "),
            quoted_table(&self.table)
        );
        if let Some(key) = &key {
            sql += &format!(" ORDER BY u.{key}");
        }
        if let Some(limit) = limit {
            sql += &format!(" LIMIT {limit}");
        }
        Statement { sql, parts: values.into_iter().map(|(part, _)| part).collect() }
    }
}

impl Statement {
    /// The place of a row, and the user of it or why it cannot be read. `number` counts the rows.
    pub(super) fn user(&self, values: Vec<Value>, number: u64) -> (Place, Result<Found, String>) {
        let id = self.parts.iter().zip(&values).find(|(part, _)| **part == Part::Id).and_then(|(_, value)| value.id());
        let place = id.map_or(Place::Row(number), Place::RowWithId);
        (place, self.found(values))
    }

    fn found(&self, values: Vec<Value>) -> Result<Found, String> {
        let longest = values.get(self.parts.len()).and_then(Value::id).and_then(|length| length.parse::<usize>().ok());
        if longest.is_none_or(|longest| longest > MAX_VALUE_BYTES) {
            return Err(format!("has a value of more than {MAX_VALUE_BYTES} bytes"));
        }
        let mut found = Found::default();
        let mut names: Vec<Vec<String>> = Vec::new();
        for (part, value) in self.parts.iter().zip(values) {
            match part {
                Part::Id => {}
                Part::Text(Field::LegacyId) => found.set(Field::LegacyId, value.id().unwrap_or_default()),
                Part::Text(Field::Groups) => {
                    let text = value.text(Field::Groups.name())?;
                    let names = text.split(|c: char| matches!(c, ',' | ';') || c.is_whitespace());
                    found.groups.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
                }
                Part::Text(field) => found.set(*field, value.text(field.name())?),
                Part::Name(place) => {
                    names.resize_with(names.len().max(place + 1), Vec::new);
                    names[*place].push(value.text(Field::Name.name())?.trim().to_owned());
                }
                Part::Disabled(disables) => {
                    if let Some(text) = disabled(*disables, &value)? {
                        found.set(Field::Disabled, text);
                    }
                }
                Part::GroupLines => found.groups.extend(value.text(Field::Groups.name())?.lines().map(str::to_owned)),
            }
        }
        let mut joined = names
            .into_iter()
            .map(|parts| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" "));
        found.set(Field::Name, joined.find(|name| !name.is_empty()).unwrap_or_default());
        Ok(found)
    }
}

/// The text of the field disabled, if the column disables the user or cannot be read.
fn disabled(disables: Disables, value: &Value) -> Result<Option<String>, String> {
    let text = value.text(Field::Disabled.name())?;
    let is = |words: &[&str]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    let (yes, no) = (is(&["true", "t", "yes", "y", "1"]), is(&["", "false", "f", "no", "n", "0"]));
    Ok(match disables {
        Disables::Set => (!text.is_empty()).then(|| "true".to_owned()),
        _ if !yes && !no => Some(text),
        // An unknown state of `active` counts as not active.
        Disables::False => no.then(|| "true".to_owned()),
        Disables::True => yes.then(|| "true".to_owned()),
    })
}
