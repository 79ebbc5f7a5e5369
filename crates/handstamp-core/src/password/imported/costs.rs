//! The cost of imported hashes: which families occur among the users of a site, and the highest cost of each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::encoding::{fields, number};
use super::pbkdf2::Pbkdf2Digest;
use super::sha_crypt::ShaCryptDigest;
use super::{UnsupportedHash, argon2, bcrypt, pbkdf2, scrypt, sha_crypt, yescrypt};
use crate::HashMemory;

/// Hashes whose work is proportional to one number. The memory-hard functions have their parameters in the family, since
/// twice the passes over half of the memory take another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HashFamily {
    Argon2(argon2::Argon2Family),
    Bcrypt,
    Pbkdf2(Pbkdf2Digest),
    Scrypt(scrypt::ScryptFamily),
    /// The length of the salt decides how many blocks each round hashes.
    ShaCrypt {
        digest: ShaCryptDigest,
        salt_length: u8,
    },
    Yescrypt(yescrypt::YescryptFamily),
}

impl HashFamily {
    /// The work of a hash of this level, in units of the family.
    fn work(self, level: u32) -> u64 {
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

    /// Computes a hash of this level that belongs to no account.
    pub(super) fn run_decoy(self, level: u32, password: &[u8], memory: &mut HashMemory) {
        match self {
            Self::Argon2(family) => family.run_decoy(password, memory),
            Self::Bcrypt => bcrypt::run_decoy(level, password, memory),
            Self::Pbkdf2(digest) => pbkdf2::run_decoy(digest, level, password, memory),
            Self::Scrypt(family) => family.run_decoy(password, memory),
            Self::ShaCrypt { digest, salt_length } => {
                sha_crypt::run_decoy(digest, level, salt_length, password, memory);
            }
            Self::Yescrypt(family) => family.run_decoy(password, memory),
        }
    }

    /// Does the work by which a hash of the level `highest` exceeds one of the level `done`. It calls the function even if
    /// nothing is left, so that the number of calls is the same for every account. The memory-hard functions have no
    /// cheaper hash in their family.
    pub(super) fn top_up(self, highest: u32, done: u32, password: &[u8], memory: &mut HashMemory) {
        let rest = self.work(highest).saturating_sub(self.work(done));
        match self {
            Self::Bcrypt => bcrypt::top_up(rest, password, memory),
            Self::Pbkdf2(digest) => pbkdf2::top_up(digest, rest, password, memory),
            Self::ShaCrypt { digest, salt_length } => sha_crypt::top_up(digest, rest, salt_length, password, memory),
            Self::Argon2(_) | Self::Scrypt(_) | Self::Yescrypt(_) => {}
        }
    }
}

/// The cost of one hash. Its text, as in `bcrypt:12` or `pbkdf2-sha256:600000`, is stored beside the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashCost {
    family: HashFamily,
    level: u32,
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

    /// A rough estimate of the time of one hash, in milliseconds of one core.
    pub fn estimated_milliseconds(&self) -> u64 {
        self.family.work(self.level).saturating_mul(self.family.nanoseconds()) / 1_000_000
    }

    pub(super) const fn family(&self) -> HashFamily {
        self.family
    }

    pub(super) const fn level(&self) -> u32 {
        self.level
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
            "argon2d" | "argon2i" | "argon2id" => argon2::Argon2Family::from_cost(name, numbers)?.cost(),
            "bcrypt" => bcrypt::cost(number(numbers)?),
            "pbkdf2-sha1" => pbkdf2::cost(Pbkdf2Digest::Sha1, number(numbers)?.into()),
            "pbkdf2-sha256" => pbkdf2::cost(Pbkdf2Digest::Sha256, number(numbers)?.into()),
            "pbkdf2-sha512" => pbkdf2::cost(Pbkdf2Digest::Sha512, number(numbers)?.into()),
            "scrypt" => scrypt::ScryptFamily::from_cost(numbers)?.cost(),
            "sha256-crypt" | "sha512-crypt" => {
                let digest = if name == "sha256-crypt" { ShaCryptDigest::Sha256 } else { ShaCryptDigest::Sha512 };
                let [salt_length, rounds] = fields(numbers, ':')?;
                sha_crypt::cost(digest, number(salt_length)?, number(rounds)?)
            }
            "yescrypt" => yescrypt::YescryptFamily::from_cost(numbers)?.cost(),
            _ => Err(UnsupportedHash::UnknownFormat),
        }
    }
}

/// The highest cost of each family of imported hashes among the users of a site. A password check does this work for every
/// account, and where there is none, so that its time does not reveal which scheme an account has.
///
/// Its text has the costs of the families, separated by spaces. It is empty where every hash is our own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashCosts(BTreeMap<HashFamily, u32>);

impl HashCosts {
    /// The longest time that the hashes of one check may take together by our estimate, in milliseconds of a core.
    const MAX_MILLISECONDS: u64 = 10_000;
    /// The most families, so that the text is short.
    const MAX_FAMILIES: usize = 32;

    /// Adds the cost of a user's hash.
    ///
    /// # Errors
    /// When the hashes of one check would take too long together. The costs stay as they were.
    pub fn insert(&mut self, cost: HashCost) -> Result<(), UnsupportedHash> {
        if self.covers(cost) {
            return Ok(());
        }
        let replaced = self.0.insert(cost.family, cost.level);
        if self.0.len() <= Self::MAX_FAMILIES && self.estimated_milliseconds() <= Self::MAX_MILLISECONDS {
            return Ok(());
        }
        match replaced {
            Some(level) => self.0.insert(cost.family, level),
            None => self.0.remove(&cost.family),
        };
        Err(UnsupportedHash::CostTooHigh)
    }

    /// Adds all costs of `other`.
    ///
    /// # Errors
    /// Like [`insert`](Self::insert).
    pub fn merge(&mut self, other: &Self) -> Result<(), UnsupportedHash> {
        other.iter().try_for_each(|cost| self.insert(cost))
    }

    /// Whether a check already does the work of a hash of this cost.
    pub fn covers(&self, cost: HashCost) -> bool {
        self.0.get(&cost.family).is_some_and(|highest| cost.level <= *highest)
    }

    /// Whether every hash is our own.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The highest cost of each family.
    pub fn iter(&self) -> impl Iterator<Item = HashCost> {
        self.0.iter().map(|(family, level)| HashCost { family: *family, level: *level })
    }

    /// A rough estimate of the time that these hashes add to each password check, in milliseconds of one core.
    pub fn estimated_milliseconds(&self) -> u64 {
        self.iter().map(|cost| cost.estimated_milliseconds()).sum()
    }

    /// The most memory of Argon2 that a check needs, in KiB.
    pub(in crate::password) fn argon2_memory_kib(&self) -> u32 {
        let families = self.0.keys().filter_map(|family| match family {
            HashFamily::Argon2(family) => Some(family.memory_kib()),
            _ => None,
        });
        families.max().unwrap_or(0)
    }
}

impl fmt::Display for HashCosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, cost) in self.iter().enumerate() {
            write!(f, "{}{cost}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl FromStr for HashCosts {
    type Err = UnsupportedHash;

    fn from_str(text: &str) -> Result<Self, UnsupportedHash> {
        let mut costs = Self::default();
        text.split_ascii_whitespace().try_for_each(|cost| costs.insert(cost.parse()?))?;
        Ok(costs)
    }
}

/// The work that imported hashes have cost so far, by family: a measure that is the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashWork(BTreeMap<HashFamily, (u64, u64)>);

impl HashWork {
    /// Adds one call, and its units of work.
    pub(super) fn add(&mut self, family: HashFamily, work: u64) {
        let (calls, sum) = self.0.entry(family).or_default();
        *calls += 1;
        *sum += work;
    }
}
