//! The sessions of the framework that the site has left: exchanged for sessions of ours until a date, once over all nodes.

mod end;
mod exchange;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use handstamp_core::Timestamp;
use handstamp_core::legacy_cookie::{LegacyCookie, LegacyCookies, StoredSessionKey};

pub(crate) use exchange::LegacyExchanged;

use super::{JobOutcome, Services};
use crate::config::{Config, ConfigError, ConfigErrors, LegacyConfig};
use crate::events::Event;
use crate::internal_error::InternalError;
use crate::store::LegacyTable;

const EXCHANGES: &str = "handstamp_legacy_exchanges_total";

/// How often the log reminds of the open window.
const REMIND_EVERY: Duration = Duration::from_secs(86_400);
/// How long digests are kept beyond the end of the window: an operator may open it again.
const KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);

/// The sessions of the framework that the site has left.
pub(crate) struct LegacySessions {
    framework: &'static str,
    cookies: LegacyCookies,
    names: Vec<String>,
    until: Timestamp,
    /// Whether a session may name the user by the address.
    by_address: bool,
    store: Option<LegacyStore>,
    /// When the log has last told of the window, in seconds since 1970; after its end the largest number.
    told_at: AtomicU64,
}

/// Where the framework stores its sessions.
enum LegacyStore {
    Table(LegacyTable),
    Folder(PathBuf),
}

/// A stored session: its content, and when it expires where that stands beside it.
struct FoundSession {
    content: String,
    expires_at: Option<Timestamp>,
}

impl LegacySessions {
    /// None if the settings name no framework.
    ///
    /// # Errors
    /// When the window is longer than any, or the store cannot be opened as the settings say.
    pub(super) fn new(config: &Config, now: Timestamp) -> Result<Option<Self>, ConfigErrors> {
        let error = |setting: &str, message: String| {
            ConfigErrors::of(ConfigError { setting: setting.to_owned(), value: None, message })
        };
        let legacy = &config.legacy;
        let Some((settings, until)) = legacy.settings().zip(legacy.until) else { return Ok(None) };
        if until.since(now) > LegacyConfig::MAX_WINDOW {
            let days = LegacyConfig::MAX_WINDOW.as_secs() / 86_400;
            return Err(error("legacy.until", format!("must be at most {days} days ahead")));
        }
        let cookies = LegacyCookies::new(&settings).map_err(|invalid| error("legacy.kind", invalid.to_string()))?;
        let table = |name: &String| {
            let database = legacy.database.as_ref().unwrap_or(&config.database);
            LegacyTable::new(database, settings.kind, name).map(LegacyStore::Table)
        };
        let table = legacy.table.as_ref().map(table).transpose();
        let table = table.map_err(|_| error("legacy.database", "is not the URL of a database".to_owned()))?;
        metrics::describe_counter!(EXCHANGES, "Sessions of the former framework, by what became of the exchange");
        Ok(Some(Self {
            framework: settings.kind.name(),
            names: cookies.cookie_names(),
            cookies,
            until,
            by_address: settings.user_key.is_some(),
            store: table.or_else(|| legacy.folder.clone().map(LegacyStore::Folder)),
            told_at: AtomicU64::new(0),
        }))
    }

    /// The names under which browsers send the cookie.
    pub(crate) fn cookie_names(&self) -> &[String] {
        &self.names
    }

    /// Whether a cookie opens to a session that may be exchanged, as far as that needs no reading.
    pub(crate) fn opens(&self, value: &str, now: Timestamp) -> bool {
        now < self.until
            && match self.cookies.open(value, now) {
                Ok(LegacyCookie::Session(_)) => true,
                Ok(LegacyCookie::Stored(_)) => self.store.is_some(),
                Err(_) => false,
            }
    }

    /// Whether a cookie is one of the framework, whatever its times.
    pub(crate) fn is_authentic(&self, value: &str) -> bool {
        self.cookies.digest_to_end(value).is_ok()
    }

    /// How long the window is still open.
    pub(crate) fn rest(&self, now: Timestamp) -> Duration {
        self.until.since(now)
    }

    /// Closes the connections to the store.
    pub(crate) async fn close(&self) {
        if let Some(LegacyStore::Table(table)) = &self.store {
            table.close().await;
        }
    }

    /// Reads a stored session; none if there is no such session.
    async fn find(&self, key: &StoredSessionKey) -> Result<Option<FoundSession>, String> {
        match &self.store {
            None => Ok(None),
            Some(LegacyStore::Table(table)) => {
                let row = table.find(key.expose()).await.map_err(|error| error.to_string())?;
                Ok(row.map(|row| FoundSession { content: row.content, expires_at: row.expires_at }))
            }
            Some(LegacyStore::Folder(folder)) => {
                let (folder, id) = (folder.clone(), key.expose().to_owned());
                let read = tokio::task::spawn_blocking(move || read_file(&folder, &id)).await;
                let content = read.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                Ok(content.map(|content| FoundSession { content, expires_at: None }))
            }
        }
    }
}

/// The file of a session, as session-file-store writes it. A folder that is not there is an error, and a missing file is none.
fn read_file(folder: &Path, id: &str) -> std::io::Result<Option<String>> {
    let is_name = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_name {
        return Ok(None);
    }
    let file = match File::open(folder.join(format!("{id}.json"))) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.is_dir() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = String::new();
    file.take(LegacyCookies::MAX_STORED_BYTES as u64 + 1).read_to_string(&mut content)?;
    Ok(Some(content))
}

impl Services {
    /// Tells the log that the window is open, once a day, and once that it is over.
    pub(crate) async fn remind_of_legacy(&self) -> Result<JobOutcome, InternalError> {
        if let Some(legacy) = &self.legacy {
            let (now, told_at) = (self.sessions.now(), legacy.told_at.load(Ordering::Relaxed));
            let (framework, until) = (legacy.framework, &legacy.until);
            if now >= legacy.until {
                if told_at != u64::MAX {
                    Event::LegacyWindowOver { framework, until }.record();
                    legacy.told_at.store(u64::MAX, Ordering::Relaxed);
                }
            } else if now.since(Timestamp::from_unix_seconds(told_at)) >= REMIND_EVERY {
                Event::LegacyWindowOpen { framework, until }.record();
                legacy.told_at.store(now.unix_seconds(), Ordering::Relaxed);
            }
        }
        Ok(JobOutcome::Done)
    }

    /// Deletes the digests of former sessions once the window has been closed for long.
    pub(crate) async fn purge_legacy_exchanges(&self) -> Result<JobOutcome, InternalError> {
        const AT_ONCE: usize = 1000;
        let Some(now) = self.sessions.believed_now() else { return Ok(JobOutcome::Deferred) };
        // A window that was made longer keeps the digests of before.
        let is_closed = self.legacy.as_ref().is_none_or(|legacy| now >= legacy.until.after(KEPT_FOR));
        if is_closed {
            while self.store.purge_legacy_exchanges(now.before(KEPT_FOR), AT_ONCE).await? > 0 {}
        }
        Ok(JobOutcome::Done)
    }
}
