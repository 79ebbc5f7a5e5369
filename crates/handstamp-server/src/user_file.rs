//! Files of users on the command line: their format, their fields, and the columns that are fields of other names.

use std::str::FromStr;

use handstamp::WeakFormat;

/// The format of a file of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values with a header line
    Csv,
    /// A JSON object on each line
    Jsonl,
}

/// A field of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Email,
    Name,
    PasswordHash,
    PasswordForm,
    EmailVerified,
    CreatedAt,
    Disabled,
    Groups,
    LegacyId,
    LegacySessionKey,
}

impl Field {
    pub(crate) const COUNT: usize = Self::ALL.len();

    pub(crate) const ALL: [(Self, &'static str); 10] = [
        (Self::Email, "email"),
        (Self::Name, "name"),
        (Self::PasswordHash, "password_hash"),
        (Self::PasswordForm, "password_form"),
        (Self::EmailVerified, "email_verified"),
        (Self::CreatedAt, "created_at"),
        (Self::Disabled, "disabled"),
        (Self::Groups, "groups"),
        (Self::LegacyId, "legacy_id"),
        (Self::LegacySessionKey, "legacy_session_key"),
    ];

    /// All fields, in the order of their numbers.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Self::ALL.iter().map(|(field, _)| *field)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, own)| own.eq_ignore_ascii_case(name)).map(|(field, _)| *field)
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::named(text.trim()).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|(_, name)| *name).collect();
            format!("there is no field {text:?}; the fields are {}", names.join(", "))
        })
    }
}

/// A column of the file that is a field of another name: `column=field`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MappedColumn {
    pub(crate) column: String,
    pub(crate) field: Field,
}

impl FromStr for MappedColumn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (column, field) = text.rsplit_once('=').ok_or("it must be of the form column=field")?;
        Ok(Self { column: column.to_owned(), field: field.parse()? })
    }
}

/// A system whose users are read as it stores or exports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum System {
    /// The table of a Flask app with SQLAlchemy, Flask-Login or Flask-Security
    Flask,
    /// The table of a Django project, with django-allauth or without it
    Django,
    /// The table of a Rails app with Devise
    Devise,
    /// The table of a Laravel app
    Laravel,
    /// The tables of better-auth
    BetterAuth,
    /// The export of users of Auth0, or of their password hashes
    Auth0,
    /// The JSON file of firebase auth:export
    Firebase,
    /// The export of a realm of Keycloak
    Keycloak,
}

/// A group that gets another name, or none: `OLD=NEW`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenamedGroup {
    pub(crate) old: String,
    pub(crate) new: String,
}

impl FromStr for RenamedGroup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (old, new) = text.rsplit_once('=').ok_or("it must be of the form OLD=NEW")?;
        if !new.is_empty() {
            handstamp_core::GroupName::parse(new).map_err(|error| error.to_string())?;
        }
        Ok(Self { old: old.to_owned(), new: new.to_owned() })
    }
}

/// The system that stored weak hashes of passwords.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum WeakHashes {
    /// The digits of MD5, SHA-1, SHA-256 or SHA-512 without a salt
    Hex,
    /// Django's md5$salt$digest and sha1$salt$digest
    Django,
    /// The HMAC of werkzeug before version 3, sha1$salt$digest
    Werkzeug,
}

impl From<WeakHashes> for WeakFormat {
    fn from(weak: WeakHashes) -> Self {
        match weak {
            WeakHashes::Hex => Self::Hex,
            WeakHashes::Django => Self::Django,
            WeakHashes::Werkzeug => Self::Werkzeug,
        }
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
}
