//! The file of a backup: a SQLite database, a description, and a last line with the checksum of both.
//!
//! ```text
//! the database │ the description, as JSON │ handstamp-backup 1 LENGTH_OF_THE_DATABASE SHA-256
//! ```
//!
//! SQLite ignores what follows the pages that its header counts, so its own tools open the file as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use handstamp_core::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::private_files;

const MARK: &str = "handstamp-backup 1 ";
const LENGTH_DIGITS: usize = 20;
const DIGEST_DIGITS: usize = 64;
/// The length of the last line, with its line break.
const LINE_BYTES: usize = MARK.len() + LENGTH_DIGITS + 1 + DIGEST_DIGITS + 1;
/// The most bytes of a description. Those of a backup with all secrets have some hundred.
const MAX_DESCRIPTION: u64 = 1 << 16;
const READ_BYTES: usize = 1 << 20;

/// The description of a backup, beside the database.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Description {
    /// The version of Handstamp that made it.
    pub(super) version: String,
    /// In seconds since the Unix epoch.
    pub(super) made_at: u64,
    /// The newest migration of the database.
    pub(super) schema: i64,
    /// The files of the secret key by name, if the operator has asked for them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) secrets: BTreeMap<String, Zeroizing<String>>,
}

impl Description {
    pub(super) fn made_at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.made_at)
    }
}

/// A backup whose checksum is right.
pub(super) struct Verified {
    pub(super) description: Description,
    /// The length of the database at the beginning of the file.
    pub(super) database_bytes: u64,
}

/// Appends the description and the checksum to a database, and syncs the file. `progress` receives the bytes that were read.
pub(super) fn seal(path: &Path, description: &Description, progress: impl Fn(u64)) -> io::Result<u64> {
    let mut file = File::options().read(true).append(true).open(path)?;
    let database_bytes = file.metadata()?.len();
    let mut digest = Sha256::new();
    read_into(&mut file, database_bytes, progress, |bytes| {
        digest.update(bytes);
        Ok(())
    })?;
    let description = Zeroizing::new(serde_json::to_vec(description)?);
    digest.update(&description);
    let line = format!("\n{MARK}{database_bytes:0LENGTH_DIGITS$} ");
    digest.update(&line);
    file.write_all(&description)?;
    file.write_all(format!("{line}{}\n", hex(&digest.finalize())).as_bytes())?;
    file.sync_all()?;
    Ok(database_bytes)
}

/// Reads a whole backup, and copies its database to `copy` if that is given.
///
/// # Errors
/// A message for the operator: the file cannot be read, is no backup, or is damaged.
pub(super) fn verify(path: &Path, copy: Option<&mut File>, progress: impl Fn(u64, u64)) -> Result<Verified, String> {
    let cannot_read = |error: io::Error| private_files::cannot("read", path, &error);
    let damaged = |what: &str| format!("{} is damaged: {what}", path.display());
    let mut file = File::open(path).map_err(cannot_read)?;
    let length = file.metadata().map_err(cannot_read)?.len();
    let mut start = [0; 16];
    let is_sqlite = file.read_exact(&mut start).is_ok() && &start == b"SQLite format 3\0";
    let Some((database_bytes, expected)) = last_line(&mut file, length).map_err(cannot_read)? else {
        return Err(match is_sqlite {
            true => damaged(
                "it is a SQLite database without the checksum of a backup; it was cut off, or not made by handstamp backup",
            ),
            false => format!("{} is no backup of Handstamp", path.display()),
        });
    };
    let line_at = length - LINE_BYTES as u64;
    let description_bytes = line_at.checked_sub(database_bytes).filter(|bytes| *bytes <= MAX_DESCRIPTION);
    let Some(description_bytes) = description_bytes else {
        return Err(damaged("its last line does not match its length"));
    };
    let (mut digest, mut copy) = (Sha256::new(), copy);
    file.seek(SeekFrom::Start(0)).map_err(cannot_read)?;
    read_into(
        &mut file,
        database_bytes,
        |read| progress(read, database_bytes),
        |bytes| {
            digest.update(bytes);
            copy.as_mut().map_or(Ok(()), |copy| copy.write_all(bytes))
        },
    )
    .map_err(|error| format!("cannot read {}, or write its copy: {error}", path.display()))?;
    let mut description = Zeroizing::new(vec![0; usize::try_from(description_bytes).unwrap_or(0)]);
    file.read_exact(&mut description).map_err(cannot_read)?;
    digest.update(&*description);
    digest.update(format!("{MARK}{database_bytes:0LENGTH_DIGITS$} "));
    if hex(&digest.finalize()) != expected {
        return Err(damaged("its checksum is wrong"));
    }
    let description = serde_json::from_slice(&description).map_err(|_| damaged("its description cannot be read"))?;
    Ok(Verified { description, database_bytes })
}

/// The length of the database and the checksum, as the last line has them.
fn last_line(file: &mut File, length: u64) -> io::Result<Option<(u64, String)>> {
    let Some(at) = length.checked_sub(LINE_BYTES as u64) else { return Ok(None) };
    let mut line = [0; LINE_BYTES];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut line)?;
    let line = std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix(MARK)?.strip_suffix('\n'));
    let parts = line.and_then(|line| line.split_once(' '));
    Ok(parts.and_then(|(bytes, digest)| Some((bytes.parse().ok()?, digest.to_owned()))))
}

fn read_into(
    file: &mut File,
    length: u64,
    progress: impl Fn(u64),
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let (mut buffer, mut read) = (vec![0; READ_BYTES], 0);
    while read < length {
        let wanted = usize::try_from(length - read).unwrap_or(READ_BYTES).min(READ_BYTES);
        file.read_exact(&mut buffer[..wanted])?;
        take(&buffer[..wanted])?;
        read += wanted as u64;
        progress(read);
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use handstamp_testing::TempFolder;

    use super::*;

    /// A file that begins as a database does, with a description behind it.
    fn sealed(folder: &TempFolder) -> (std::path::PathBuf, Vec<u8>) {
        let path = folder.path().join("backup");
        let mut database = b"SQLite format 3\0".to_vec();
        database.extend((0..10_000_u32).flat_map(u32::to_be_bytes));
        std::fs::write(&path, &database).unwrap();
        let secrets = [("secret.key".to_owned(), Zeroizing::new("a secret".to_owned()))].into();
        let description = Description { version: "1.2.3".to_owned(), made_at: 7, schema: 16, secrets };
        assert_eq!(seal(&path, &description, |_| ()).unwrap(), database.len() as u64);
        (path, database)
    }

    fn check(path: &Path) -> Result<Verified, String> {
        verify(path, None, |_, _| ())
    }

    #[test]
    fn a_backup_gives_back_the_database_and_its_description() {
        let folder = TempFolder::new();
        let (path, database) = sealed(&folder);
        let copied = folder.path().join("copy");
        let found = verify(&path, Some(&mut File::create(&copied).unwrap()), |_, _| ()).unwrap();
        assert_eq!(std::fs::read(copied).unwrap(), database);
        assert_eq!((found.database_bytes, found.description.made_at().unix_seconds()), (database.len() as u64, 7));
        assert_eq!(found.description.secrets["secret.key"].as_str(), "a secret");
    }

    #[test]
    fn a_backup_with_any_byte_changed_or_cut_off_is_refused() {
        let folder = TempFolder::new();
        let (path, _) = sealed(&folder);
        let whole = std::fs::read(&path).unwrap();
        let ends = (whole.len() - 300)..whole.len();
        for at in (0..whole.len()).step_by(997).chain(ends.clone()) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert!(check(&path).is_err(), "byte {at} of {}", whole.len());
        }
        for length in (0..whole.len()).step_by(997).chain(ends) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(check(&path).is_err(), "cut off at {length} of {}", whole.len());
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(check(&path).is_ok());
        std::fs::write(&path, [&whole[..], b"\n"].concat()).unwrap();
        assert!(check(&path).is_err(), "with a byte more");
    }
}
