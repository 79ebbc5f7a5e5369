//! The costs of the imported hashes of a site: which families occur among its users, and the highest cost of each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::UnsupportedHash;
use super::cost::{HashCost, HashFamily};

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
