//! The secret keys of the nodes: each node tells the others which keys it knows, so that a rotation never leaves one behind.
//!
//! A node that does not know the key of another cannot open its tokens, and so cannot end its sessions. Therefore a node does not
//! start beside another that does not share its keys. The rows are independent of the lease: nodes without a cache have one too.

mod announce;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use handstamp_core::{SecretKeyId, SessionTokens};
use uuid::Uuid;

use crate::environment::Environment;

/// How often a node writes its row.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// A node whose row has not been written for as long is gone.
const GONE: Duration = Duration::from_secs(15);
/// After this the row of a node that is gone is deleted.
const FORGET: Duration = Duration::from_secs(60);
/// How often the rows are read while other nodes are observed.
const OBSERVE_EVERY: Duration = Duration::from_millis(500);

const UNSHARED: &str = "handstamp_secret_key_unshared_nodes";

/// The secret keys of this process, as the other nodes see them.
pub(crate) struct KnownKeys {
    /// The id of this run of the process.
    id: Uuid,
    name: String,
    /// The ids of the keys, the current one first.
    keys: Vec<SecretKeyId>,
    /// Until when the current key is noted to sign, in seconds since the Unix epoch.
    noted_until: AtomicU64,
    /// The number of times that each other node has written its row, and since when this node has seen that number.
    observed: Mutex<BTreeMap<Uuid, (i64, Duration)>>,
    /// The nodes that do not share the keys, as far as the log was told.
    told: Mutex<Vec<String>>,
}

impl KnownKeys {
    pub(crate) fn new(tokens: &SessionTokens, environment: &Environment) -> Self {
        metrics::describe_gauge!(UNSHARED, "Running nodes that do not share the secret keys of this node");
        Self {
            id: uuid::Builder::from_random_bytes(environment.random()).into_uuid(),
            name: format!("{} (process {})", host(), std::process::id()),
            keys: tokens.secret_ids().collect(),
            noted_until: AtomicU64::new(0),
            observed: Mutex::default(),
            told: Mutex::default(),
        }
    }
}

/// The name of this machine.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "node".to_owned())
}
