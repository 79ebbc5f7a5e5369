//! The sources of settings: `handstamp.toml`, the environment and flags. A later source wins, and secrets may be in files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

use handstamp::{ConfigError, Setting, SettingValue, private_files};

use super::Note;
use crate::cli::{AddressArgs, DataArgs};

const DEFAULT_FILE: &str = "handstamp.toml";
/// The beginning of the names of environment variables.
pub(super) const PREFIX: &str = "HANDSTAMP_";

/// The settings that have a flag.
pub(super) const FLAGS: [(&str, &str); 5] = [
    ("listen", "--listen"),
    ("public_url", "--public-url"),
    ("data_dir", "--data-dir"),
    ("trusted_proxies", "--trusted-proxy"),
    ("app.url", "--app"),
];

/// The settings that are the path of a file with a secret.
const SECRET_PATHS: [&str; 1] = ["tls.key_file"];

/// A value as it was given, and its source.
struct RawValue {
    value: SettingValue,
    origin: String,
}

/// A setting in force.
#[derive(Debug)]
pub(crate) struct InForce {
    /// The name; for a setting of entries, that of the entry is in it.
    pub(crate) name: String,
    /// The value as it was given, or the default in words. None for a secret that was given, and where the default is none.
    pub(crate) value: Option<String>,
    /// The file, variable or flag that gives it; none for the default.
    pub(crate) source: Option<String>,
    pub(crate) secret: bool,
}

/// The values that all sources give to settings, and what is wrong or notable about the sources.
pub(super) struct Sources<'s, T> {
    settings: &'s [Setting<T>],
    given: BTreeMap<String, RawValue>,
    faults: Vec<String>,
    notes: Vec<Note>,
}

impl<'s, T> Sources<'s, T> {
    /// Reads the sources of these settings. A chosen settings file must exist, the default one need not.
    pub(super) fn read(
        settings: &'s [Setting<T>],
        data: &DataArgs,
        address: &AddressArgs,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut sources = Self { settings, given: BTreeMap::new(), faults: Vec::new(), notes: Vec::new() };
        sources.take_file(data.config.as_deref());
        sources.take_environment(environment);
        sources.take_flags(data, address);
        sources.read_secret_files();
        for name in SECRET_PATHS {
            if let Some(RawValue { value: SettingValue::Text(path), .. }) = sources.given.get(name) {
                let path = path.clone();
                sources.look_at_rights(Path::new(&path), true);
            }
        }
        sources
    }

    /// Whether any source gives this setting.
    pub(super) fn gives(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// Stores all values in `target` and validates it. Returns the notes on the sources.
    ///
    /// # Errors
    /// All errors, as messages for the operator without the values of secrets.
    pub(super) fn store(mut self, target: &mut T) -> Result<Vec<Note>, Vec<String>> {
        let settings = self.settings;
        let mut found = Vec::new();
        for (place, setting) in settings.iter().enumerate() {
            for (entry, given) in self.values_of(setting) {
                let errors = setting.set(target, entry, &given.value).err().into_iter().flatten();
                found.extend(errors.map(|error| (place, self.fault(setting, &error))));
            }
        }
        for (place, setting) in settings.iter().enumerate() {
            let errors = setting.validate(target).err().into_iter().flatten();
            found.extend(errors.map(|error| (place, self.fault(setting, &error))));
        }
        found.sort_by_key(|(place, _)| *place);
        self.faults.extend(found.into_iter().map(|(_, fault)| fault));
        self.refuse_unknown();
        if self.faults.is_empty() { Ok(self.notes) } else { Err(self.faults) }
    }

    /// Each setting with its value and its source. Settings of entries are there for each entry that has them.
    pub(super) fn in_force(&self, defaults: &T) -> Vec<InForce> {
        let mut all = Vec::new();
        for setting in self.settings {
            let secret = setting.is_secret();
            let before = all.len();
            for (key, given) in self.given.iter().filter(|(key, _)| setting.entry_of(key).is_some()) {
                let value = match &given.value {
                    SettingValue::Text(text) => text.clone(),
                    SettingValue::List(items) => items.join(", "),
                };
                let (value, source) = ((!secret).then_some(value), Some(given.origin.clone()));
                all.push(InForce { name: key.clone(), value, source, secret });
            }
            if all.len() == before && setting.entry_of(setting.name()) == Some("") {
                let default = Some(setting.default_in_words(defaults)).filter(|default| default != "none");
                let value = default.map(|default| default.replace('`', ""));
                all.push(InForce { name: setting.name().to_owned(), value, source: None, secret });
            }
        }
        all
    }

    /// The values given to a setting, each with the name of its entry.
    fn values_of<'a>(&'a self, setting: &'a Setting<T>) -> impl Iterator<Item = (&'a str, &'a RawValue)> {
        self.given.iter().filter_map(|(key, given)| Some((setting.entry_of(key)?, given)))
    }

    fn fault(&self, setting: &Setting<T>, error: &ConfigError) -> String {
        let ConfigError { setting: key, value, message, .. } = error;
        let Some(given) = self.given.get(key) else { return format!("{key}: {message}") };
        let text = match &given.value {
            SettingValue::Text(text) => Some(text),
            SettingValue::List(_) => None,
        };
        let value = value.as_ref().or(text).filter(|value| !setting.is_secret() && !value.is_empty());
        let value = value.map(|value| format!(" {value:?}")).unwrap_or_default();
        format!("{key}{value} (from {}): {message}", given.origin)
    }

    fn is_secret(&self, key: &str) -> bool {
        self.settings.iter().any(|setting| setting.is_secret() && setting.entry_of(key).is_some())
    }

    fn take_file(&mut self, chosen: Option<&Path>) {
        let path = chosen.unwrap_or(Path::new(DEFAULT_FILE));
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if chosen.is_none() && error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.faults.push(private_files::cannot("read", path, &error)),
        };
        let origin = path.display().to_string();
        match toml::Table::from_str(&text) {
            Ok(table) => self.take_table("", table, &origin),
            // The message of the parser quotes the line, which may hold a secret.
            Err(error) => {
                let line = error.span().map(|span| format!("line {}: ", line_of(&text, span.start)));
                self.faults.push(format!("{origin}: {}{}", line.unwrap_or_default(), error.message()));
            }
        }
        self.look_at_rights(path, self.given.keys().any(|key| self.is_secret(key)));
        if chosen.is_none() {
            let path = std::path::absolute(path).unwrap_or(path.to_owned());
            self.notes.push(Note::Information(format!("reading {}, which is in the current folder", path.display())));
        }
    }

    /// Checks which other users may write or read a settings file. A secret that every user can write is refused, since
    /// another user may have chosen it. The group and another owner only cause a warning: they may be intended, and a
    /// container shows files of its host under the host's user ids.
    fn look_at_rights(&mut self, path: &Path, holds_secret: bool) {
        let Ok(metadata) = std::fs::metadata(path) else { return };
        let path = path.display();
        if metadata.mode() & 0o002 != 0 && holds_secret {
            self.faults
                .push(format!("everybody can write {path}, which holds a secret; close it with: chmod 600 {path}"));
        } else if let Some(who) = who_else_writes(&metadata) {
            self.notes.push(Note::Warning(format!("{who} can write {path} and so change the settings")));
        } else if metadata.mode() & 0o004 != 0 && holds_secret {
            let warning = format!("everybody can read {path}, which holds a secret; close it with: chmod 600 {path}");
            self.notes.push(Note::Warning(warning));
        }
    }

    /// Takes the values of a table. The entries of an array of tables are named by their position, from 0.
    fn take_table(&mut self, prefix: &str, table: toml::Table, origin: &str) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(table) => self.take_table(&format!("{key}."), table, origin),
                toml::Value::Array(items) if !items.is_empty() && items.iter().all(toml::Value::is_table) => {
                    let tables = items.into_iter().enumerate().map(|(place, table)| (place.to_string(), table));
                    self.take_table(&format!("{key}."), tables.collect(), origin);
                }
                toml::Value::Array(items) => {
                    let value = SettingValue::List(items.into_iter().map(text_of).collect());
                    self.insert(key, value, origin);
                }
                other => self.insert(key, SettingValue::Text(text_of(other)), origin),
            }
        }
    }

    fn insert(&mut self, key: String, value: SettingValue, origin: &str) {
        self.given.insert(key, RawValue { value, origin: origin.to_owned() });
    }

    fn take_environment(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) {
        let mut of_kubernetes = Vec::new();
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
            match value.into_string() {
                // `${VARIABLE:-}` in a compose file or a shell leaves it so.
                Ok(value) if value.is_empty() => {}
                Ok(value) if is_of_kubernetes(&name[PREFIX.len()..], &value) => of_kubernetes.push(name.to_owned()),
                Ok(value) => self.insert(key, SettingValue::Text(value), name),
                Err(_) => self.faults.push(format!("{name} is not valid UTF-8")),
            }
        }
        if !of_kubernetes.is_empty() {
            let names = of_kubernetes.join(", ");
            self.notes.push(Note::Information(format!(
                "ignoring the variables that Kubernetes sets for its Services: {names}"
            )));
        }
    }

    fn take_flags(&mut self, data: &DataArgs, address: &AddressArgs) {
        let text = |value: &Option<String>| value.clone().map(SettingValue::Text);
        let proxies = Some(&address.trusted_proxy).filter(|proxies| !proxies.is_empty());
        let values = [
            text(&address.listen),
            text(&address.public_url),
            text(&data.data_dir),
            proxies.cloned().map(SettingValue::List),
            text(&address.app),
        ];
        for ((name, flag), value) in FLAGS.into_iter().zip(values) {
            if let Some(value) = value {
                self.insert(name.to_owned(), value, flag);
            }
        }
    }

    /// Replaces the path of each secret that is given as a file by the text of that file.
    fn read_secret_files(&mut self) {
        let secret_of = |(key, given): (&String, &RawValue)| match (key.strip_suffix("_file"), &given.value) {
            (Some(secret), SettingValue::Text(path)) if self.is_secret(secret) => {
                Some((secret.to_owned(), path.clone()))
            }
            _ => None,
        };
        let secrets: Vec<_> = self.given.iter().filter_map(secret_of).collect();
        for (key, path) in secrets {
            let Some(RawValue { origin, .. }) = self.given.remove(&format!("{key}_file")) else { continue };
            if let Some(other) = self.given.get(&key) {
                self.faults.push(format!("{key}: given by {} and by {origin}", other.origin));
                continue;
            }
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    self.look_at_rights(Path::new(&path), true);
                    let value = SettingValue::Text(text.trim_end().to_owned());
                    self.insert(key, value, &format!("{origin}={path}"));
                }
                Err(error) => {
                    let cause = private_files::cannot("read", Path::new(&path), &error);
                    self.faults.push(format!("{key} (from {origin}): {cause}"));
                }
            }
        }
    }

    /// Reports the values that belong to no setting.
    fn refuse_unknown(&mut self) {
        let is_known = |key: &str| self.settings.iter().any(|setting| setting.entry_of(key).is_some());
        let unknown = self.given.iter().filter(|(key, _)| !is_known(key));
        let faults = unknown.map(|(key, given)| format!("{key} (from {}): there is no such setting", given.origin));
        let faults: Vec<_> = faults.collect();
        self.faults.extend(faults);
    }
}

/// The number of the line that contains this byte of a text.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

/// The users that may write a file or folder, besides root and the user of this process.
pub(super) fn who_else_writes(metadata: &Metadata) -> Option<String> {
    match (private_files::other_owner(metadata), metadata.mode()) {
        (_, mode) if mode & 0o002 != 0 => Some("everybody".to_owned()),
        (Some(owner), _) => Some(format!("the user {owner}")),
        (None, mode) if mode & 0o020 != 0 => Some(format!("the group {}", metadata.gid())),
        (None, _) => None,
    }
}

/// Whether Kubernetes sets this variable (given without our prefix) in every container, for a Service whose name is or begins
/// with handstamp. Such a variable ends with `PORT`, `PORT_80_TCP`, `PORT_80_TCP_ADDR`, `SERVICE_HOST`, `SERVICE_PORT` or
/// `SERVICE_PORT_HTTP`, after the rest of that name.
pub(super) fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let is_one = |name: &str| match name {
        "PORT" => value.contains("://"),
        "SERVICE_HOST" | "SERVICE_PORT" => true,
        _ => {
            name.strip_prefix("PORT_").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
                || name.starts_with("SERVICE_PORT_")
        }
    };
    is_one(name) || name.match_indices('_').any(|(at, _)| is_one(&name[at + 1..]))
}

fn text_of(value: toml::Value) -> String {
    match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(flag) => flag.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Array(_) | toml::Value::Table(_) => String::new(),
    }
}
