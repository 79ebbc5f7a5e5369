//! Hashes passwords on threads of their own, with limited concurrency and a fair, bounded queue.

mod queue;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use handstamp_core::{
    Argon2Params, HashMemory, ImportSecrets, ImportedHash, ImportedPasswords, Password, PasswordError, PasswordHash,
    PasswordMatch, PasswordPolicy, WeakHash,
};
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::blocklist::Blocklist;
use crate::config::HashingConfig;
use crate::internal_error::InternalError;
use crate::model::StoredPassword;
use crate::trace;

pub(crate) use queue::Share;
use queue::{Queue, QueueFull, QueuePermit};

/// The delay before a request is refused because the queue is full. A flooding client retries as soon as it is refused, and
/// requests that were refused at once took half of a core from the hashes.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

const QUEUED: &str = "handstamp_hash_queue_length";

/// The password hasher, with its queue and its memory.
pub(crate) struct PasswordHasher {
    settings: Argon2Params,
    /// The secrets by which the former system hashed passwords.
    secrets: ImportSecrets,
    queue: Arc<Queue>,
    threads: HashThreads,
    /// The working memory of the hashes, one for each that is computed at once, kept for reuse.
    memories: Arc<Mutex<Vec<HashMemory>>>,
}

/// The threads that hash, as many as hash at once. Some crates allocate the memory of a hash themselves, and the allocator keeps an
/// arena for each thread. On all blocking threads of the caller's runtime, up to 525 MiB stayed resident.
struct HashThreads(Option<Runtime>);

impl HashThreads {
    fn new(count: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(count)
            .thread_name("password-hash")
            .build()
            .expect("a runtime without drivers opens nothing that can fail");
        Self(Some(runtime))
    }

    /// Runs `work` on one of the threads. It waits while all of them are busy.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, InternalError> {
        let runtime = self.0.as_ref().expect("only the drop takes the runtime");
        Ok(runtime.spawn_blocking(work).await?)
    }
}

impl Drop for HashThreads {
    /// Ends the threads without waiting for their hashes, since a task of another runtime may drop them and must not block.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A permit to hash one password, now or in turn. It is acquired first, so that a request without one is refused before any other
/// work is done.
pub(crate) struct HashPermit<'a> {
    hashing: &'a PasswordHasher,
    permit: QueuePermit,
}

/// The result of a password check.
pub(crate) enum Verification {
    Invalid,
    Valid {
        /// A new hash of the password, if the stored one was made with other settings.
        rehashed: Option<PasswordHash>,
    },
}

impl PasswordHasher {
    pub(crate) fn new(config: &HashingConfig, secrets: ImportSecrets) -> Self {
        metrics::describe_gauge!(QUEUED, "Passwords that are hashed or wait for their turn");
        Self {
            settings: config.params,
            secrets,
            queue: Arc::new(Queue::new(config.concurrency, config.queue)),
            threads: HashThreads::new(config.concurrency),
            memories: Arc::new(Mutex::new(Vec::new())),
        }
    }

    /// Acquires a permit for one hash. If the queue is full, it fails after a second.
    pub(crate) async fn reserve(&self, share: Share) -> Result<HashPermit<'_>, InternalError> {
        match self.queue.reserve(share) {
            Ok(permit) => Ok(HashPermit { hashing: self, permit }),
            Err(full) => Err(overloaded(full).await),
        }
    }
}

impl PasswordHasher {
    /// Updates the gauge of the queue.
    pub(crate) fn record_gauges(&self) {
        metrics::gauge!(QUEUED).set(self.queue.len() as f64);
    }

    /// Hashes weak hashes of another system, each with its salt, on all cores. It takes no turns, since the server does not wait for it: a
    /// command imports users in a process of its own.
    pub(crate) async fn wrap_weak(
        &self,
        hashes: Vec<(WeakHash, [u8; 16])>,
    ) -> Result<Vec<ImportedHash>, InternalError> {
        let settings = self.settings;
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let size = hashes.len().div_ceil(threads).max(1);
        let (mut hashes, mut running) = (hashes.into_iter(), Vec::new());
        loop {
            let part: Vec<_> = hashes.by_ref().take(size).collect();
            if part.is_empty() {
                break;
            }
            running.push(tokio::task::spawn_blocking(move || {
                let mut memory = HashMemory::default();
                let wrap = |(hash, salt): (WeakHash, _)| hash.wrap(settings, salt, &mut memory);
                part.into_iter().map(wrap).collect::<Vec<_>>()
            }));
        }
        let mut wrapped = Vec::new();
        for part in running {
            wrapped.extend(part.await?);
        }
        Ok(wrapped)
    }
}

async fn overloaded(_: QueueFull) -> InternalError {
    sleep(REFUSED_AFTER).await;
    InternalError::Overloaded
}

impl HashPermit<'_> {
    /// Checks `password` against `stored`. The cost is the same if there is no stored hash, and whichever system made it.
    pub(crate) async fn check(
        self,
        stored: StoredPassword,
        password: Password,
        salt: [u8; 16],
    ) -> Result<Verification, InternalError> {
        let settings = self.hashing.settings;
        let StoredPassword { hash, hash_costs } = stored;
        let imported = ImportedPasswords { costs: hash_costs, secrets: self.hashing.secrets.clone() };
        self.run(move |memory| match settings.check_imported(&imported, hash.as_ref(), &password, memory)? {
            PasswordMatch::Invalid => Ok(Verification::Invalid),
            PasswordMatch::Valid { needs_rehash } => {
                Ok(Verification::Valid { rehashed: needs_rehash.map(|again| settings.hash(&again, salt, memory)) })
            }
        })
        .await?
    }

    /// Hashes a new password if the policy accepts it and it is not in the blocklist, or returns why it is refused.
    pub(crate) async fn hash_new(
        self,
        policy: PasswordPolicy,
        password: Password,
        context: Vec<String>,
        blocklist: Option<Arc<Blocklist>>,
        salt: [u8; 16],
    ) -> Result<Result<PasswordHash, PasswordError>, InternalError> {
        let settings = self.hashing.settings;
        // The strength estimate takes milliseconds as well, and the blocklist is on a disk, so both wait for a turn like a hash.
        self.run(move |memory| {
            let context: Vec<&str> = context.iter().map(String::as_str).collect();
            let password = match policy.accept(password, &context) {
                Ok(password) => password,
                Err(refusal) => return Ok(Err(refusal)),
            };
            match blocklist.map(|blocklist| blocklist.contains(password.password())).transpose()? {
                Some(true) => Ok(Err(PasswordError::Breached)),
                Some(false) | None => Ok(Ok(settings.hash(&password, salt, memory))),
            }
        })
        .await?
    }

    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, InternalError> {
        let Self { hashing, permit } = self;
        let parent = trace::current();
        let waiting = parent.as_ref().and_then(|_| trace::boxed(trace::span!("password hash queue")));
        if let Err(full) = trace::within(waiting, permit.turn(), |_, _| {}).await {
            return Err(overloaded(full).await);
        }
        let memories = Arc::clone(&hashing.memories);
        let work = move || {
            let _span = parent.map(|parent| trace::span!(in &parent, "password hash").entered());
            let memory = memories.lock().expect("no hash panics while it holds the list").pop();
            let mut memory = memory.unwrap_or_default();
            let result = work(&mut memory);
            memories.lock().expect("no hash panics while it holds the list").push(memory);
            // The turn and the permit end with the work, even if the request was cancelled.
            drop(permit);
            result
        };
        hashing.threads.run(work).await
    }
}

#[cfg(test)]
impl PasswordHasher {
    /// The cost of all hashes so far, in KiB of memory passed over. Call it while no hash is running.
    pub(crate) fn work_kib(&self) -> u64 {
        self.memories.lock().unwrap().iter().map(HashMemory::work_kib).sum()
    }

    /// The work of imported hashes since the last call, decoys included. Call it while no hash is running.
    pub(crate) fn take_imported_work(&self) -> Vec<handstamp_core::HashWork> {
        self.memories.lock().unwrap().drain(..).map(|memory| memory.imported_work().clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{IpAddr, Ipv4Addr};
    use std::thread;

    use futures_util::future::join_all;
    use handstamp_core::{AttemptKey, Network, Timestamp, UserId};

    use super::*;

    fn hasher(concurrency: usize) -> PasswordHasher {
        PasswordHasher::new(&HashingConfig { concurrency, ..HashingConfig::default() }, ImportSecrets::default())
    }

    fn share(account: u8) -> Share {
        Share {
            network: Network::of(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            account: AttemptKey::user(UserId::new(Timestamp::from_unix_seconds(0), [account; 10])),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn passwords_are_hashed_on_no_more_threads_than_hash_at_once() {
        let hasher = hasher(3);
        let mut threads = HashSet::new();
        for _ in 0..10 {
            let hashes = (0..60).map(|account| {
                let hasher = &hasher;
                async move {
                    let permit = hasher.reserve(share(account)).await.unwrap();
                    let work = |_: &mut HashMemory| {
                        thread::sleep(Duration::from_millis(1));
                        thread::current().id()
                    };
                    permit.run(work).await.unwrap()
                }
            });
            threads.extend(join_all(hashes).await);
            // Other blocking work of the application has threads of its own.
            let others = (0..20).map(|_| tokio::task::spawn_blocking(|| thread::sleep(Duration::from_millis(1))));
            join_all(others).await;
        }
        assert_eq!(threads.len(), 3);
        assert_eq!(hasher.memories.lock().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_hash_that_panics_takes_neither_a_turn_nor_a_thread_along() {
        let hasher = hasher(1);
        for _ in 0..3 {
            let permit = hasher.reserve(share(1)).await.unwrap();
            let panicked = permit.run(|_| -> () { panic!("a test of panics") }).await;
            assert!(matches!(panicked, Err(InternalError::Task(_))));
        }
        assert_eq!(hasher.reserve(share(1)).await.unwrap().run(|_| 42).await.unwrap(), 42);
    }
}
