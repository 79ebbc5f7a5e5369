//! The file that `password.blocklist` names, a filter of breached passwords: its checks when it is opened, and the look-up of a
//! password.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use handstamp_core::Password;
use handstamp_core::blocklist::{FormatError, HEADER_BYTES, Header, Key, SHARDS, Shard};
use sha2::{Digest, Sha256};

use crate::private_files;

/// How much of a shard is read at once to verify it.
const CHUNK_BYTES: usize = 64 * 1024;

/// An open filter of breached passwords, as `handstamp passwords build` makes it.
///
/// It keeps 260 KiB in memory, however large the file is: a look-up reads six bytes. It contains every password that it was
/// made from, and takes one of 65,536 others for one of them.
#[derive(Debug)]
pub struct Blocklist {
    path: PathBuf,
    file: File,
    header: Header,
    /// The shards whose bytes are known to be those that were written.
    verified: Vec<AtomicBool>,
}

/// A filter of breached passwords cannot be used. The message names the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlocklistError(String);

impl fmt::Display for BlocklistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BlocklistError {}

impl Blocklist {
    /// Opens a file. It stays open, so a file that takes its place later is not noticed.
    ///
    /// # Errors
    /// When the file cannot be read, is no such filter, is truncated or has a damaged header, and when other users can write it.
    pub fn open(path: &Path) -> Result<Self, BlocklistError> {
        let io_error = |error| BlocklistError(private_files::cannot("read", path, &error));
        // Opening a named pipe would wait for a writer.
        if !fs::metadata(path).map_err(io_error)?.is_file() {
            return Err(BlocklistError(format!("{} is not a file", path.display())));
        }
        let file = File::open(path).map_err(io_error)?;
        let metadata = file.metadata().map_err(io_error)?;
        private_files::refuse_if_others_can_write(path, &metadata).map_err(BlocklistError)?;
        let mut bytes = vec![0; HEADER_BYTES.min(usize::try_from(metadata.len()).unwrap_or(HEADER_BYTES))];
        file.read_exact_at(&mut bytes, 0).map_err(io_error)?;
        let header = Header::from_bytes(&bytes).and_then(|header| match metadata.len().cmp(&header.file_len()) {
            std::cmp::Ordering::Less => Err(FormatError::Truncated),
            std::cmp::Ordering::Equal => Ok(header),
            std::cmp::Ordering::Greater => Err(FormatError::Damaged),
        });
        let header = header.map_err(|error| unusable(path, error))?;
        let verified = std::iter::repeat_with(AtomicBool::default).take(SHARDS).collect();
        Ok(Self { path: path.to_owned(), file, header, verified })
    }

    /// The number of passwords in it.
    pub fn passwords(&self) -> u64 {
        self.header.passwords()
    }

    /// Whether a password is in it, in NFC or as it was typed. The first look-up in each of the 4,096 shards reads the whole
    /// shard and compares its checksum.
    ///
    /// # Errors
    /// When the file cannot be read, or the shard is damaged.
    pub fn contains(&self, password: &Password) -> Result<bool, BlocklistError> {
        for key in Key::of(password) {
            if self.contains_key(key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn contains_key(&self, key: Key) -> Result<bool, BlocklistError> {
        let io_error = |error| BlocklistError(private_files::cannot("read", &self.path, &error));
        let shard = self.header.shard(key.shard());
        let Some(slots) = shard.slots(key.in_shard()) else { return Ok(false) };
        let verified = &self.verified[key.shard()];
        if !verified.load(Ordering::Relaxed) {
            if self.checksum_of(shard).map_err(io_error)? != shard.checksum {
                return Err(unusable(&self.path, FormatError::Damaged));
            }
            verified.store(true, Ordering::Relaxed);
        }
        let mut values = [0; 3];
        for (value, slot) in values.iter_mut().zip(slots.indexes) {
            let mut bytes = [0; 2];
            self.file.read_exact_at(&mut bytes, shard.position(slot)).map_err(io_error)?;
            *value = u16::from_le_bytes(bytes);
        }
        Ok(slots.decide(values))
    }

    fn checksum_of(&self, shard: &Shard) -> io::Result<[u8; 32]> {
        let (mut checksum, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
        let (mut at, end) = (shard.offset, shard.end());
        while at < end {
            let rest = usize::try_from(end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            self.file.read_exact_at(&mut chunk[..rest], at)?;
            checksum.update(&chunk[..rest]);
            at += rest as u64;
        }
        Ok(checksum.finalize().into())
    }
}

fn unusable(path: &Path, error: FormatError) -> BlocklistError {
    BlocklistError(format!("{} {error}; make it with: handstamp passwords build", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::{OpenOptions, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use handstamp_testing::TempFolder;
    use xorf::BinaryFuse16;

    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    /// Writes a filter of these passwords in the first of their spellings.
    pub(crate) fn write(path: &Path, passwords: &[&str]) {
        let mut keys = vec![Vec::new(); SHARDS];
        for text in passwords {
            let key = Key::of(&password(text)).last().unwrap();
            keys[key.shard()].push(key.in_shard());
        }
        let (mut header, mut all) = (Header::new(1), Vec::new());
        for (number, keys) in keys.iter().enumerate().filter(|(_, keys)| !keys.is_empty()) {
            let filter = BinaryFuse16::try_from(keys).unwrap();
            let slots: Vec<u8> = filter.fingerprints.iter().flat_map(|slot| slot.to_le_bytes()).collect();
            let descriptor = filter.descriptor;
            let shard = Shard {
                offset: header.shard(number).offset,
                seed: descriptor.seed,
                keys: keys.len().try_into().unwrap(),
                segment_length: descriptor.segment_length,
                segments: descriptor.segment_count_length / descriptor.segment_length,
                checksum: Sha256::digest(&slots).into(),
            };
            header.set(number, shard);
            all.extend(slots);
        }
        fs::write(path, [header.to_bytes(), all].concat()).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }

    /// A folder with a filter of these passwords.
    fn filter_of(passwords: &[&str]) -> (TempFolder, PathBuf) {
        let folder = TempFolder::new();
        let path = folder.path().join("filter");
        write(&path, passwords);
        (folder, path)
    }

    fn refusal(path: &Path) -> String {
        let refusal = Blocklist::open(path).unwrap_err().to_string();
        assert!(refusal.contains(path.to_str().unwrap()), "{refusal}");
        refusal
    }

    #[test]
    fn a_password_is_found_in_nfc_and_as_it_was_typed() {
        let (_folder, path) = filter_of(&["plum-octave-harbour", "caf\u{e9}-noir", "cre\u{300}me-blanche"]);
        let filter = Blocklist::open(&path).unwrap();
        assert_eq!(filter.passwords(), 3);
        for found in ["plum-octave-harbour", "caf\u{e9}-noir", "cafe\u{301}-noir", "cre\u{300}me-blanche"] {
            assert_eq!(filter.contains(&password(found)), Ok(true), "{found}");
        }
        for other in ["Plum-octave-harbour", "plum-octave-harbour ", "cr\u{e8}me-blanche", ""] {
            assert_eq!(filter.contains(&password(other)), Ok(false), "{other}");
        }
    }

    #[test]
    fn a_truncated_foreign_or_damaged_file_is_not_opened() {
        let (folder, path) = filter_of(&["plum-octave-harbour"]);
        let bytes = fs::read(&path).unwrap();
        for length in [bytes.len() - 1, HEADER_BYTES, HEADER_BYTES - 1, 100, 16] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(refusal(&path).contains(" is cut off; make it with: "), "{length}");
        }
        fs::write(&path, [bytes.as_slice(), b"\n"].concat()).unwrap();
        assert!(refusal(&path).contains("is damaged"));
        let mut changed = bytes;
        changed[HEADER_BYTES / 2] ^= 1;
        fs::write(&path, changed).unwrap();
        assert!(refusal(&path).contains("is damaged"));
        for foreign in [&b""[..], b"handstamp", b"0000000000000000000000000000000000000000:1\r\n"] {
            fs::write(&path, foreign).unwrap();
            assert!(refusal(&path).contains("is no filter of breached passwords"));
        }
        assert!(refusal(folder.path()).contains("is not a file"));
        fs::remove_file(&path).unwrap();
        assert!(refusal(&path).contains("No such file"));
    }

    #[test]
    fn a_file_that_others_can_write_is_not_opened() {
        let (_folder, path) = filter_of(&["plum-octave-harbour"]);
        for (mode, opens) in [(0o644, true), (0o600, true), (0o664, false), (0o646, false), (0o777, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(Blocklist::open(&path).is_ok(), opens, "{mode:o}");
        }
        assert!(refusal(&path).contains("chmod go-w"));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            assert!(refusal(&path).contains("belongs to the user 65534"));
        }
    }

    #[test]
    fn a_damaged_shard_is_an_error_and_no_answer() {
        let (_folder, path) = filter_of(&["plum-octave-harbour", "walnut-trumpet-glacier"]);
        let healthy = Blocklist::open(&path).unwrap();
        assert_eq!(healthy.contains(&password("walnut-trumpet-glacier")), Ok(true));
        let key = Key::of(&password("plum-octave-harbour")).next().unwrap();
        let shard = *healthy.header.shard(key.shard());
        let verified = Blocklist::open(&path).unwrap();
        assert_eq!(verified.contains(&password("plum-octave-harbour")), Ok(true));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0xff], shard.end() - 1).unwrap();
        for filter in [&healthy, &Blocklist::open(&path).unwrap()] {
            for _ in 0..2 {
                let error = filter.contains(&password("plum-octave-harbour")).unwrap_err().to_string();
                assert!(error.contains("is damaged") && error.contains(path.to_str().unwrap()), "{error}");
            }
            assert_eq!(filter.contains(&password("walnut-trumpet-glacier")), Ok(true), "in another shard");
        }
        assert!(verified.contains(&password("plum-octave-harbour")).is_ok(), "a shard is verified once");
    }

    #[test]
    fn a_file_that_is_cut_off_while_it_is_open_is_an_error() {
        let (_folder, path) = filter_of(&["plum-octave-harbour"]);
        let filter = Blocklist::open(&path).unwrap();
        assert_eq!(filter.contains(&password("plum-octave-harbour")), Ok(true));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(HEADER_BYTES as u64).unwrap();
        assert!(filter.contains(&password("plum-octave-harbour")).is_err());
    }
}
