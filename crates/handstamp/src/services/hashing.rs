//! Passwords are hashed on threads of their own: some at once, some more in a queue with a share for each, and nothing beyond that.

mod queue;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use handstamp_core::{HashMemory, HashSettings, Password, PasswordHash, PasswordPolicy, PasswordRefusal, Verdict};
use tokio::time::sleep;

use crate::config::HashingConfig;
use crate::error::Fault;

pub(crate) use queue::Share;
use queue::{Crowded, Held, Queue};

/// How long it takes to say that there is no place. Whoever floods tries again as soon as it is said, and those refused at once
/// took half of a core from those whose passwords were hashed.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// Hashes passwords.
pub(crate) struct Hashing {
    settings: HashSettings,
    queue: Arc<Queue>,
    /// One for each hash that is computed at once, kept for the next.
    memories: Arc<Mutex<Vec<HashMemory>>>,
}

/// A place among those whose passwords are hashed, now or soon. Whoever has none learns it before anything is done.
pub(crate) struct Place<'a> {
    hashing: &'a Hashing,
    held: Held,
}

/// Whether a password was the right one.
pub(crate) enum Checked {
    Wrong,
    Right {
        /// A new hash of it, where the stored one was made with other settings.
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

    /// A place for one hash, if there is one now. If there is none, it takes a second to say so.
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
    /// Whether `password` belongs to `stored`. It costs the same when there is no stored hash.
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

    /// Hashes a password that the policy accepts, and says why it does not otherwise.
    pub(crate) async fn accept(
        self,
        policy: PasswordPolicy,
        password: Password,
        context: Vec<String>,
        salt: [u8; 16],
    ) -> Result<Result<PasswordHash, PasswordRefusal>, Fault> {
        let settings = self.hashing.settings;
        // The estimate of strength takes milliseconds as well: it has its turn like a hash.
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
            // Turn and place end with the work, even if whoever asked has gone.
            drop(held);
            result
        });
        Ok(done.await?)
    }
}

#[cfg(test)]
impl Hashing {
    /// What all hashes have cost so far, once none is under way.
    pub(crate) fn passed_kib(&self) -> u64 {
        self.memories.lock().unwrap().iter().map(HashMemory::passed_kib).sum()
    }
}
