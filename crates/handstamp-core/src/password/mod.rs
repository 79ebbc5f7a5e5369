//! Passwords: which are accepted, how they are stored, and how one is checked without revealing which accounts exist.

mod imported;

use std::fmt;
use std::hash::BuildHasher;

use crate::{PasswordAdvice, common_passwords};
use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

pub use imported::{
    FirebaseParams, HashCost, HashCosts, HashWork, ImportSecrets, ImportedHash, ImportedPasswords, InvalidSignerKey,
    UnsupportedHash, WeakFormat, WeakHash,
};

/// How many characters the strength estimate reads. Its time is superlinear in them. Of the texts that a search finds, the worst
/// 20 characters take one and a half times the instructions of a hash. The worst 32 take six and a half times as many, and 100
/// some forty (`script/bench-counts` counts them). Twenty characters that cannot be guessed are enough, whatever follows.
const STRENGTH_CHARACTERS: usize = 20;

/// A password as it was typed: at most 256 code points, normalised to NFC and in no other way, so that the same
/// characters match however a keyboard composes them. Spaces, case and control characters count.
#[derive(Clone)]
pub struct Password {
    /// The normalised text.
    nfc: Zeroizing<String>,
    /// The text as it was typed, if it differs.
    typed: Option<Zeroizing<String>>,
}

impl Password {
    /// The most code points a password may have.
    pub const MAX_LENGTH: usize = 256;

    /// Takes a password as it was typed.
    ///
    /// # Errors
    /// When it is longer than [`MAX_LENGTH`](Self::MAX_LENGTH). It is never truncated.
    pub fn parse(text: &str) -> Result<Self, PasswordTooLong> {
        let nfc = Zeroizing::new(text.nfc().collect::<String>());
        if nfc.chars().count() > Self::MAX_LENGTH {
            return Err(PasswordTooLong);
        }
        let typed = (*nfc != text).then(|| Zeroizing::new(text.to_owned()));
        Ok(Self { nfc, typed })
    }

    /// Whether it is one of the most common passwords, which [`PasswordPolicy::accept`] refuses whatever the settings: a list
    /// from breaches that is embedded in the program. The case of letters does not matter.
    pub fn is_common(&self) -> bool {
        self.spellings().any(common_passwords::contains)
    }

    /// The texts by which lists of passwords may know it: in NFC, and as it was typed if that differs. Other sites hash what is
    /// typed.
    pub(crate) fn spellings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.nfc).chain(&self.typed).map(|text| text.as_str())
    }

    /// A short hash, by which attempted passwords are compared while a process runs. It is useless without the key of `by`.
    /// Keep it in memory only: it is a keyed hash, not a password hash.
    pub fn fingerprint(&self, by: &impl BuildHasher) -> u64 {
        by.hash_one(self.nfc.as_str())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A password of more than [`Password::MAX_LENGTH`] code points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordTooLong;

impl fmt::Display for PasswordTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the password has more than {} characters", Password::MAX_LENGTH)
    }
}

impl std::error::Error for PasswordTooLong {}

/// The requirements for a new password (NIST SP 800-63B-4 §3.1.1.2): long enough, hard to guess, and none of the most common
/// ones. A list of breached passwords is read elsewhere: [`blocklist`](crate::blocklist).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// The fewest code points; 8 by default.
    pub min_length: usize,
    /// The least strength, 0 to 4; 3 by default (Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016).
    pub min_strength: u8,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min_length: 8, min_strength: 3 }
    }
}

impl PasswordPolicy {
    /// Checks only the length of a new password, which is quick, unlike the strength estimate.
    ///
    /// # Errors
    /// When it is too short.
    pub fn check_length(&self, password: &Password) -> Result<(), PasswordError> {
        let long_enough = password.nfc.chars().count() >= self.min_length;
        long_enough.then_some(()).ok_or(PasswordError::TooShort { min_length: self.min_length })
    }

    /// Checks a new password. `context` holds what an attacker would try first: names and addresses of the user and the
    /// site.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn accept(&self, password: Password, context: &[&str]) -> Result<NewPassword, PasswordError> {
        self.check_length(&password)?;
        // Only the beginnings are compared, so that a long address that is the password is recognised as well.
        let words: Vec<&str> = context.iter().flat_map(|text| guesses_from(text)).map(head).collect();
        let estimate = zxcvbn::zxcvbn(head(&password.nfc), &words);
        if u8::from(estimate.score()) < self.min_strength {
            return Err(PasswordError::Guessable {
                advice: estimate.feedback().map(PasswordAdvice::of).unwrap_or_default(),
            });
        }
        if password.is_common() {
            return Err(PasswordError::Common);
        }
        Ok(NewPassword(password))
    }
}

/// The part of a text that the strength estimate reads.
fn head(text: &str) -> &str {
    text.char_indices().nth(STRENGTH_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

/// A text, and the words of more than two characters in it.
fn guesses_from(text: &str) -> impl Iterator<Item = &str> {
    std::iter::once(text).chain(text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 2))
}

/// A password that the policy accepts, or accepted earlier: the only kind that is stored.
#[derive(Clone, Debug)]
pub struct NewPassword(Password);

impl NewPassword {
    /// The password.
    pub fn password(&self) -> &Password {
        &self.0
    }
}

/// Why a new password is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// It has too few code points.
    TooShort {
        /// The fewest that are accepted.
        min_length: usize,
    },
    /// It is too easy to guess.
    Guessable {
        /// Why it is, and how to do better.
        advice: Vec<PasswordAdvice>,
    },
    /// It is one of the most common passwords.
    Common,
    /// It is in the list of breached passwords of the site, or cannot be told from one that is.
    Breached,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { min_length } => write!(f, "the password has fewer than {min_length} characters"),
            Self::Guessable { .. } => f.write_str("the password is easy to guess"),
            Self::Common => f.write_str("the password is one of the most common ones"),
            Self::Breached => {
                f.write_str("the password is in a list of breached passwords, or cannot be told from one that is")
            }
        }
    }
}

impl std::error::Error for PasswordError {}

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: PasswordPolicy = PasswordPolicy { min_length: 8, min_strength: 3 };

    #[test]
    fn the_defaults_are_the_recommended_ones() {
        assert_eq!(PasswordPolicy::default(), POLICY);
        let params = Argon2Params::default();
        assert_eq!((params.memory_kib(), params.iterations(), params.parallelism()), (19_456, 2, 1));
        assert!(params.is_recommended() && Argon2Params::new(19_456, 2, 1) == Ok(params));
    }
    const GOOD: &str = "plum-octave-harbour";

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    fn cheap() -> Argon2Params {
        Argon2Params::new(8, 1, 1).unwrap()
    }

    fn hash(settings: Argon2Params, text: &str) -> PasswordHash {
        settings.hash(&NewPassword(password(text)), [3; 16], &mut HashMemory::default())
    }

    fn matches(stored: &PasswordHash, text: &str) -> bool {
        cheap().check(Some(stored), &password(text), &mut HashMemory::default()).unwrap().is_right()
    }

    #[test]
    fn the_default_settings_give_the_hash_of_the_reference_implementation() {
        // Made by argon2-cffi 25.1.0: low_level.hash_secret(b"plum-octave-harbour", b"\x03"*16, 2, 19456, 1, 32, Type.ID)
        let settings = Argon2Params::new(19456, 2, 1).unwrap();
        let golden =
            "$argon2id$v=19$m=19456,t=2,p=1$AwMDAwMDAwMDAwMDAwMDAw$bNAtXmQTyxyXCV5SufdPn/KJykax1do4gTakfsXcwIY";
        assert_eq!(hash(settings, GOOD).expose(), golden);
    }

    #[test]
    fn a_fingerprint_identifies_a_password_under_one_key_only() {
        let password = |text| Password::parse(text).unwrap();
        let (one, other) = (std::hash::RandomState::new(), std::hash::RandomState::new());
        let fingerprint = password("plum").fingerprint(&one);
        assert_eq!(fingerprint, password("plum").fingerprint(&one));
        assert_ne!(fingerprint, password("plums").fingerprint(&one));
        assert_ne!(fingerprint, password("plum").fingerprint(&other));
    }

    #[test]
    fn every_character_of_a_password_counts() {
        let stored = hash(cheap(), " Plum\toctave\0 harbour ");
        assert!(matches(&stored, " Plum\toctave\0 harbour "));
        for other in
            ["Plum\toctave\0 harbour", " plum\toctave\0 harbour ", " Plum\toctave", " Plum octave\0 harbour ", ""]
        {
            assert!(!matches(&stored, other), "{other:?}");
        }
    }

    #[test]
    fn a_password_is_normalised_to_nfc_and_in_no_other_way() {
        assert!(matches(&hash(cheap(), "cafe\u{0301}"), "caf\u{00E9}"));
        assert!(!matches(&hash(cheap(), "ﬁle"), "file"), "NFKC would make these alike");
        assert!(!matches(&hash(cheap(), "straße"), "strasse"));
    }

    #[test]
    fn a_password_has_eight_to_256_code_points() {
        let long = "kV7#".repeat(64);
        assert!(Password::parse(&long).is_ok());
        assert_eq!(Password::parse(&format!("{long}x")).err(), Some(PasswordTooLong));
        assert!(Password::parse(&"e\u{0301}".repeat(256)).is_ok(), "counted after normalisation");
        let lenient = PasswordPolicy { min_strength: 0, ..POLICY };
        let short = lenient.accept(password("q7#Kv!z"), &[]);
        assert_eq!(short.unwrap_err(), PasswordError::TooShort { min_length: 8 });
        assert!(lenient.accept(password("q7#Kv!zX"), &[]).is_ok());
        assert!(lenient.accept(password("ééééééé"), &[]).is_err(), "seven code points of two bytes");
        assert!(POLICY.accept(password("日曜の図書館で豆を煮る"), &[]).is_ok());
    }

    #[test]
    fn long_passwords_that_differ_at_the_end_do_not_match() {
        let stored = hash(cheap(), &format!("{}a", "x".repeat(255)));
        assert!(!matches(&stored, &format!("{}b", "x".repeat(255))));
        assert!(!matches(&stored, &"x".repeat(255)));
    }

    #[test]
    fn an_easily_guessed_password_is_refused_with_advice() {
        let context = ["Ada Lovelace", "ada.lovelace@example.com", "Notes & Co"];
        for guess in [
            "password",
            "12345678",
            "qwertyuiop",
            "Lovelace1",
            "ada.lovelace@example.com",
            "lovelace-ada",
            "adalovelace",
            "notesnotes",
        ] {
            let Err(PasswordError::Guessable { advice }) = POLICY.accept(password(guess), &context) else {
                panic!("{guess} was accepted");
            };
            assert!(!advice.is_empty(), "{guess}");
        }
        assert!(POLICY.accept(password(GOOD), &context).is_ok());
        let Err(PasswordError::Guessable { advice }) = POLICY.accept(password("password"), &[]) else {
            panic!("the most used password was accepted");
        };
        assert_eq!(advice[0], PasswordAdvice::TopTen);
    }

    #[test]
    fn a_common_password_is_refused_without_any_strength() {
        let lenient = PasswordPolicy { min_strength: 0, ..POLICY };
        for common in ["password", "12345678", "qwertyuiop", "PassWord1"] {
            assert_eq!(lenient.accept(password(common), &[]).err(), Some(PasswordError::Common), "{common}");
        }
        assert!(lenient.accept(password("password 1"), &[]).is_ok(), "only whole passwords are common");
    }

    #[test]
    fn a_password_has_the_spelling_in_nfc_and_the_typed_one() {
        let spellings = |text| password(text).spellings().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(spellings("cafe\u{301}"), ["caf\u{e9}", "cafe\u{301}"]);
        assert_eq!(spellings("caf\u{e9}"), ["caf\u{e9}"], "one that is in NFC is looked up once");
    }

    #[test]
    fn a_password_needs_exactly_the_configured_strength() {
        let accepts =
            |min_strength| PasswordPolicy { min_strength, ..POLICY }.accept(password("glacier-quilt"), &[]).is_ok();
        assert_eq!([2, 3, 4].map(accepts), [true, true, false]);
    }

    #[test]
    fn the_guesses_from_a_text_are_the_whole_and_its_longer_words() {
        let tried: Vec<_> = guesses_from("Ada-Li Xu <ada@x.example>").collect();
        assert_eq!(tried, ["Ada-Li Xu <ada@x.example>", "Ada", "ada", "example"]);
    }

    #[test]
    fn no_password_matches_without_a_stored_hash() {
        for text in ["", GOOD] {
            let verdict = cheap().check(None, &password(text), &mut HashMemory::default());
            assert!(!verdict.unwrap().is_right());
        }
    }

    #[test]
    fn a_password_check_costs_the_same_for_every_account_and_for_none() {
        let current = Argon2Params::new(64, 3, 1).unwrap();
        let mut memory = HashMemory::default();
        let same = hash(current, GOOD);
        let cheaper = hash(Argon2Params::new(64, 1, 1).unwrap(), GOOD);
        for (checks, stored) in (1..).zip([None, Some(&same), Some(&cheaper)]) {
            let _ = current.check(stored, &password("wrong"), &mut memory);
            assert_eq!(memory.work_kib(), checks * 192, "{stored:?}");
        }
    }

    #[test]
    fn a_decoy_costs_what_the_current_settings_require() {
        let mut memory = HashMemory::default();
        for (memory_kib, passed) in [(128, 128), (64, 128 + 64)] {
            let settings = Argon2Params::new(memory_kib, 1, 1).unwrap();
            let _ = settings.check(None, &password("wrong"), &mut memory);
            assert_eq!(memory.work_kib(), passed);
        }
    }

    #[test]
    fn the_check_of_a_cheaper_hash_does_the_rest_of_the_work() {
        let current = Argon2Params::new(19456, 2, 1).unwrap();
        for (memory_kib, iterations) in [(19456, 1), (12288, 3), (4096, 1), (64, 3), (19455, 2)] {
            let old = Argon2Params::new(memory_kib, iterations, 1).unwrap();
            let rest = current.rest_after(&old).unwrap();
            let work = |settings: Argon2Params| i64::from(settings.memory_kib) * i64::from(settings.iterations);
            assert!((work(old) + work(rest) - work(current)).abs() <= 8, "{old:?} {rest:?}");
            assert!(rest.memory_kib <= current.memory_kib);
        }
        assert_eq!(current.rest_after(&current), None);
        assert_eq!(cheap().rest_after(&current), None);
    }

    #[test]
    fn a_hash_with_other_settings_is_checked_and_marked_for_replacement() {
        let raised = Argon2Params::new(64, 2, 1).unwrap();
        let old = hash(cheap(), GOOD);
        let check =
            |settings: Argon2Params, text| settings.check(Some(&old), &password(text), &mut HashMemory::default());
        assert!(matches!(check(raised, GOOD), Ok(PasswordMatch::Valid { needs_rehash: Some(_) })));
        assert!(matches!(check(cheap(), GOOD), Ok(PasswordMatch::Valid { needs_rehash: None })));
        assert!(matches!(check(raised, "other"), Ok(PasswordMatch::Invalid)));
    }

    #[test]
    fn an_unsupported_stored_hash_is_an_error_and_never_a_match() {
        let good = hash(cheap(), GOOD);
        let changed = |from, to| good.expose().replace(from, to);
        for text in [
            String::new(),
            "plum-octave-harbour".into(),
            changed("argon2id", "argon2i"),
            changed("v=19", "v=16"),
            changed("m=8", "m=4294967295"),
            changed("m=8", "m=2000000"),
            changed("t=1", "t=1000"),
            changed("m=8,t=1", "m=1048576,t=64"),
            changed("p=1", "p=16777215"),
            changed("m=8,t=1,p=1$", ""),
            changed("m=8,", ""),
            changed(",p=1", ""),
            changed("p=1", "p=1,keyid=a2V5"),
            changed("p=1", "p=1,data=c2FsdA"),
            changed("$v=19", ""),
            good.expose().rsplit_once('$').unwrap().0.to_owned(),
        ] {
            let stored = PasswordHash::from_stored(text.clone());
            let checked = cheap().check(Some(&stored), &password(GOOD), &mut HashMemory::default());
            assert_eq!(checked.err(), Some(InvalidHashError), "{text}");
        }
    }

    #[test]
    fn the_memory_of_one_costly_hash_is_not_kept() {
        let costly = hash(Argon2Params::new(4096, 1, 1).unwrap(), GOOD);
        let mut memory = HashMemory::default();
        assert!(cheap().check(Some(&costly), &password(GOOD), &mut memory).unwrap().is_right());
        assert!(memory.blocks.capacity() < 64, "{} KiB", memory.blocks.capacity());
    }

    #[test]
    fn hash_settings_out_of_bounds_are_refused() {
        for (memory_kib, iterations, parallelism) in [
            (7, 1, 1),
            (8, 0, 1),
            (8, 1, 0),
            (15, 1, 2),
            ((1 << 20) + 1, 1, 1),
            (8, 65, 1),
            (1024, 1, 65),
            (1 << 20, 5, 1),
        ] {
            assert!(Argon2Params::new(memory_kib, iterations, parallelism).is_err());
        }
        assert!(
            Argon2Params::new(1 << 20, 4, 1).is_ok() && Argon2Params::new(512, 64, 64).is_ok(),
            "just within the bounds"
        );
        assert_eq!(Argon2Params::new(512, 1, 1).unwrap().memory_kib(), 512);
        assert!(Argon2Params::new(19456, 2, 1).unwrap().is_recommended());
        assert!(Argon2Params::new(47104, 1, 1).unwrap().is_recommended());
        assert!(!Argon2Params::new(19455, 2, 1).unwrap().is_recommended());
    }

    #[test]
    fn passwords_and_hashes_are_not_printed() {
        assert_eq!(format!("{:?} {:?}", password(GOOD), hash(cheap(), GOOD)), "Password(…) PasswordHash(…)");
    }

    proptest! {
        #[test]
        fn a_password_matches_itself_and_nothing_shorter(text in "\\PC{1,40}") {
            let stored = hash(cheap(), &text);
            prop_assert!(matches(&stored, &text));
            let mut shorter: String = text.nfc().collect();
            shorter.pop();
            prop_assert!(!matches(&stored, &shorter));
        }
    }
}
