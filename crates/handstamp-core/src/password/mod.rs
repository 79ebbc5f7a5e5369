//! Passwords: which are accepted, how they are stored, and how one is checked without revealing which accounts exist.

mod imported;
mod policy;
#[cfg(test)]
mod tests;

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::Zeroizing;

pub use imported::{
    FirebaseParams, HashCost, HashCosts, HashWork, ImportSecrets, ImportedHash, ImportedPasswords, InvalidSignerKey,
    UnsupportedHash, WeakFormat, WeakHash,
};
pub use policy::{NewPassword, Password, PasswordError, PasswordPolicy, PasswordTooLong};

/// The cost of a hash: the parameters of Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Params {
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
}

/// The recommendation of OWASP's Password Storage Cheat Sheet: 19,456 KiB of memory, 2 passes and 1 lane.
impl Default for Argon2Params {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

impl Argon2Params {
    /// The most memory of a hash, in KiB: 1 GiB.
    pub const MAX_MEMORY_KIB: u32 = 1024 * 1024;
    /// The most passes.
    pub const MAX_ITERATIONS: u32 = 64;
    /// The most lanes.
    pub const MAX_PARALLELISM: u32 = 64;
    /// Four passes over 1 GiB, the most expensive preset of libsodium: some seconds of one core.
    const MAX_WORK_KIB: u64 = 4 * 1024 * 1024;
    const OUTPUT_BYTES: usize = 32;

    /// Memory in KiB, passes over it, and lanes.
    ///
    /// # Errors
    /// Outside of what RFC 9106 allows, and beyond 1 GiB, 64 passes, 64 lanes, or 4 GiB in all passes together. The same
    /// caps hold for hashes that are read from the database, so that no row can exhaust the machine.
    pub fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Self, Argon2ParamsError> {
        let settings = Self { memory_kib, iterations, parallelism };
        let capped = memory_kib <= Self::MAX_MEMORY_KIB
            && iterations <= Self::MAX_ITERATIONS
            && parallelism <= Self::MAX_PARALLELISM
            && settings.work_kib() <= Self::MAX_WORK_KIB;
        if !capped || Params::new(memory_kib, iterations, parallelism, None).is_err() {
            return Err(Argon2ParamsError);
        }
        Ok(settings)
    }

    /// Memory of one hash, in KiB.
    pub const fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Lanes, which may be computed in parallel.
    pub const fn parallelism(&self) -> u32 {
        self.parallelism
    }

    /// How much memory all passes of one hash process together.
    fn work_kib(&self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.iterations)
    }

    /// Whether the cost is at least what OWASP's Password Storage Cheat Sheet recommends, in one of its equivalent settings.
    pub fn is_recommended(&self) -> bool {
        [(47104, 1), (19456, 2), (12288, 3), (9216, 4), (7168, 5)]
            .iter()
            .any(|(memory_kib, iterations)| self.memory_kib >= *memory_kib && self.iterations >= *iterations)
    }

    /// Hashes a new password with a salt of 16 random bytes. Takes milliseconds of processor time, by design.
    pub fn hash(&self, password: &NewPassword, salt: [u8; 16], memory: &mut HashMemory) -> PasswordHash {
        let mut output = [0; Self::OUTPUT_BYTES];
        self.run(&password.0, &salt, &mut output, memory).expect("the parameters were checked when they were set");
        self.to_phc(&salt, &output)
    }

    /// Whether `password` is the one that `stored` is the hash of, on a site without imported hashes:
    /// [`check_imported`](Self::check_imported).
    ///
    /// # Errors
    /// When the stored text is not a supported hash.
    pub fn check(
        &self,
        stored: Option<&PasswordHash>,
        password: &Password,
        memory: &mut HashMemory,
    ) -> Result<PasswordMatch, InvalidHashError> {
        self.check_imported(&ImportedPasswords::default(), stored, password, memory)
    }

    /// Whether `password` is the one that `stored` is the hash of, which may be the hash of another system.
    ///
    /// A check always takes the time of one hash with these settings, and of one hash of each family in the costs of
    /// `imported`. Decoys are computed for those that the account does not have, and a cheaper stored hash is followed by
    /// the rest of the work. So the time reveals neither which accounts exist, nor which are old or imported.
    ///
    /// # Errors
    /// When the stored text is not a supported hash.
    pub fn check_imported(
        &self,
        imported: &ImportedPasswords,
        stored: Option<&PasswordHash>,
        password: &Password,
        memory: &mut HashMemory,
    ) -> Result<PasswordMatch, InvalidHashError> {
        let (own, foreign) = match stored {
            Some(stored) if !stored.is_own() => {
                (None, Some(ImportedHash::from_stored(stored).map_err(|_| InvalidHashError)?))
            }
            _ => (stored, None),
        };
        let kept_kib = self.memory_kib.max(imported.costs.argon2_memory_kib());
        let verdict = self.check_own(own, password, memory, kept_kib)?;
        if foreign.is_none() && imported.costs.is_empty() {
            return Ok(verdict);
        }
        let matches = imported.verify(foreign.as_ref(), password, memory);
        memory.shrink_to(kept_kib);
        if matches {
            return Ok(PasswordMatch::Valid { needs_rehash: Some(NewPassword(password.clone())) });
        }
        Ok(verdict)
    }

    fn check_own(
        &self,
        stored: Option<&PasswordHash>,
        password: &Password,
        memory: &mut HashMemory,
        kept_kib: u32,
    ) -> Result<PasswordMatch, InvalidHashError> {
        let parsed = match stored {
            Some(stored) => ParsedHash::new(stored)?,
            // Parsed and compared like any other, as an attacker can measure microseconds.
            None => ParsedHash::new(&memory.decoy(self))?,
        };
        let mut output = [0; 64];
        let output = output.get_mut(..parsed.output.len()).ok_or(InvalidHashError)?;
        parsed.settings.run(password, &parsed.salt, output, memory).map_err(|_| InvalidHashError)?;
        memory.shrink_to(kept_kib);
        if let Some(rest) = self.rest_after(&parsed.settings) {
            rest.run(password, &[0; 16], &mut [0; Self::OUTPUT_BYTES], memory).map_err(|_| InvalidHashError)?;
        }
        // `Output` compares in constant time.
        let matches = phc::Output::new(output).map_err(|_| InvalidHashError)? == parsed.output;
        if !matches || stored.is_none() {
            return Ok(PasswordMatch::Invalid);
        }
        let outdated = parsed.settings != *self;
        Ok(PasswordMatch::Valid { needs_rehash: outdated.then(|| NewPassword(password.clone())) })
    }

    /// The work by which a hash with these settings exceeds one with `done`, as separate settings.
    fn rest_after(&self, done: &Self) -> Option<Self> {
        let rest = self.work_kib().checked_sub(done.work_kib()).filter(|rest| *rest > 0)?;
        let iterations = rest.div_ceil(u64::from(self.memory_kib));
        let memory_kib = (rest / iterations).max(u64::from(Params::MIN_M_COST));
        Some(Self { memory_kib: memory_kib.try_into().ok()?, iterations: iterations.try_into().ok()?, parallelism: 1 })
    }

    fn run(&self, password: &Password, salt: &[u8], output: &mut [u8], memory: &mut HashMemory) -> argon2::Result<()> {
        self.run_variant(Algorithm::Argon2id, Version::V0x13, password.nfc.as_bytes(), salt, output, memory)
    }

    fn run_variant(
        &self,
        algorithm: Algorithm,
        version: Version,
        input: &[u8],
        salt: &[u8],
        output: &mut [u8],
        memory: &mut HashMemory,
    ) -> argon2::Result<()> {
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, Some(output.len()))?;
        let blocks = memory.blocks(params.block_count(), self.iterations);
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(input, salt, output, blocks)
    }

    fn to_phc(self, salt: &[u8], output: &[u8]) -> PasswordHash {
        let params = Params::new(self.memory_kib, self.iterations, self.parallelism, None);
        let params = params.ok().and_then(|params| phc::ParamsString::try_from(&params).ok());
        let hash = phc::PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: params.expect("the parameters were checked when they were set"),
            salt: Some(phc::Salt::new(salt).expect("a salt of 16 bytes is within the bounds of PHC")),
            hash: Some(phc::Output::new(output).expect("32 bytes are within the bounds of PHC")),
        };
        PasswordHash(Zeroizing::new(hash.to_string()))
    }
}

/// The result of checking a password.
#[derive(Debug)]
pub enum PasswordMatch {
    /// The password is wrong, or there was no hash to compare it with.
    Invalid,
    /// The password is right.
    Valid {
        /// The password, if the stored hash was made with other settings and should be replaced.
        needs_rehash: Option<NewPassword>,
    },
}

impl PasswordMatch {
    /// Whether the password is right.
    pub fn is_right(&self) -> bool {
        matches!(self, Self::Valid { .. })
    }
}

/// The settings are out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2ParamsError;

impl fmt::Display for Argon2ParamsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "memory_kib must be 8 times parallelism to {}, iterations 1 to {}, parallelism 1 to {}, and memory_kib times \
             iterations at most {}",
            Argon2Params::MAX_MEMORY_KIB,
            Argon2Params::MAX_ITERATIONS,
            Argon2Params::MAX_PARALLELISM,
            Argon2Params::MAX_WORK_KIB
        )
    }
}

impl std::error::Error for Argon2ParamsError {}

/// The memory that a hash works in, for reuse. Allocating 19 MiB for each hash costs milliseconds of page faults, and memory
/// that many threads allocate at once may never be returned to the system.
#[derive(Default)]
pub struct HashMemory {
    blocks: Vec<Block>,
    work_kib: u64,
    imported_work: HashWork,
    /// The hash that is checked where there is no stored one.
    decoy: Option<(Argon2Params, PasswordHash)>,
}

impl HashMemory {
    /// How much memory hashes have processed in here, in KiB: a measure of their cost that is the same on every machine.
    pub const fn work_kib(&self) -> u64 {
        self.work_kib
    }

    /// The work of the hashes of imported schemes in here, decoys included.
    pub const fn imported_work(&self) -> &HashWork {
        &self.imported_work
    }

    /// A hash with these settings that belongs to no account, encoded once and kept.
    fn decoy(&mut self, settings: &Argon2Params) -> PasswordHash {
        if self.decoy.as_ref().is_none_or(|(made_with, _)| made_with != settings) {
            self.decoy = Some((*settings, settings.to_phc(&[0; 16], &[0; Argon2Params::OUTPUT_BYTES])));
        }
        self.decoy.as_ref().map(|(_, decoy)| decoy.clone()).expect("it was made if it was not there")
    }

    /// Frees the memory that only a costly stored hash needed.
    fn shrink_to(&mut self, kib: u32) {
        let blocks = usize::try_from(kib).unwrap_or(usize::MAX);
        if self.blocks.len() > blocks {
            self.blocks.truncate(blocks);
            self.blocks.shrink_to_fit();
        }
    }

    fn blocks(&mut self, count: usize, passes: u32) -> &mut [Block] {
        if self.blocks.len() < count {
            self.blocks.resize_with(count, Block::new);
        }
        self.work_kib += count as u64 * u64::from(passes);
        &mut self.blocks[..count]
    }
}

/// A password hash as it is stored: a PHC string, or the text of an [`ImportedHash`]. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Zeroizing<String>);

impl PasswordHash {
    /// The hash that was stored as this text, which is parsed only when a password is checked.
    pub fn from_stored(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The hash of this text, if it is one of our own.
    ///
    /// # Errors
    /// When it is the hash of another system, or exceeds the caps.
    pub fn parse_own(text: &str) -> Result<Self, InvalidHashError> {
        let hash = Self::from_stored(text.to_owned());
        ParsedHash::new(&hash).map(|_| hash)
    }

    /// Whether this site made the hash. An imported hash of Argon2id has a prefix before it.
    pub fn is_own(&self) -> bool {
        self.0.starts_with("$argon2id$")
    }

    /// The text to store.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

struct ParsedHash {
    settings: Argon2Params,
    salt: phc::Salt,
    output: phc::Output,
}

impl ParsedHash {
    fn new(stored: &PasswordHash) -> Result<Self, InvalidHashError> {
        let hash = phc::PasswordHash::new(&stored.0).map_err(|_| InvalidHashError)?;
        if hash.algorithm != Algorithm::Argon2id.ident() || hash.version != Some(Version::V0x13.into()) {
            return Err(InvalidHashError);
        }
        // A missing parameter would be taken from the defaults of this version of the crate. A key id or associated data
        // would be inputs of the hash, which are not supported here.
        let names: Vec<phc::Ident> = hash.params.iter().map(|(name, _)| name).collect();
        if !names.iter().map(phc::Ident::as_str).eq(["m", "t", "p"]) {
            return Err(InvalidHashError);
        }
        let params = Params::try_from(&hash).map_err(|_| InvalidHashError)?;
        let settings =
            Argon2Params::new(params.m_cost(), params.t_cost(), params.p_cost()).map_err(|_| InvalidHashError)?;
        Ok(Self { settings, salt: hash.salt.ok_or(InvalidHashError)?, output: hash.hash.ok_or(InvalidHashError)? })
    }
}

/// A stored text is not a supported hash, or exceeds the caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHashError;

impl fmt::Display for InvalidHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stored password hash cannot be read")
    }
}

impl std::error::Error for InvalidHashError {}
