//! The users of the export files of other systems: read as a stream, whatever the length of the file.

mod auth0;
mod document;
mod firebase;
mod keycloak;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use handstamp::{ImportParser, UserImport};
use serde_json::Value;
use tokio::sync::mpsc;

use super::found::{Found, Rules};
use super::rows::{Place, Row};
use super::{BATCH_BYTES, Counted, Input, Message, READ_BYTES, ReadFailed};
use crate::CliError;
use crate::cli::ImportArgs;
use crate::user_file::{Field, Format, MappedColumn, System};
use auth0::PasswordFile;
use document::Shape;
use handstamp_core::FirebaseParams;

/// An open export.
pub(super) struct Export {
    input: Input,
    rules: Rules,
    mapped: Vec<MappedColumn>,
    /// The password hashes of Auth0, which are a file of their own.
    passwords: Option<PasswordFile>,
    params: FirebaseParams,
}

impl Export {
    /// Opens the file.
    ///
    /// # Errors
    /// When a file cannot be read, or the command does not fit the system.
    pub(super) fn open(request: &ImportArgs, rules: Rules) -> Result<Self, CliError> {
        let is_url = request.input.to_str().is_some_and(|text| text.contains("://"));
        if is_url {
            let message = format!("--from {} reads a file and not a database", rules.system.name());
            return Err(CliError::usage(message));
        }
        let only_for = |flag: &str, system: System, is_given: bool| match is_given && rules.system != system {
            true => Err(CliError::usage(format!("{flag} needs --from {}", system.name()))),
            false => Ok(()),
        };
        only_for("--passwords", System::Auth0, request.passwords.is_some())?;
        only_for("--hash-config", System::Firebase, request.hash_config.is_some())?;
        if request.table.is_some() {
            return Err(CliError::usage("--table needs the URL of a database"));
        }
        Ok(Self {
            input: Input::open(&request.input)?,
            mapped: request.map.clone(),
            passwords: request.passwords.as_deref().map(PasswordFile::open).transpose()?,
            params: firebase::params(request.hash_config.as_deref())?,
            rules,
        })
    }

    pub(super) fn bytes(&self) -> Option<u64> {
        self.input.bytes
    }

    /// Reads all users and sends them in batches, as [`super::read`] does with a file.
    pub(super) fn read(
        self,
        parser: ImportParser,
        keep_raw: bool,
        sender: &mpsc::Sender<Message>,
    ) -> Result<(), ReadFailed> {
        let read = Arc::new(AtomicU64::new(0));
        let input = BufReader::with_capacity(READ_BYTES, Counted(self.input.reader, Arc::clone(&read)));
        sender.blocking_send(Message::Opened(Format::Jsonl, Vec::new()))?;
        let mut users = Users {
            seen: vec![false; self.mapped.len()],
            rules: self.rules,
            mapped: self.mapped,
            passwords: self.passwords,
            params: self.params,
            parser,
            keep_raw,
            rows: Vec::new(),
            bytes: 0,
            number: 0,
            is_first: true,
            sender,
            read,
        };
        let shape = match users.rules.system {
            System::Auth0 => Shape::Lines,
            _ => Shape::UsersOfDocument,
        };
        users.read(input, shape)?;
        if users.number == 0 || !users.rows.is_empty() {
            users.send()?;
        }
        Ok(sender.blocking_send(Message::End(Vec::new()))?)
    }
}

/// Turns the users of an export into rows, and sends them.
struct Users<'a> {
    rules: Rules,
    mapped: Vec<MappedColumn>,
    seen: Vec<bool>,
    passwords: Option<PasswordFile>,
    params: FirebaseParams,
    parser: ImportParser,
    keep_raw: bool,
    rows: Vec<Row>,
    bytes: usize,
    /// How many users were read.
    number: u64,
    is_first: bool,
    sender: &'a mpsc::Sender<Message>,
    read: Arc<AtomicU64>,
}

impl Users<'_> {
    fn read(&mut self, input: impl BufRead, shape: Shape) -> Result<(), ReadFailed> {
        document::each_user(input, shape, &mut |user| self.add(user))
    }

    fn add(&mut self, user: Result<Value, String>) -> Result<(), ReadFailed> {
        self.number += 1;
        let found = match user {
            Ok(Value::Object(user)) => self.found(&Value::Object(user))?,
            Ok(_) => Err("is not a JSON object".to_owned()),
            Err(reason) => Err(reason),
        };
        let id = found.as_ref().ok().map(|found| found.get(Field::LegacyId)).filter(|id| !id.is_empty());
        let place = id.map_or(Place::User(self.number), |id| Place::UserWithId(id.to_owned()));
        self.bytes += found.as_ref().map_or(0, Found::bytes);
        self.rows.push(self.rules.row(place, found, self.parser, self.keep_raw));
        if self.rows.len() == UserImport::MAX_BATCH || self.bytes >= BATCH_BYTES { self.send() } else { Ok(()) }
    }

    /// The fields of a user, or why it cannot be read.
    fn found(&mut self, user: &Value) -> Result<Result<Found, String>, ReadFailed> {
        let found = match self.rules.system {
            System::Firebase => firebase::user(user, &self.params),
            System::Keycloak => keycloak::user(user),
            _ => match auth0::user(user) {
                Ok(found) => match &mut self.passwords {
                    Some(passwords) => passwords.add_to(found).map_err(ReadFailed::Io)?,
                    None => Ok(found),
                },
                Err(reason) => Err(reason),
            },
        };
        let mut found = match found {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        for (map, seen) in self.mapped.iter().zip(&mut self.seen) {
            let Some(value) = user.get(&map.column) else { continue };
            *seen = true;
            let given = match map.field {
                Field::Groups => names(user, &map.column).map(|names| found.groups = names),
                field => text(user, &map.column).map(|text| found.set(field, text)),
            };
            if given.is_err() && !value.is_null() {
                return Ok(given.map(|()| found));
            }
        }
        Ok(Ok(found))
    }

    fn send(&mut self) -> Result<(), ReadFailed> {
        if let Some((map, _)) = self.mapped.iter().zip(&self.seen).find(|(_, seen)| self.is_first && !**seen) {
            let count = self.rows.len();
            return Err(ReadFailed::Format(format!(
                "--map names {:?}, which is no key of the first {count} users",
                map.column
            )));
        }
        self.is_first = false;
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        Ok(self.sender.blocking_send(Message::Batch(rows, self.read.load(Ordering::Relaxed)))?)
    }
}

/// The text of a key, which is empty where the key or its value is missing.
fn text(user: &Value, key: &str) -> Result<String, String> {
    match user.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Bool(value)) => Ok(value.to_string()),
        Some(Value::Number(number)) if !number.is_f64() => Ok(number.to_string()),
        Some(_) => Err(format!("has neither a text, a whole number, true, false nor null as {key}")),
    }
}

/// The texts of a list, which is empty where the key is missing.
fn names(user: &Value, key: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("has no list of texts as {key}");
    match user.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// The first text that is not empty, without the white space around it.
fn first<const N: usize>(texts: [Result<String, String>; N]) -> Result<String, String> {
    for text in texts {
        let text = text?;
        if !text.trim().is_empty() {
            return Ok(text.trim().to_owned());
        }
    }
    Ok(String::new())
}

/// Two parts of a name, of which either may be missing.
fn joined(user: &Value, parts: [&str; 2]) -> Result<String, String> {
    let [first, last] = parts;
    let name = format!("{} {}", text(user, first)?.trim(), text(user, last)?.trim());
    Ok(name.trim().to_owned())
}

/// Reads a small file of the operator.
fn read_small(path: &Path) -> Result<String, CliError> {
    const MOST: u64 = 64 << 10;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    read.map_err(|error| CliError::failure(handstamp::private_files::cannot("read", path, &error)))?;
    Ok(text)
}

#[cfg(test)]
mod tests;
