//! The preview of an import from a table: the columns, some rows without their secrets, and a question.

use std::io::{self, BufRead, IsTerminal, Write};

use handstamp_core::GroupName;

use super::super::found::{Rules, scheme};
use super::super::shown::Shown;
use super::Sample;
use super::database::Dialect;
use super::layout::{Disables, GroupsColumn, Layout, PasswordColumn, VerifiedColumn};
use super::sql::{MAX_VALUE_BYTES, quoted, quoted_table};
use crate::user_file::Field;
use crate::{CliError, plural};

/// How many rows are shown.
pub(super) const SAMPLES: usize = 3;
/// How many names of groups are looked at.
const MAX_GROUP_NAMES: usize = 1000;

/// Shows on standard error what will be imported.
pub(super) fn show(
    database: &str,
    layout: &Layout,
    rules: &Rules,
    count: u64,
    samples: &[Sample],
    group_names: &[String],
) {
    let mut text = format!(
        "{}: table {}, {}\n\n",
        Shown(database),
        Shown(&layout.table.shown_name()),
        plural(count, "row", "rows")
    );
    for (field, columns) in layout.in_words(rules) {
        text += &format!("  {field:<15} {columns}\n");
    }
    let others = layout.other_columns();
    if !others.is_empty() {
        let others: Vec<_> = others.iter().map(|name| Shown(name).to_string()).collect();
        text += &format!("  {:<15} {}\n", "not imported", others.join(", "));
    }
    for (place, found) in samples {
        text += &format!("\n  {}\n", place);
        match found {
            Err(reason) => text += &format!("    refused: {reason}\n"),
            Ok(found) => {
                let found = rules.apply(found.clone());
                for field in Field::all() {
                    let value = match field {
                        Field::PasswordHash => scheme(found.get(field)),
                        Field::Groups => Shown(&found.groups.join(", ")).to_string(),
                        _ => Shown(found.get(field)).to_string(),
                    };
                    if !value.is_empty() {
                        text += &format!("    {:<15} {value}\n", field.name());
                    }
                }
            }
        }
    }
    for note in notes(layout, rules, group_names) {
        text += &format!("\n{note}\n");
    }
    let _ = writeln!(io::stderr(), "{text}");
}

/// Asks whether to import.
pub(super) fn ask(count: u64) -> Result<(), CliError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CliError::usage(
            "nothing was imported: there is no terminal to ask at; if the columns above are right, add --yes",
        ));
    }
    let _ = write!(io::stderr(), "Import {}? [y/N] ", plural(count, "row", "rows"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(CliError::failure)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::failure("nothing was imported")),
    }
}

/// Notes for the operator about this table.
fn notes(layout: &Layout, rules: &Rules, group_names: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    if layout.verified.is_none() && !rules.all_verified {
        notes.push(
            "No column says that addresses are verified, so none counts as verified. If the app has verified them all, add \
             --email-verified."
                .to_owned(),
        );
    }
    if rules.hmac {
        notes.push(
            "Flask-Security hashes an HMAC of each password, so set import.flask_security_salt to SECURITY_PASSWORD_SALT of \
             the app. If the app sets SECURITY_PASSWORD_SINGLE_HASH, add --single-hash instead."
                .to_owned(),
        );
    }
    let invalid: Vec<String> = group_names
        .iter()
        .filter(|name| rules.group(name).is_some_and(|name| GroupName::parse(&name).is_err()))
        .map(|name| format!("  --group '{}=…'", Shown(name)))
        .collect();
    if !invalid.is_empty() {
        notes.push(format!(
            "These groups have names that are not valid here, and rows with them are refused. A group's name is 1 to 64 letters \
             a to z, digits, full stops, hyphens and underscores. Rename them, or leave them out with an empty name:\n{}",
            invalid.join("\n")
        ));
    }
    notes
}

impl Layout {
    /// Each field with its columns, for people.
    fn in_words(&self, rules: &Rules) -> Vec<(&'static str, String)> {
        let shown = |column: &str| Shown(column).to_string();
        let or_none = |column: Option<String>| column.unwrap_or_else(|| "none".to_owned());
        let names: Vec<String> = self
            .names
            .iter()
            .map(|columns| columns.iter().map(|name| shown(name)).collect::<Vec<_>>().join(" "))
            .collect();
        let disabled: Vec<String> = self
            .disabled
            .iter()
            .map(|(column, disables)| match disables {
                Disables::True => shown(column),
                Disables::False => format!("not {}", shown(column)),
                Disables::Set => format!("{} is set", shown(column)),
            })
            .collect();
        let verified = match &self.verified {
            _ if rules.all_verified => "yes, by --email-verified".to_owned(),
            None => "none".to_owned(),
            Some(VerifiedColumn::Column(column)) => shown(column),
            Some(VerifiedColumn::Addresses(table)) => format!("verified of {}", shown(&table.shown_name())),
        };
        let password = self.password.as_ref().map(|password| match password {
            PasswordColumn::Column(column) => shown(column),
            PasswordColumn::Account { table, password, .. } => {
                format!("{} of {}", shown(password), shown(&table.shown_name()))
            }
        });
        let groups = self.groups.as_ref().map(|groups| match groups {
            GroupsColumn::Column(column) => shown(column),
            GroupsColumn::Memberships(by) => {
                let (names, table) = (by.names.shown_name(), by.table.shown_name());
                format!("{} of {} by {}", shown(&by.name), shown(&names), shown(&table))
            }
        });
        let names = if names.is_empty() { "part of the address".to_owned() } else { names.join(", or ") };
        let disabled = (!disabled.is_empty()).then(|| disabled.join(", or "));
        let mut words = vec![
            (Field::Email.name(), shown(&self.email)),
            (Field::Name.name(), names),
            (Field::PasswordHash.name(), or_none(password)),
            (Field::EmailVerified.name(), verified),
            (Field::CreatedAt.name(), or_none(self.created.as_deref().map(shown))),
            (Field::Disabled.name(), or_none(disabled)),
            (Field::Groups.name(), or_none(groups)),
            (Field::LegacyId.name(), or_none(self.legacy_id.as_deref().map(shown))),
        ];
        let session_key = self.legacy_session_key.as_deref();
        words.extend(session_key.map(|column| (Field::LegacySessionKey.name(), shown(column))));
        words
    }

    /// The columns of the table that are not imported.
    pub(super) fn other_columns(&self) -> Vec<String> {
        let own = |column: &str| {
            let password = matches!(&self.password, Some(PasswordColumn::Column(own)) if own == column);
            let verified = matches!(&self.verified, Some(VerifiedColumn::Column(own)) if own == column);
            let groups = matches!(&self.groups, Some(GroupsColumn::Column(own)) if own == column);
            let named = self.names.iter().flatten().any(|own| own == column);
            let disables = self.disabled.iter().any(|(own, _)| own == column);
            let keys = [self.legacy_id.as_ref(), self.legacy_session_key.as_ref()];
            let plain = [Some(&self.email), self.created.as_ref()].into_iter().chain(keys);
            password || verified || groups || named || disables || plain.flatten().any(|own| own == column)
        };
        self.table.columns.iter().map(|column| &column.name).filter(|name| !own(name)).cloned().collect()
    }

    /// The statement that reads the names of the groups.
    pub(super) fn group_names(&self, dialect: Dialect) -> Option<String> {
        let Some(GroupsColumn::Memberships(by)) = &self.groups else { return None };
        let (table, name) = (quoted_table(&by.names), quoted(&by.name));
        let value = match dialect {
            Dialect::Sqlite => name,
            Dialect::Postgres => format!("CAST({name} AS text)"),
        };
        let bounded = format!("octet_length({value}) <= {MAX_VALUE_BYTES}");
        Some(format!("SELECT DISTINCT {value} FROM {table} WHERE {bounded} ORDER BY 1 LIMIT {MAX_GROUP_NAMES}"))
    }
}
