//! The users of Auth0: the export of users, the file of password hashes that its support sends, or both.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use handstamp::private_files::cannot;
use serde_json::Value;

use super::super::found::Found;
use super::super::rows::read_line;
use super::{first, joined, text};
use crate::CliError;
use crate::user_file::Field;

/// The beginning of the id of a user whose password is in a database of Auth0.
const DATABASE: &str = "auth0|";
const OBJECT_ID_DIGITS: usize = 24;

/// The fields of a user of either file.
pub(super) fn user(user: &Value) -> Result<Found, String> {
    let object_id = user.get("_id").and_then(object_id);
    let mut found = Found::default();
    let email = text(user, "email")?;
    // The name of a user without one is the address.
    let name = text(user, "name").map(|name| if name == email { String::new() } else { name });
    found.set(Field::Email, email);
    found.set(Field::Name, first([name, joined(user, ["given_name", "family_name"]), text(user, "username")])?);
    found.set(Field::EmailVerified, text(user, "email_verified")?);
    found.set(Field::Disabled, text(user, "blocked")?);
    let created = match object_id {
        // An id of MongoDB begins with the seconds of its making.
        Some(id) if user.get("created_at").is_none() => u32::from_str_radix(&id[..8], 16).map(|at| at.to_string()).ok(),
        _ => None,
    };
    found.set(Field::CreatedAt, created.map_or_else(|| text(user, "created_at"), Ok)?);
    let id = text(user, "user_id")?;
    found.set(Field::LegacyId, if id.is_empty() { object_id.map(legacy_id).unwrap_or_default() } else { id });
    let custom = user.get("custom_password_hash").map_or(Ok(String::new()), |custom| match custom.get("hash") {
        Some(hash) if hash.get("encoding").is_none_or(|encoding| encoding == "utf8") => text(hash, "value"),
        _ => Err("has a custom_password_hash that is not utf8".to_owned()),
    });
    found.set(Field::PasswordHash, first([text(user, "passwordHash"), text(user, "password_hash"), custom])?);
    Ok(found)
}

/// The digits of an id of MongoDB, which JSON has as `{"$oid": "…"}`.
fn object_id(id: &Value) -> Option<&str> {
    let digits = id.get("$oid").or(Some(id))?.as_str()?;
    let is_id = digits.len() == OBJECT_ID_DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_id.then_some(digits)
}

/// The id of a user of the connection, as the tokens of Auth0 have it.
fn legacy_id(object_id: &str) -> String {
    format!("{DATABASE}{object_id}")
}

/// The file of password hashes. Only the places of its lines are in memory, some 40 bytes for each.
pub(super) struct PasswordFile {
    path: PathBuf,
    input: BufReader<File>,
    places: HashMap<u128, u64>,
}

impl PasswordFile {
    /// Reads the file once.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        let failed = |error: io::Error| CliError::failure(cannot("read", path, &error));
        let mut input = BufReader::new(File::open(path).map_err(failed)?);
        let mut places = HashMap::new();
        for number in 1_u64.. {
            let place = input.stream_position().map_err(failed)?;
            let Some((line, _)) = read_line(&mut input).map_err(failed)? else { break };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let wrong = || CliError::usage(format!("{}: line {number} has no _id and passwordHash", path.display()));
            let user: Value = serde_json::from_slice(&line).map_err(|_| wrong())?;
            let id = user.get("_id").and_then(object_id).and_then(|id| u128::from_str_radix(id, 16).ok());
            places.insert(id.filter(|_| user.get("passwordHash").is_some()).ok_or_else(wrong)?, place);
        }
        Ok(Self { path: path.to_owned(), input, places })
    }

    /// Adds the hash of a user that the export of users has.
    pub(super) fn add_to(&mut self, mut found: Found) -> io::Result<Result<Found, String>> {
        let id = found.get(Field::LegacyId).strip_prefix(DATABASE).filter(|id| id.len() == OBJECT_ID_DIGITS);
        let id = id.and_then(|id| u128::from_str_radix(id, 16).ok());
        let Some(place) = id.and_then(|id| self.places.get(&id)) else { return Ok(Ok(found)) };
        self.input.seek(SeekFrom::Start(*place))?;
        let changed = || io::Error::other(format!("{} has changed", self.path.display()));
        let Some((line, _)) = read_line(&mut self.input)? else { return Err(changed()) };
        let line: Value = serde_json::from_slice(&line).map_err(|_| changed())?;
        Ok(text(&line, "passwordHash").map(|hash| {
            found.set(Field::PasswordHash, hash);
            found
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn hashes_of_the_second_file_are_added_by_the_id() {
        let path = std::env::temp_dir().join(format!("handstamp-auth0-{}.ndjson", std::process::id()));
        let mut file = File::create(&path).unwrap();
        writeln!(file, r#"{{"_id":{{"$oid":"60425dc43519d90068f82973"}},"passwordHash":"one"}}"#).unwrap();
        writeln!(file, "\n{{\"_id\":{{\"$oid\":\"60425dc43519d90068f82974\"}},\"passwordHash\":\"two\"}}").unwrap();
        let mut passwords = PasswordFile::open(&path).unwrap();
        let mut hash = |id: &str| {
            let mut found = Found::default();
            found.set(Field::LegacyId, id);
            passwords.add_to(found).unwrap().unwrap().get(Field::PasswordHash).to_owned()
        };
        assert_eq!(hash("auth0|60425dc43519d90068f82974"), "two");
        assert_eq!(hash("auth0|60425dc43519d90068f82973"), "one");
        assert_eq!(hash("google-oauth2|60425dc43519d90068f82973"), "");
        assert_eq!((hash("auth0|60425dc43519d90068f82975"), hash("auth0|")), (String::new(), String::new()));
        writeln!(file, "{{}}").unwrap();
        let error = PasswordFile::open(&path).err().unwrap();
        assert!(format!("{error:?}").contains("line 4"), "{error:?}");
        std::fs::remove_file(path).unwrap();
    }
}
