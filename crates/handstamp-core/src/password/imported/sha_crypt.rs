//! SHA-256-crypt and SHA-512-crypt of crypt(3) (Drepper, "Unix crypt using SHA-256 and SHA-512").

use std::fmt;

use sha_crypt::Params;

use super::UnsupportedHash;
use super::cost::{HashCost, HashFamily, ShaCryptDigest};
use super::encoding::{Output, crypt_base64, fields, parameter};
use crate::HashMemory;

/// The longest password that is hashed, in bytes. Each round hashes the password up to twice, so a client could choose the work.
const MAX_BYTES: usize = 256;

impl ShaCryptDigest {
    /// The order in which the bytes of the output are encoded.
    fn order(self) -> Vec<usize> {
        let (third, left_over): (usize, &[usize]) = match self {
            Self::Sha256 => (10, &[30, 31]),
            Self::Sha512 => (21, &[63]),
        };
        let triples = (0..third).flat_map(|index| {
            let mut triple = [index + 2 * third, index + third, index];
            match self {
                Self::Sha256 => triple.rotate_left(index % 3),
                Self::Sha512 => triple.rotate_right(index % 3),
            }
            triple
        });
        triples.chain(left_over.iter().copied()).collect()
    }
}

/// A hash by SHA-crypt.
pub(super) struct ShaCryptHash {
    digest: ShaCryptDigest,
    rounds: u32,
    salt: String,
    output: Output,
}

impl ShaCryptHash {
    /// Parses what follows `$5$` or `$6$`.
    pub(super) fn parse(digest: ShaCryptDigest, text: &str) -> Result<Self, UnsupportedHash> {
        let (rounds, rest) = match text.split_once('$') {
            Some((rounds, rest)) if rounds.starts_with("rounds=") => (parameter(rounds, "rounds")?, rest),
            _ => (Params::RECOMMENDED_ROUNDS, text),
        };
        let [salt, output] = fields(rest, '$')?;
        let output = Output::new(crypt_base64(output)?)?;
        if output.len() != digest.order().len() || salt.len() > 16 {
            return Err(UnsupportedHash::Malformed);
        }
        let hash = Self { digest, rounds, salt: salt.to_owned(), output };
        hash.cost()?;
        Ok(hash)
    }

    pub(super) fn cost(&self) -> Result<HashCost, UnsupportedHash> {
        HashCost::sha_crypt(self.digest, u32::try_from(self.salt.len()).unwrap_or(u32::MAX), self.rounds)
    }

    pub(super) fn verify(&self, password: &str, memory: &mut HashMemory) -> bool {
        let output = compute(self.digest, self.rounds, self.salt.as_bytes(), password.as_bytes(), memory);
        let encoded: Vec<u8> = self.digest.order().into_iter().map(|index| output[index]).collect();
        self.output.is(&encoded) && password.len() <= MAX_BYTES
    }
}

impl fmt::Display for ShaCryptHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self.digest.name().replace("sha", "SHA-");
        write!(f, "{digest}-crypt, rounds {}", self.rounds)
    }
}

pub(super) fn run_decoy(
    digest: ShaCryptDigest,
    rounds: u32,
    salt_length: u8,
    password: &[u8],
    memory: &mut HashMemory,
) {
    let salt = [0; 16];
    std::hint::black_box(compute(digest, rounds, &salt[..usize::from(salt_length)], password, memory));
}

/// Does `rest` rounds and the fewest that the algorithm has, as it does not do less.
pub(super) fn top_up(digest: ShaCryptDigest, rest: u64, salt_length: u8, password: &[u8], memory: &mut HashMemory) {
    let rest = u32::try_from(rest).expect("the rest of a cost below the cap");
    run_decoy(digest, rest + Params::ROUNDS_MIN, salt_length, password, memory);
}

fn compute(digest: ShaCryptDigest, rounds: u32, salt: &[u8], password: &[u8], memory: &mut HashMemory) -> Vec<u8> {
    let salt_length = salt.len().try_into().expect("a salt has at most 16 bytes");
    memory.imported_work.add(HashFamily::ShaCrypt { digest, salt_length }, rounds.into());
    let password = &password[..password.len().min(MAX_BYTES)];
    let params = Params::new(rounds).expect("the rounds are within the bounds");
    match digest {
        ShaCryptDigest::Sha256 => sha_crypt::sha256_crypt(password, salt, params).into(),
        ShaCryptDigest::Sha512 => sha_crypt::sha512_crypt(password, salt, params).into(),
    }
}
