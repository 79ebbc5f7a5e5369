//! The cost of an imported hash: its family, with the parameters that decide the time, and its level in that family.

use std::fmt;
use std::str::FromStr;

use argon2::{Algorithm, Version};

use super::UnsupportedHash;
use super::encoding::{fields, number};
use crate::password::Argon2Params;

/// Hashes whose work is proportional to one number. The memory-hard functions have their parameters in the family, since
/// twice the passes over half of the memory take another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HashFamily {
    Argon2(Argon2Family),
    Bcrypt,
    Pbkdf2(Pbkdf2Digest),
    Scrypt(ScryptFamily),
    /// The length of the salt decides how many blocks each round hashes.
    ShaCrypt {
        digest: ShaCryptDigest,
        salt_length: u8,
    },
    Yescrypt(YescryptFamily),
}

impl HashFamily {
    /// The work of a hash of this level, in units of the family.
    pub(super) fn work(self, level: u32) -> u64 {
        match self {
            Self::Bcrypt => 1 << level.min(63),
            _ => level.into(),
        }
    }

    /// An estimate of the nanoseconds that a unit of work takes on a core of today without special instructions.
    fn nanoseconds(self) -> u64 {
        match self {
            Self::Argon2(family) => 600 * family.work_kib(),
            Self::Bcrypt => 60_000,
            Self::Pbkdf2(Pbkdf2Digest::Sha1) => 300,
            Self::Pbkdf2(Pbkdf2Digest::Sha256) => 450,
            Self::Pbkdf2(Pbkdf2Digest::Sha512) => 600,
            Self::Scrypt(family) => 400 * family.blocks(),
            Self::ShaCrypt { digest: ShaCryptDigest::Sha256, .. } => 700,
            Self::ShaCrypt { digest: ShaCryptDigest::Sha512, .. } => 900,
            Self::Yescrypt(family) => 300 * family.blocks(),
        }
    }

    /// The memory of a hash, in KiB.
    fn memory_kib(self) -> u64 {
        match self {
            Self::Argon2(family) => family.memory_kib().into(),
            Self::Scrypt(family) => family.memory_kib(),
            Self::Yescrypt(family) => family.memory_kib(),
            Self::Bcrypt | Self::Pbkdf2(_) | Self::ShaCrypt { .. } => 0,
        }
    }
}

/// The cost of one hash. Its text, as in `bcrypt:12` or `pbkdf2-sha256:600000`, is stored beside the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    pub(super) family: HashFamily,
    pub(super) level: u32,
}

impl HashCost {
    /// The longest time that one hash may take by our estimate, in milliseconds of a core.
    const MAX_MILLISECONDS: u64 = 4_000;
    /// The most memory of a hash: 1 GiB, as for our own.
    const MAX_MEMORY_KIB: u64 = 1024 * 1024;

    /// # Errors
    /// When the cost exceeds the caps.
    pub(super) fn new(family: HashFamily, level: u32) -> Result<Self, UnsupportedHash> {
        let cost = Self { family, level };
        let capped =
            cost.estimated_milliseconds() <= Self::MAX_MILLISECONDS && family.memory_kib() <= Self::MAX_MEMORY_KIB;
        if capped { Ok(cost) } else { Err(UnsupportedHash::CostTooHigh) }
    }

    /// The cost of bcrypt whose logarithm is `level`.
    pub(super) fn bcrypt(level: u32) -> Result<Self, UnsupportedHash> {
        match level {
            0..4 => Err(UnsupportedHash::Malformed),
            // A cost that bcrypt does not define is beyond the cap of the time as well.
            _ => Self::new(HashFamily::Bcrypt, level),
        }
    }

    /// The cost of PBKDF2 with the iterations of all blocks of its output.
    pub(super) fn pbkdf2(digest: Pbkdf2Digest, iterations: u64) -> Result<Self, UnsupportedHash> {
        let iterations = u32::try_from(iterations).map_err(|_| UnsupportedHash::CostTooHigh)?;
        Self::new(HashFamily::Pbkdf2(digest), iterations)
    }

    /// The cost of SHA-crypt with a salt of this many bytes.
    pub(super) fn sha_crypt(digest: ShaCryptDigest, salt_length: u32, rounds: u32) -> Result<Self, UnsupportedHash> {
        match u8::try_from(salt_length) {
            Ok(salt_length @ 0..=16) if rounds >= sha_crypt::Params::ROUNDS_MIN => {
                Self::new(HashFamily::ShaCrypt { digest, salt_length }, rounds)
            }
            _ => Err(UnsupportedHash::Malformed),
        }
    }

    /// A rough estimate of the time of one hash, in milliseconds of one core.
    pub fn estimated_milliseconds(&self) -> u64 {
        self.family.work(self.level).saturating_mul(self.family.nanoseconds()) / 1_000_000
    }
}

impl fmt::Display for HashCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level;
        match self.family {
            HashFamily::Argon2(family) => write!(f, "{family}"),
            HashFamily::Bcrypt => write!(f, "bcrypt:{level}"),
            HashFamily::Pbkdf2(digest) => write!(f, "pbkdf2-{}:{level}", digest.name()),
            HashFamily::Scrypt(family) => write!(f, "{family}"),
            HashFamily::ShaCrypt { digest, salt_length } => write!(f, "{}-crypt:{salt_length}:{level}", digest.name()),
            HashFamily::Yescrypt(family) => write!(f, "{family}"),
        }
    }
}

impl FromStr for HashCost {
    type Err = UnsupportedHash;

    fn from_str(text: &str) -> Result<Self, UnsupportedHash> {
        let (name, numbers) = text.split_once(':').ok_or(UnsupportedHash::Malformed)?;
        match name {
            "argon2d" | "argon2i" | "argon2id" => {
                Self::new(HashFamily::Argon2(Argon2Family::from_cost(name, numbers)?), 1)
            }
            "bcrypt" => Self::bcrypt(number(numbers)?),
            "pbkdf2-sha1" => Self::pbkdf2(Pbkdf2Digest::Sha1, number(numbers)?.into()),
            "pbkdf2-sha256" => Self::pbkdf2(Pbkdf2Digest::Sha256, number(numbers)?.into()),
            "pbkdf2-sha512" => Self::pbkdf2(Pbkdf2Digest::Sha512, number(numbers)?.into()),
            "scrypt" => Self::new(HashFamily::Scrypt(ScryptFamily::from_cost(numbers)?), 1),
            "sha256-crypt" | "sha512-crypt" => {
                let digest = if name == "sha256-crypt" { ShaCryptDigest::Sha256 } else { ShaCryptDigest::Sha512 };
                let [salt_length, rounds] = fields(numbers, ':')?;
                Self::sha_crypt(digest, number(salt_length)?, number(rounds)?)
            }
            "yescrypt" => Self::new(HashFamily::Yescrypt(YescryptFamily::from_cost(numbers)?), 1),
            _ => Err(UnsupportedHash::UnknownFormat),
        }
    }
}

/// The parameters of Argon2 that decide the time of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Argon2Family {
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

impl Argon2Family {
    pub(super) fn new(algorithm: &str, version: u32, params: [u32; 3]) -> Result<Self, UnsupportedHash> {
        let algorithm = Algorithm::new(algorithm).map_err(|_| UnsupportedHash::UnknownFormat)?;
        let version = Version::try_from(version).map_err(|_| UnsupportedHash::UnsupportedParameters)?;
        let [memory_kib, passes, lanes] = params;
        if passes == 0 || lanes == 0 || memory_kib < lanes.saturating_mul(8) {
            return Err(UnsupportedHash::Malformed);
        }
        let params = Argon2Params::new(memory_kib, passes, lanes).map_err(|_| UnsupportedHash::CostTooHigh)?;
        Ok(Self::of(algorithm, version, params))
    }

    pub(super) fn of(algorithm: Algorithm, version: Version, params: Argon2Params) -> Self {
        let [memory_kib, passes, lanes] = [params.memory_kib(), params.iterations(), params.parallelism()];
        Self { algorithm, version, memory_kib, passes, lanes }
    }

    fn from_cost(algorithm: &str, numbers: &str) -> Result<Self, UnsupportedHash> {
        let [version, memory_kib, passes, lanes] = fields(numbers, ':')?;
        Self::new(algorithm, number(version)?, [number(memory_kib)?, number(passes)?, number(lanes)?])
    }

    pub(super) const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    fn work_kib(self) -> u64 {
        u64::from(self.memory_kib) * u64::from(self.passes)
    }
}

impl fmt::Display for Argon2Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { algorithm, version, memory_kib, passes, lanes } = self;
        write!(f, "{}:{}:{memory_kib}:{passes}:{lanes}", algorithm.as_str(), u32::from(*version))
    }
}

/// The digest of the HMAC that PBKDF2 iterates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pbkdf2Digest {
    Sha1,
    Sha256,
    Sha512,
}

impl Pbkdf2Digest {
    pub(super) fn named(name: &str) -> Result<Self, UnsupportedHash> {
        [Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|digest| digest.name() == name)
            .ok_or(UnsupportedHash::UnsupportedParameters)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    pub(super) const fn output_bytes(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// The parameters of scrypt that decide the time of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ScryptFamily {
    pub(super) log_n: u8,
    pub(super) r: u32,
    pub(super) p: u32,
}

impl ScryptFamily {
    /// `log_n` is the logarithm of the parameter N.
    pub(super) fn new(log_n: u32, r: u32, p: u32) -> Result<Self, UnsupportedHash> {
        if [log_n, r, p].contains(&0) {
            return Err(UnsupportedHash::Malformed);
        }
        // The caps follow from the cost. These bounds keep the arithmetic of the crate from overflowing.
        let small = log_n < 32 && r < 1 << 16 && p < 1 << 16 && u64::from(r) * u64::from(p) < 1 << 24;
        let log_n = u8::try_from(log_n).ok().filter(|_| small).ok_or(UnsupportedHash::CostTooHigh)?;
        let family = Self { log_n, r, p };
        HashCost::new(HashFamily::Scrypt(family), 1)?;
        Ok(family)
    }

    /// `n` is the parameter N.
    pub(super) fn with_n(n: u32, r: u32, p: u32) -> Result<Self, UnsupportedHash> {
        if !n.is_power_of_two() {
            return Err(UnsupportedHash::Malformed);
        }
        Self::new(n.ilog2(), r, p)
    }

    fn from_cost(numbers: &str) -> Result<Self, UnsupportedHash> {
        let [log_n, r, p] = fields(numbers, ':')?;
        Self::new(number(log_n)?, number(r)?, number(p)?)
    }

    /// How many blocks of 128 bytes are written and read again.
    fn blocks(self) -> u64 {
        (u64::from(self.r) * u64::from(self.p)) << self.log_n
    }

    fn memory_kib(self) -> u64 {
        let (n, r, p) = (1_u64 << self.log_n, u64::from(self.r), u64::from(self.p));
        r * (n + p) / 8
    }
}

impl fmt::Display for ScryptFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scrypt:{}:{}:{}", self.log_n, self.r, self.p)
    }
}

/// The digest that SHA-crypt iterates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShaCryptDigest {
    Sha256,
    Sha512,
}

impl ShaCryptDigest {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

/// The parameters of yescrypt that decide the time of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct YescryptFamily {
    pub(super) log_n: u32,
    pub(super) r: u32,
}

impl YescryptFamily {
    /// `log_n` is the logarithm of the parameter N.
    pub(super) fn new(log_n: u32, r: u32) -> Result<Self, UnsupportedHash> {
        if log_n < 2 || r == 0 {
            return Err(UnsupportedHash::Malformed);
        }
        if log_n >= 32 || r >= 1 << 16 {
            return Err(UnsupportedHash::CostTooHigh);
        }
        let family = Self { log_n, r };
        HashCost::new(HashFamily::Yescrypt(family), 1)?;
        Ok(family)
    }

    fn from_cost(numbers: &str) -> Result<Self, UnsupportedHash> {
        let [log_n, r] = fields(numbers, ':')?;
        Self::new(number(log_n)?, number(r)?)
    }

    /// How many blocks of 128 bytes are written and read again.
    fn blocks(self) -> u64 {
        u64::from(self.r) << self.log_n
    }

    fn memory_kib(self) -> u64 {
        self.blocks() / 8
    }
}

impl fmt::Display for YescryptFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "yescrypt:{}:{}", self.log_n, self.r)
    }
}
