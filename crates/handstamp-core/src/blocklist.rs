//! The filter of breached passwords: which key a password has, how the file is laid out, and how a key is looked up in it.
//!
//! The file holds a binary fuse filter of 16 bits (Graf and Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters",
//! 2022) for each of 4,096 [shards](Shard). It finds every password that it was made from, and takes one of 65,536 others for one
//! of them. A look-up reads three [slots](Slots) of two bytes. All numbers in the file are little-endian.
//!
//! | bytes | content |
//! | --- | --- |
//! | 16 | [`MAGIC`] |
//! | 4 | the version of the format, 1 |
//! | 4 | the least number of times that each password was seen |
//! | 8 | the number of passwords |
//! | 32 | SHA-256 of the 32 bytes before and of the table |
//! | 4,096 times 64 | the table: for each shard its offset (8 bytes), seed (8), keys (4), segment length (4), segments (4), zero (4), and SHA-256 of its slots (32) |
//! | the rest | the slots of all shards in order: two bytes each, and two segments more than there are segments |

use std::fmt;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::Password;

/// The number of shards, as many as the first three hexadecimal digits of a SHA-1 have values.
pub const SHARDS: usize = 4096;
/// The first bytes of the file.
pub const MAGIC: [u8; 16] = *b"handstamp-block\n";
/// The bytes before the slots.
pub const HEADER_BYTES: usize = PREAMBLE_BYTES + CHECKSUM_BYTES + SHARDS * ENTRY_BYTES;

const VERSION: u32 = 1;
const PREAMBLE_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 32;
const ENTRY_BYTES: usize = 64;
const SLOT_BYTES: u64 = 2;
/// The longest segment that the construction uses.
const MAX_SEGMENT_LENGTH: u32 = 1 << 18;

/// The key of a password in the filter: parts of its SHA-1. The first three hexadecimal digits are the shard, and the next
/// sixteen the key within the shard.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    shard: u16,
    in_shard: u64,
}

impl Key {
    /// The keys of a password: of the text in NFC and, if it differs, of the text as it was typed.
    pub fn of(password: &Password) -> impl Iterator<Item = Self> {
        password.spellings().map(|text| {
            let digest = Sha1::digest(text.as_bytes());
            let bytes = digest.first_chunk().expect("a SHA-1 has 20 bytes");
            Self::from_bytes(*bytes)
        })
    }

    /// The key of a SHA-1 in 40 hexadecimal digits, of either case; none if another byte is among them.
    pub fn from_hex(digits: &[u8; 40]) -> Option<Self> {
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = HEX[usize::from(pair[0])] << 4 | HEX[usize::from(pair[1])] & 0x0f;
            if HEX[usize::from(pair[0])] > 15 || HEX[usize::from(pair[1])] > 15 {
                return None;
            }
        }
        bytes.first_chunk().copied().map(Self::from_bytes)
    }

    fn from_bytes(sha1: [u8; 10]) -> Self {
        let [first, second, rest @ ..] = sha1;
        let low = u64::from(second & 0x0f) << 60;
        Self { shard: u16::from(first) << 4 | u16::from(second >> 4), in_shard: low | u64::from_be_bytes(rest) >> 4 }
    }

    /// The number of the shard.
    pub fn shard(&self) -> usize {
        usize::from(self.shard)
    }

    /// The key within the shard.
    pub fn in_shard(&self) -> u64 {
        self.in_shard
    }
}

/// The value of each hexadecimal digit, and 255 for all other bytes.
const HEX: [u8; 256] = {
    let mut values = [255; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

/// The part of the filter for the passwords whose SHA-1 begins with the same three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    /// Where its slots begin in the file.
    pub offset: u64,
    /// The seed of its hash function.
    pub seed: u64,
    /// The number of passwords.
    pub keys: u32,
    /// The number of slots of a segment, a power of two; 0 for a shard without keys.
    pub segment_length: u32,
    /// The number of segments in which the first slot of a key can be; 0 for a shard without keys. Two more follow.
    pub segments: u32,
    /// SHA-256 of the slots.
    pub checksum: [u8; CHECKSUM_BYTES],
}

/// The three slots that decide whether a key is in a shard: it is if their values and the fingerprint of the key add up to zero
/// by exclusive or.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// The numbers of the slots in the shard.
    pub indexes: [u32; 3],
    fingerprint: u16,
}

impl Slots {
    /// Whether the key is in the shard, given the values of the slots.
    pub fn decide(&self, values: [u16; 3]) -> bool {
        values.into_iter().fold(self.fingerprint, |sum, value| sum ^ value) == 0
    }
}

impl Shard {
    /// The slots of a key; none in a shard without keys.
    pub fn slots(&self, key: u64) -> Option<Slots> {
        if self.keys == 0 {
            return None;
        }
        let hash = mix(key.wrapping_add(self.seed));
        let (length, mask) = (self.segment_length, self.segment_length - 1);
        let starts = u64::from(self.segments) * u64::from(length);
        let first = ((u128::from(hash) * u128::from(starts)) >> 64) as u32;
        let second = (first + length) ^ ((hash >> 18) as u32 & mask);
        let third = (first + 2 * length) ^ (hash as u32 & mask);
        Some(Slots { indexes: [first, second, third], fingerprint: (hash ^ (hash >> 32)) as u16 })
    }

    /// Where a slot is in the file.
    pub fn position(&self, slot: u32) -> u64 {
        self.offset + SLOT_BYTES * u64::from(slot)
    }

    /// The length of the slots in bytes.
    pub fn byte_len(&self) -> u64 {
        let segments = if self.keys == 0 { 0 } else { u64::from(self.segments) + 2 };
        SLOT_BYTES * segments * u64::from(self.segment_length)
    }

    /// Where the slots end in the file.
    pub fn end(&self) -> u64 {
        self.offset + self.byte_len()
    }

    /// Whether a look-up stays within the slots, and the slots can be numbered with 32 bits.
    fn is_sound(&self) -> bool {
        if self.keys == 0 {
            return (self.segment_length, self.segments) == (0, 0);
        }
        self.segment_length.is_power_of_two()
            && self.segment_length <= MAX_SEGMENT_LENGTH
            && self.segments > 0
            && (u64::from(self.keys)..=u64::from(u32::MAX)).contains(&(self.byte_len() / SLOT_BYTES))
    }

    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seed.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.keys.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.segment_length.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.segments.to_le_bytes());
        bytes[32..].copy_from_slice(&self.checksum);
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        Self {
            offset: u64_at(bytes, 0),
            seed: u64_at(bytes, 8),
            keys: u32_at(bytes, 16),
            segment_length: u32_at(bytes, 20),
            segments: u32_at(bytes, 24),
            checksum: *bytes.last_chunk().expect("the checksum is the end of an entry"),
        }
    }
}

/// The finalizer of MurmurHash3 for 64 bits.
fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The beginning of the file: where each shard is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The least number of times that each password was seen.
    pub min_count: u32,
    shards: Vec<Shard>,
}

impl Header {
    /// The header of a file that has no passwords yet.
    pub fn new(min_count: u32) -> Self {
        let empty = Shard { offset: HEADER_BYTES as u64, checksum: Sha256::digest([]).into(), ..Shard::default() };
        Self { min_count, shards: vec![empty; SHARDS] }
    }

    /// The shard of this number.
    pub fn shard(&self, number: usize) -> &Shard {
        &self.shards[number]
    }

    /// Sets a shard, whose offset must be the end of the one before, and moves the empty ones after it behind its end.
    pub fn set(&mut self, number: usize, shard: Shard) {
        self.shards[number] = shard;
        self.shards[number + 1..].iter_mut().for_each(|after| after.offset = shard.end());
    }

    /// The number of passwords.
    pub fn passwords(&self) -> u64 {
        self.shards.iter().map(|shard| u64::from(shard.keys)).sum()
    }

    /// The length of the whole file in bytes.
    pub fn file_len(&self) -> u64 {
        self.shards.last().map_or(0, Shard::end)
    }

    /// The bytes of the header.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(self.min_count.to_le_bytes());
        bytes.extend(self.passwords().to_le_bytes());
        bytes.extend([0; CHECKSUM_BYTES]);
        bytes.extend(self.shards.iter().flat_map(|shard| shard.to_bytes()));
        let checksum = checksum(&bytes);
        bytes[PREAMBLE_BYTES..][..CHECKSUM_BYTES].copy_from_slice(&checksum);
        bytes
    }

    /// Reads the header from the first [`HEADER_BYTES`] of a file, or from fewer if the file is shorter.
    ///
    /// # Errors
    /// When these are not the first bytes of such a file, or were changed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(FormatError::Foreign);
        }
        if bytes.len() < HEADER_BYTES {
            return Err(FormatError::Truncated);
        }
        let version = u32_at(bytes, 16);
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        if bytes[PREAMBLE_BYTES..][..CHECKSUM_BYTES] != checksum(bytes) {
            return Err(FormatError::Damaged);
        }
        let entries = bytes[PREAMBLE_BYTES + CHECKSUM_BYTES..HEADER_BYTES].as_chunks().0;
        let header = Self { min_count: u32_at(bytes, 20), shards: entries.iter().map(Shard::from_bytes).collect() };
        let mut end = HEADER_BYTES as u64;
        for shard in &header.shards {
            if shard.offset != end || !shard.is_sound() {
                return Err(FormatError::Damaged);
            }
            end = shard.end();
        }
        if u64_at(bytes, 24) == header.passwords() { Ok(header) } else { Err(FormatError::Damaged) }
    }
}

/// SHA-256 of a header without its checksum.
fn checksum(header: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let (preamble, rest) = header.split_at(PREAMBLE_BYTES);
    Sha256::new()
        .chain_update(preamble)
        .chain_update(&rest[CHECKSUM_BYTES..HEADER_BYTES - PREAMBLE_BYTES])
        .finalize()
        .into()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the length was checked"))
}

/// Why a file is no usable filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormatError {
    /// It does not begin as such a file does.
    Foreign,
    /// It has another version of the format.
    Version(u32),
    /// It is shorter than it says.
    Truncated,
    /// Its bytes are not those that were written.
    Damaged,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("is no filter of breached passwords"),
            Self::Version(version) => {
                write!(f, "has version {version} of the format, and this program reads {VERSION}")
            }
            Self::Truncated => f.write_str("is cut off"),
            Self::Damaged => f.write_str("is damaged"),
        }
    }
}

impl std::error::Error for FormatError {}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use xorf::BinaryFuse16;

    use super::*;

    /// Different keys, as those of real passwords are.
    fn keys(count: u64) -> Vec<u64> {
        (0..count).map(mix).collect()
    }

    fn shard_of(filter: &BinaryFuse16, keys: u64, offset: u64) -> Shard {
        let descriptor = &filter.descriptor;
        Shard {
            offset,
            seed: descriptor.seed,
            keys: keys.try_into().unwrap(),
            segment_length: descriptor.segment_length,
            segments: descriptor.segment_count_length / descriptor.segment_length,
            checksum: [7; 32],
        }
    }

    fn contains(shard: &Shard, slots: &[u16], key: u64) -> bool {
        shard.slots(key).is_some_and(|read| read.decide(read.indexes.map(|index| slots[index as usize])))
    }

    /// A header of three shards with keys, one of them the last.
    fn header() -> Header {
        let mut header = Header::new(3);
        for (number, count) in [(0, 1), (0x5ba, 300), (SHARDS - 1, 7)] {
            let filter = BinaryFuse16::try_from(keys(count)).unwrap();
            let shard = shard_of(&filter, count, header.shard(number).offset);
            assert_eq!(shard.byte_len(), 2 * filter.fingerprints.len() as u64);
            header.set(number, shard);
        }
        header
    }

    #[test]
    fn the_key_of_a_password_is_the_beginning_of_its_sha_1() {
        // printf password | sha1sum
        let digits = b"5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8";
        let password = Password::parse("password").unwrap();
        let of_digits = [*digits, digits.map(|digit| digit.to_ascii_uppercase())].map(|digits| Key::from_hex(&digits));
        for key in Key::of(&password).chain(of_digits.into_iter().flatten()) {
            assert_eq!((key.shard(), key.in_shard()), (0x5ba, 0xa61e_4c9b_93f3_f068));
        }
        assert_eq!((Key::of(&password).count(), of_digits.into_iter().flatten().count()), (1, 2));
        for at in 0..40 {
            for other in *b"g/:@G`\xff\0" {
                let mut digits = *digits;
                digits[at] = other;
                assert!(Key::from_hex(&digits).is_none(), "{other} at {at}");
            }
        }
    }

    #[test]
    fn a_password_that_is_not_in_nfc_has_two_keys() {
        let keys = |text: &str| Key::of(&Password::parse(text).unwrap()).collect::<Vec<_>>();
        let (composed, decomposed) = (keys("caf\u{e9}"), keys("cafe\u{301}"));
        assert!(composed.len() == 1 && decomposed.len() == 2);
        assert!(decomposed[0] == composed[0] && decomposed[1] != composed[0]);
    }

    #[test]
    fn the_slots_of_a_key_are_the_golden_ones() {
        // Computed in Python, from the definition in the documentation of the format.
        let shard =
            Shard { seed: 0x0123_4567_89ab_cdef, keys: 1, segment_length: 4096, segments: 61, ..Shard::default() };
        let slots = shard.slots(0xa61e_4c9b_93f3_f068).unwrap();
        assert_eq!(slots, Slots { indexes: [187_440, 190_586, 192_697], fingerprint: 25_892 });
        assert!(slots.decide([25_892, 0, 0]) && slots.decide([1, 25_892 ^ 1, 0]) && !slots.decide([0, 0, 25_893]));
    }

    #[test]
    fn a_shard_of_any_size_contains_all_its_keys() {
        for count in (1..300).chain([1000, 4096, 12_345]) {
            let filter = BinaryFuse16::try_from(keys(count)).unwrap();
            let shard = shard_of(&filter, count, 0);
            assert!(shard.is_sound(), "{shard:?}");
            for key in keys(count) {
                assert!(contains(&shard, &filter.fingerprints, key), "one of {count}");
            }
        }
        assert_eq!(Shard::default().slots(7), None);
    }

    #[test]
    fn one_of_65_536_other_keys_is_taken_for_one_of_a_shard() {
        let filter = BinaryFuse16::try_from(keys(10_000)).unwrap();
        let shard = shard_of(&filter, 10_000, 0);
        let others = (10_000..4_010_000).map(mix);
        let taken = others.filter(|key| contains(&shard, &filter.fingerprints, *key)).count();
        assert!((30..=100).contains(&taken), "{taken} of 4,000,000, and 61 are expected");
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = header();
        let bytes = header.to_bytes();
        assert_eq!((bytes.len(), header.passwords()), (HEADER_BYTES, 308));
        assert_eq!(Header::from_bytes(&bytes), Ok(header.clone()));
        assert_eq!(header.file_len(), header.shard(SHARDS - 1).end());
        assert_eq!(Header::from_bytes(&Header::new(1).to_bytes()), Ok(Header::new(1)));
    }

    #[test]
    fn foreign_newer_and_truncated_headers_are_refused() {
        let bytes = header().to_bytes();
        for length in [0, 3, 15] {
            assert_eq!(Header::from_bytes(&bytes[..length]), Err(FormatError::Foreign), "{length}");
        }
        for length in [16, 64, HEADER_BYTES - 1] {
            assert_eq!(Header::from_bytes(&bytes[..length]), Err(FormatError::Truncated), "{length}");
        }
        assert_eq!(Header::from_bytes(&[0; HEADER_BYTES]), Err(FormatError::Foreign));
        let mut newer = bytes;
        newer[16] = 2;
        assert_eq!(Header::from_bytes(&newer), Err(FormatError::Version(2)));
    }

    #[test]
    fn a_header_that_would_have_other_bytes_read_is_refused() {
        let changes: [fn(&mut Shard); 10] = [
            |shard| shard.offset += 2,
            // The offset of the next shard is wrong then.
            |shard| shard.segments += 1,
            |shard| shard.keys = 0,
            |shard| shard.keys = 100_000,
            |shard| shard.segment_length = 0,
            |shard| shard.segment_length = 24,
            |shard| shard.segment_length = 1 << 19,
            |shard| shard.segments = 0,
            |shard| shard.segments = u32::MAX,
            |shard| shard.segment_length = u32::MAX,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = header();
            change(&mut changed.shards[0x5ba]);
            let bytes = changed.to_bytes();
            assert_eq!(Header::from_bytes(&bytes), Err(FormatError::Damaged), "the change {number}");
        }
    }

    #[test]
    fn a_header_with_another_number_of_passwords_is_refused() {
        let mut bytes = header().to_bytes();
        bytes[24] += 1;
        let sum = checksum(&bytes);
        bytes[PREAMBLE_BYTES..][..CHECKSUM_BYTES].copy_from_slice(&sum);
        assert_eq!(Header::from_bytes(&bytes), Err(FormatError::Damaged));
    }

    proptest! {
        #[test]
        fn a_header_with_a_changed_byte_is_refused(at in 0..HEADER_BYTES, change in 1..=255_u8) {
            static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| header().to_bytes());
            let mut bytes = BYTES.clone();
            bytes[at] ^= change;
            prop_assert!(Header::from_bytes(&bytes).is_err());
        }

        #[test]
        fn a_key_is_the_same_from_bytes_and_from_digits(sha1 in prop::array::uniform20(0..=255_u8)) {
            let digits: String = sha1.iter().map(|byte| format!("{byte:02X}")).collect();
            let key = Key::from_hex(digits.as_bytes().try_into().unwrap()).unwrap();
            prop_assert_eq!(format!("{:03X}{:016X}", key.shard(), key.in_shard()), &digits[..19]);
        }

        #[test]
        fn the_slots_of_any_key_are_in_its_shard(key: u64, seed: u64, length in 0..=18_u32, segments in 1..16_000_u32) {
            let shard = Shard { seed, keys: 1, segment_length: 1 << length, segments, ..Shard::default() };
            prop_assume!(shard.is_sound());
            let slots = shard.slots(key).unwrap();
            prop_assert!(slots.indexes.iter().all(|slot| shard.position(*slot) < shard.end()));
        }
    }
}
