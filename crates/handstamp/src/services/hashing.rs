//! Hashes passwords on blocking threads, with limited concurrency and a fair, bounded queue.

mod queue;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use handstamp_core::{HashMemory, HashSettings, Password, PasswordHash, PasswordPolicy, PasswordRefusal, Verdict};
use tokio::time::sleep;

use crate::config::HashingConfig;
use crate::error::Fault;

pub(crate) use queue::Share;
use queue::{Crowded, Held, Queue};

/// The delay before a request is refused because the queue is full. A flooding client retries as soon as it is refused, and
/// requests that were refused at once took half of a core from the hashes.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// The password hasher, with its queue and its memory.
pub(crate) struct Hashing {
    settings: HashSettings,
    queue: Arc<Queue>,
    /// The working memory of the hashes, one for each that is computed at once, kept for reuse.
    memories: Arc<Mutex<Vec<HashMemory>>>,
}

/// A permit to hash one password, now or in turn. It is acquired first, so that a request without one is refused before any other
/// work is done.
pub(crate) struct Place<'a> {
    hashing: &'a Hashing,
    held: Held,
}

/// The result of a password check.
pub(crate) enum Checked {
    Wrong,
    Right {
        /// A new hash of the password, if the stored one was made with other settings.
        renewed: Option<PasswordHash>,
    },
}

impl Hashing {
    pub(crate) fn new(config: &HashingConfig) -> Self {
        Self {
            settings: config.settings,
            queue: Arc::new(Queue::new(config.concurrency, config.queue)),
            memories: Arc::new(Mutex::new(Vec::new())),
        }
    }

    /// Acquires a permit for one hash. If the queue is full, it fails after a second.
    pub(crate) async fn reserve(&self, share: Share) -> Result<Place<'_>, Fault> {
        match self.queue.reserve(share) {
            Ok(held) => Ok(Place { hashing: self, held }),
            Err(crowded) => Err(overloaded(crowded).await),
        }
    }
}

async fn overloaded(_: Crowded) -> Fault {
    sleep(REFUSED_AFTER).await;
    Fault::Overloaded
}

impl Place<'_> {
    /// Checks `password` against `stored`. The cost is the same if there is no stored hash.
    pub(crate) async fn check(
        self,
        stored: Option<PasswordHash>,
        password: Password,
        salt: [u8; 16],
    ) -> Result<Checked, Fault> {
        let settings = self.hashing.settings;
        self.run(move |memory| match settings.check(stored.as_ref(), &password, memory)? {
            Verdict::Wrong => Ok(Checked::Wrong),
            Verdict::Right { to_hash_again } => {
                Ok(Checked::Right { renewed: to_hash_again.map(|again| settings.hash(&again, salt, memory)) })
            }
        })
        .await?
    }

    /// Hashes a new password if the policy accepts it, or returns why it does not.
    pub(crate) async fn accept(
        self,
        policy: PasswordPolicy,
        password: Password,
        context: Vec<String>,
        salt: [u8; 16],
    ) -> Result<Result<PasswordHash, PasswordRefusal>, Fault> {
        let settings = self.hashing.settings;
        // The strength estimate takes milliseconds as well, so it waits for a turn like a hash.
        self.run(move |memory| {
            let context: Vec<&str> = context.iter().map(String::as_str).collect();
            policy.accept(password, &context).map(|password| settings.hash(&password, salt, memory))
        })
        .await
    }

    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let Self { hashing, held } = self;
        if let Err(crowded) = held.turn().await {
            return Err(overloaded(crowded).await);
        }
        let memories = Arc::clone(&hashing.memories);
        let done = tokio::task::spawn_blocking(move || {
            let memory = memories.lock().expect("no hash panics while it holds the list").pop();
            let mut memory = memory.unwrap_or_default();
            let result = work(&mut memory);
            memories.lock().expect("no hash panics while it holds the list").push(memory);
            // The turn and the permit end with the work, even if the request was cancelled.
            drop(held);
            result
        });
        Ok(done.await?)
    }
}

#[cfg(test)]
impl Hashing {
    /// The cost of all hashes so far, in KiB of memory passed over. Call it while no hash is running.
    pub(crate) fn passed_kib(&self) -> u64 {
        self.memories.lock().unwrap().iter().map(HashMemory::passed_kib).sum()
    }
}
