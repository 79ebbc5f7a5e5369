//! Which column or key of a file is which field of a user.

use std::collections::BTreeSet;

use handstamp::{ImportFields, ImportParser, ImportUser};

use crate::user_file::{Field, MappedColumn};

/// The column that `--refused` adds: the reason why a row was refused.
pub(super) const REFUSED: &str = "refused";
/// The most names of columns that are not imported that are kept, and the most characters of each.
const MAX_IGNORED: usize = 50;
const MAX_NAME_CHARACTERS: usize = 60;

/// Finds the field of a column, and notes the columns that are none.
pub(super) struct Mapping {
    mapped: Vec<MappedColumn>,
    /// For each mapped column, whether it was seen.
    seen: Vec<bool>,
    /// The columns that are not imported.
    pub(super) ignored: BTreeSet<String>,
}

impl Mapping {
    pub(super) fn new(mapped: &[MappedColumn]) -> Self {
        Self { mapped: mapped.to_vec(), seen: vec![false; mapped.len()], ignored: BTreeSet::new() }
    }

    /// The field of a column; none if it is not imported.
    pub(super) fn field(&mut self, column: &str) -> Option<Field> {
        if let Some(place) = self.mapped.iter().position(|mapped| mapped.column == column) {
            self.seen[place] = true;
            return Some(self.mapped[place].field);
        }
        let field = Field::named(column.trim());
        if field.is_none() && column != REFUSED && self.ignored.len() < MAX_IGNORED {
            self.ignored.insert(column.chars().take(MAX_NAME_CHARACTERS).collect());
        }
        field
    }

    /// The first mapped column that was not seen.
    pub(super) fn unseen(&self) -> Option<&str> {
        self.mapped.iter().zip(&self.seen).find(|(_, seen)| !**seen).map(|(mapped, _)| mapped.column.as_str())
    }
}

/// The texts of the fields of a row.
#[derive(Default)]
pub(super) struct RowTexts {
    texts: [Option<String>; Field::ALL.len()],
    groups: Vec<String>,
}

impl RowTexts {
    /// Sets a field. Returns false if it was set before.
    pub(super) fn set(&mut self, field: Field, text: String) -> bool {
        if field == Field::Groups {
            let names = text.split(|c: char| matches!(c, ',' | ';') || c.is_whitespace());
            self.groups.extend(names.filter(|name| !name.is_empty()).map(str::to_owned));
        }
        self.texts[field as usize].replace(text).is_none()
    }

    /// Sets the names of the groups. Returns false if they were set before.
    pub(super) fn set_groups(&mut self, names: Vec<String>) -> bool {
        self.groups = names;
        self.texts[Field::Groups as usize].replace(String::new()).is_none()
    }

    /// The row as a line of JSON Lines.
    pub(super) fn to_json(&self) -> String {
        let mut object = serde_json::Map::new();
        for (field, text) in Field::all().zip(&self.texts) {
            match text {
                Some(_) if field == Field::Groups && !self.groups.is_empty() => {
                    object.insert(field.name().to_owned(), self.groups.clone().into());
                }
                Some(text) if !text.is_empty() => {
                    object.insert(field.name().to_owned(), text.clone().into());
                }
                _ => {}
            }
        }
        serde_json::Value::Object(object).to_string()
    }

    /// The user of the row, or why it is refused.
    pub(super) fn parse(&self, checker: ImportParser) -> Result<ImportUser, String> {
        let text = |field: Field| self.texts[field as usize].as_deref().unwrap_or_default();
        let fields = ImportFields {
            email: text(Field::Email),
            name: text(Field::Name),
            password_hash: text(Field::PasswordHash),
            password_form: text(Field::PasswordForm),
            email_verified: text(Field::EmailVerified),
            created_at: text(Field::CreatedAt),
            disabled: text(Field::Disabled),
            groups: &self.groups,
            legacy_id: text(Field::LegacyId),
            legacy_session_key: text(Field::LegacySessionKey),
        };
        checker.parse(&fields).map_err(|refusal| refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_comes_before_the_name_of_a_column_and_unknown_columns_are_noted() {
        let mut mapping = Mapping::new(&["name=legacy_id".parse().unwrap(), "mail=email".parse().unwrap()]);
        assert_eq!(
            (mapping.field("name"), mapping.field("E-Mail"), mapping.unseen()),
            (Some(Field::LegacyId), None, Some("mail"))
        );
        assert_eq!((mapping.field("mail"), mapping.unseen()), (Some(Field::Email), None));
        assert_eq!((mapping.field("refused"), mapping.ignored.len()), (None, 1));
        for number in 0..1000 {
            mapping.field(&format!("{number}{}", "x".repeat(1000)));
        }
        assert!(mapping.ignored.len() == MAX_IGNORED && mapping.ignored.iter().all(|name| name.len() <= 60));
    }
}
