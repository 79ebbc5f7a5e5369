//! Which column or key of a file is which field of a user.

use std::collections::BTreeSet;
use std::str::FromStr;

use handstamp::{ImportFields, ImportUser, Timestamp};

/// A field of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Email,
    Name,
    PasswordHash,
    EmailVerified,
    CreatedAt,
    Disabled,
    Groups,
    LegacyId,
    LegacySessionKey,
}

impl Field {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Email, "email"),
        (Self::Name, "name"),
        (Self::PasswordHash, "password_hash"),
        (Self::EmailVerified, "email_verified"),
        (Self::CreatedAt, "created_at"),
        (Self::Disabled, "disabled"),
        (Self::Groups, "groups"),
        (Self::LegacyId, "legacy_id"),
        (Self::LegacySessionKey, "legacy_session_key"),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| own.eq_ignore_ascii_case(name)).map(|(field, _)| *field)
    }
}

/// A column of the file that is a field of another name: `column=field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MappedColumn {
    column: String,
    field: Field,
}

impl FromStr for MappedColumn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (column, field) = text.rsplit_once('=').ok_or("it must be of the form column=field")?;
        let field = Field::named(field.trim()).ok_or_else(|| {
            let names: Vec<_> = Field::ALL.iter().map(|(_, name)| *name).collect();
            format!("there is no field {field:?}; the fields are {}", names.join(", "))
        })?;
        Ok(Self { column: column.to_owned(), field })
    }
}

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

    /// The user of the row, or why it is refused.
    pub(super) fn parse(&self, now: Timestamp) -> Result<ImportUser, String> {
        let text = |field: Field| self.texts[field as usize].as_deref().unwrap_or_default();
        let fields = ImportFields {
            email: text(Field::Email),
            name: text(Field::Name),
            password_hash: text(Field::PasswordHash),
            email_verified: text(Field::EmailVerified),
            created_at: text(Field::CreatedAt),
            disabled: text(Field::Disabled),
            groups: &self.groups,
            legacy_id: text(Field::LegacyId),
            legacy_session_key: text(Field::LegacySessionKey),
        };
        ImportUser::parse(&fields, now).map_err(|refusal| refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_own_place_and_name() {
        for (place, (field, name)) in Field::ALL.into_iter().enumerate() {
            assert_eq!((field as usize, field.name(), Field::named(&name.to_uppercase())), (place, name, Some(field)));
        }
    }

    #[test]
    fn a_mapped_column_is_the_text_before_the_last_equals_sign() {
        let parsed: MappedColumn = "a=b=email".parse().unwrap();
        assert_eq!(parsed, MappedColumn { column: "a=b".to_owned(), field: Field::Email });
        assert!("id".parse::<MappedColumn>().unwrap_err().contains("column=field"));
        let unknown = "id=user_id".parse::<MappedColumn>().unwrap_err();
        assert!(unknown.contains("legacy_id") && unknown.contains("user_id"), "{unknown}");
    }

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
