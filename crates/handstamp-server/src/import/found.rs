//! A user as a reader of another system finds it, and the rules of the command by which it becomes a row.

use handstamp::ImportParser;
use handstamp_core::ImportedHash;

use super::mapping::RowTexts;
use super::rows::{Place, Row};
use crate::user_file::{Field, RenamedGroup, System};

impl System {
    /// Whether it is read from a database and not from a file.
    pub(super) fn is_table(self) -> bool {
        !matches!(self, Self::Auth0 | Self::Firebase | Self::Keycloak)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flask => "flask",
            Self::Django => "django",
            Self::Devise => "devise",
            Self::Laravel => "laravel",
            Self::BetterAuth => "better-auth",
            Self::Auth0 => "auth0",
            Self::Firebase => "firebase",
            Self::Keycloak => "keycloak",
        }
    }
}

/// A user as it is found, before the rules of the command apply.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The texts of the fields but for the groups.
    pub(super) texts: [String; Field::COUNT],
    pub(super) groups: Vec<String>,
}

impl Found {
    pub(super) fn set(&mut self, field: Field, text: impl Into<String>) {
        self.texts[field as usize] = text.into();
    }

    pub(super) fn get(&self, field: Field) -> &str {
        &self.texts[field as usize]
    }

    /// How many bytes it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.texts.iter().chain(&self.groups).map(String::len).sum()
    }
}

/// The rules of the command for users of another system.
#[derive(Clone)]
pub(super) struct Rules {
    pub(super) system: System,
    pub(super) groups: Vec<RenamedGroup>,
    pub(super) without: Vec<Field>,
    pub(super) all_verified: bool,
    /// Whether the hashes are of HMACs of the passwords, as those of Flask-Security.
    pub(super) hmac: bool,
}

impl Rules {
    /// Applies the rules.
    pub(super) fn apply(&self, mut found: Found) -> Found {
        if self.all_verified {
            found.set(Field::EmailVerified, "true");
        }
        for field in &self.without {
            found.set(*field, "");
            if *field == Field::Groups {
                found.groups.clear();
            }
        }
        if found.get(Field::Name).trim() == found.get(Field::Email).trim() {
            found.set(Field::Name, "");
        }
        for field in [Field::CreatedAt, Field::EmailVerified] {
            found.set(field, in_seconds(found.get(field)));
        }
        found.set(Field::PasswordHash, self.hash(found.get(Field::PasswordHash).trim()));
        found.groups = found.groups.iter().filter_map(|name| self.group(name)).collect();
        found
    }

    /// The hash of a password as it is imported: its format has a prefix. A text that is no hash of this system stays as it
    /// is, so that the row is refused with the reason.
    fn hash(&self, text: &str) -> String {
        let parsed = match self.system {
            // Django writes an exclamation mark where no password was set.
            System::Django if text.starts_with('!') => return String::new(),
            // The formats of Django are of the password itself.
            System::Flask if self.hmac && text.starts_with('$') => ImportedHash::from_flask_security(text),
            System::Devise if !text.is_empty() => ImportedHash::from_devise(text),
            System::BetterAuth if !text.is_empty() => ImportedHash::from_better_auth(text),
            _ => return text.to_owned(),
        };
        parsed.map_or_else(|_| text.to_owned(), |hash| hash.to_stored().expose().to_owned())
    }

    /// The name of a group here; none if it is left out.
    pub(super) fn group(&self, name: &str) -> Option<String> {
        let new = self.groups.iter().find(|group| group.old == name).map_or(name, |group| group.new.as_str());
        (!new.is_empty()).then(|| new.to_owned())
    }

    /// The row of a user, or of what could not be read.
    pub(super) fn row(&self, place: Place, found: Result<Found, String>, parser: ImportParser, keep_raw: bool) -> Row {
        let found = match found {
            Ok(found) => self.apply(found),
            Err(reason) => return Row { place, raw: b"{}".to_vec(), user: Err(reason) },
        };
        let mut texts = RowTexts::default();
        for (field, text) in Field::all().zip(found.texts) {
            if field != Field::Groups {
                texts.set(field, text);
            }
        }
        texts.set_groups(found.groups);
        let raw = if keep_raw { texts.to_json().into_bytes() } else { Vec::new() };
        Row { place, raw, user: texts.parse(parser) }
    }
}

/// A time as seconds, if it is a number that can only be milliseconds. Fractions are cut off.
fn in_seconds(text: &str) -> String {
    // Milliseconds before March 1973 would be read as seconds, but no user is that old.
    const MILLISECONDS_FROM: u64 = 100_000_000_000;
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    match whole.parse::<u64>() {
        Ok(number) if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
            if number < MILLISECONDS_FROM {
                number.to_string()
            } else {
                (number / 1000).to_string()
            }
        }
        _ => text.to_owned(),
    }
}

/// The scheme of the hash of a password for people, without salt and hash.
pub(super) fn scheme(hash: &str) -> String {
    match hash {
        "" => "none".to_owned(),
        hash => ImportedHash::parse(hash).map_or_else(|error| error.to_string(), |hash| hash.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(system: System) -> Rules {
        Rules { system, groups: vec![], without: vec![], all_verified: false, hmac: false }
    }

    fn found(change: impl FnOnce(&mut Found)) -> Found {
        let mut found = Found::default();
        found.set(Field::Email, "ada@example.com");
        change(&mut found);
        found
    }

    #[test]
    fn milliseconds_become_seconds_and_other_texts_stay() {
        for (text, seconds) in [
            ("1700000000", "1700000000"),
            ("1700000000123", "1700000000"),
            ("1700000000.75", "1700000000"),
            ("99999999999", "99999999999"),
            ("100000000000", "100000000"),
            ("2023-11-14 22:13:20.5", "2023-11-14 22:13:20.5"),
            ("true", "true"),
            ("1.x", "1.x"),
            ("", ""),
        ] {
            assert_eq!(in_seconds(text), seconds);
        }
    }

    #[test]
    fn hashes_get_the_prefix_of_their_system_and_no_password_is_none() {
        let bcrypt = "$2a$04$abcdefghijklmnopqrstuuSdjp3eVMM9zmbXU5BXpR9B1PkL3NSra";
        let hash = |system, text| rules(system).apply(found(|user| user.set(Field::PasswordHash, text)));
        let hash = |system, text| hash(system, text).get(Field::PasswordHash).to_owned();
        assert_eq!(hash(System::Devise, bcrypt), format!("handstamp-devise${bcrypt}"));
        assert_eq!(hash(System::Laravel, bcrypt), bcrypt);
        assert_eq!((hash(System::Devise, ""), hash(System::Django, "!x")), (String::new(), String::new()));
        assert_eq!(hash(System::Flask, "!x"), "!x");
        let hmac = Rules { hmac: true, ..rules(System::Flask) };
        assert_eq!(hmac.hash(bcrypt), format!("handstamp-flask-security${bcrypt}"));
        assert_eq!(hmac.hash("pbkdf2_sha256$1000$x$y"), "pbkdf2_sha256$1000$x$y");
        assert_eq!(hash(System::Devise, "plain"), "plain", "it is refused with the reason");
    }

    #[test]
    fn the_rules_of_the_command_change_fields_and_groups() {
        let mut rules = rules(System::Django);
        rules.groups = vec!["Content editors=editors".parse().unwrap(), "Old=".parse().unwrap()];
        let user = found(|user| {
            user.groups = ["Content editors", "Old", "staff"].map(str::to_owned).to_vec();
            user.set(Field::Disabled, "true");
            user.set(Field::Name, "ada@example.com");
        });
        let applied = rules.apply(user.clone());
        assert_eq!(applied.groups, ["editors", "staff"]);
        assert_eq!((applied.get(Field::Name), applied.get(Field::EmailVerified)), ("", ""));
        (rules.without, rules.all_verified) = (vec![Field::Groups, Field::Disabled], true);
        let applied = rules.apply(user);
        assert_eq!((applied.groups.len(), applied.get(Field::Disabled)), (0, ""));
        assert_eq!(applied.get(Field::EmailVerified), "true");
        assert!("a".parse::<RenamedGroup>().is_err() && "a=b c".parse::<RenamedGroup>().is_err());
    }
}
