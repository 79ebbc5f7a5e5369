//! The section `hashing`: the cost of hashing passwords, and how many are hashed at once.

use std::ops::RangeInclusive;

use handstamp_core::{Argon2Params, InvalidSetting};

use super::setting::{invalid, parse};
use super::{Config, Setting};

/// The cost of hashing passwords, and how many are hashed at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct HashingConfig {
    /// The parameters of Argon2id: by default 19,456 KiB of memory, 2 passes and 1 lane.
    pub params: Argon2Params,
    /// How many hashes are computed at once, within [`CONCURRENCY_RANGE`](Self::CONCURRENCY_RANGE); by default the number of
    /// cores. More than that slows down all hashes and all other requests.
    pub concurrency: usize,
    /// How many passwords may wait to be hashed, within [`QUEUE_RANGE`](Self::QUEUE_RANGE); 64 by default. Beyond that the
    /// response is 503, after a second.
    pub queue: usize,
}

impl HashingConfig {
    /// The bounds of [`concurrency`](Self::concurrency): 1 to 1024.
    pub const CONCURRENCY_RANGE: RangeInclusive<usize> = 1..=1024;
    /// The bounds of [`queue`](Self::queue): 0 to 1,000,000.
    pub const QUEUE_RANGE: RangeInclusive<usize> = 0..=1_000_000;
}

impl Default for HashingConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { params: Argon2Params::default(), concurrency: cores.min(*Self::CONCURRENCY_RANGE.end()), queue: 64 }
    }
}

/// A setting of one parameter of Argon2id. Its bounds depend on the others, which must be set in the order of
/// [`settings`]: any memory is valid with the default passes and lanes.
fn parameter(
    name: &str,
    get: fn(&Argon2Params) -> u32,
    with: fn(&Argon2Params, u32) -> Result<Argon2Params, InvalidSetting>,
) -> Setting<Config> {
    Setting::text(name, move |config: &mut Config, text| {
        config.hashing.params = with(&config.hashing.params, parse(text)?)?;
        Ok(())
    })
    .shown(move |config| get(&config.hashing.params).to_string())
}

fn params(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Argon2Params, InvalidSetting> {
    Argon2Params::new(memory_kib, iterations, parallelism).map_err(invalid)
}

pub(super) fn settings() -> Vec<Setting<Config>> {
    vec![
        parameter("hashing.memory_kib", Argon2Params::memory_kib, |other, memory_kib| {
            params(memory_kib, other.iterations(), other.parallelism())
        })
        .values(format!("8 for each lane, to `{}`", Argon2Params::MAX_MEMORY_KIB))
        .about("Memory of one Argon2id hash, in KiB. All passes together process at most 4 GiB."),
        parameter("hashing.iterations", Argon2Params::iterations, |other, iterations| {
            params(other.memory_kib(), iterations, other.parallelism())
        })
        .values(format!("`1` to `{}`", Argon2Params::MAX_ITERATIONS))
        .about("Passes of Argon2id over the memory."),
        parameter("hashing.parallelism", Argon2Params::parallelism, |other, parallelism| {
            params(other.memory_kib(), other.iterations(), parallelism)
        })
        .values(format!("`1` to `{}`", Argon2Params::MAX_PARALLELISM))
        .about("Lanes of Argon2id."),
        Setting::bounded(
            "hashing.concurrency",
            HashingConfig::CONCURRENCY_RANGE,
            |config: &Config| config.hashing.concurrency,
            |config, concurrency| config.hashing.concurrency = concurrency,
        )
        .default_is("the number of cores")
        .about("Password hashes computed at once."),
        Setting::bounded(
            "hashing.queue",
            HashingConfig::QUEUE_RANGE,
            |config: &Config| config.hashing.queue,
            |config, queue| config.hashing.queue = queue,
        )
        .about("Requests that wait for a hash. One more gets 503 after a second."),
    ]
}
