//! The state file of a node: how far the database had come, and whether the folder is still the one that it was written in.
//!
//! The file names its own time of birth. A copy of the folder has other files, so it is noticed. A folder that is moved within its
//! file system has the same ones. The file is written anew under another name and then renamed, so it is always complete.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::private_files;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    about: String,
    /// When the database was created.
    database: String,
    /// The highest position of its invalidation log that was seen.
    position: i64,
    /// When this very file was created, in nanoseconds since the Unix epoch; none where the file system does not tell.
    born: Option<u64>,
}

const ABOUT: &str = "Written by Handstamp. It shows whether this folder or its database was put back from a copy.";

/// The state file as a node finds it at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoundState {
    /// There is no file: the folder is new, or of a version that wrote none.
    Missing,
    /// The file is a copy, or damaged. The position is the one in it, if there is one.
    Copied { position: Option<i64> },
    /// The file is the one that was written here.
    Original {
        database: String,
        position: i64,
        /// Whether the file system tells the birth of files, so that a copy would have been noticed.
        shows_copies: bool,
    },
}

/// The state file of a folder. Several nodes may share it.
#[derive(Clone, Debug)]
pub(crate) struct StateFile(PathBuf);

impl StateFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Reads the file.
    ///
    /// # Errors
    /// A message for the operator, also when other users can read the file.
    pub(crate) fn read(&self) -> Result<FoundState, String> {
        private_files::refuse_if_open_to_others(&self.0)?;
        let (text, metadata) = match read_with_metadata(&self.0) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FoundState::Missing),
            Err(error) => return Err(private_files::cannot("read", &self.0, &error)),
        };
        let Ok(Content { database, position, born, .. }) = serde_json::from_slice(&text) else {
            return Ok(FoundState::Copied { position: None });
        };
        let is_copy = born.zip(birth(&metadata)).is_some_and(|(written, found)| written != found);
        if is_copy {
            return Ok(FoundState::Copied { position: Some(position) });
        }
        Ok(FoundState::Original { database, position, shows_copies: born.is_some() })
    }

    /// Writes the file anew. The position never decreases while the database is the same, since another node may have written it.
    ///
    /// # Errors
    /// When the file cannot be written; the earlier one is kept.
    pub(crate) fn write(&self, database: &str, position: i64) -> io::Result<()> {
        let position = match self.read() {
            Ok(FoundState::Original { database: known, position: other, .. }) if known == database => {
                position.max(other)
            }
            _ => position,
        };
        let written = self.replace(database, position, birth)?;
        // A file system may give the new file the birth of the one that it replaces.
        if written != birth(&fs::metadata(&self.0)?) {
            self.replace(database, position, |_| None)?;
        }
        Ok(())
    }

    fn replace(
        &self,
        database: &str,
        position: i64,
        birth: impl Fn(&Metadata) -> Option<u64>,
    ) -> io::Result<Option<u64>> {
        let (mut file, unfinished) = private_files::make_unfinished(&self.0)?;
        let born = birth(&file.metadata()?);
        let content = Content { about: ABOUT.to_owned(), database: database.to_owned(), position, born };
        let mut text = serde_json::to_vec(&content)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&unfinished, &self.0)?;
        private_files::sync_folder(&self.0)?;
        Ok(born)
    }
}

fn read_with_metadata(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    let mut file = File::open(path)?;
    let mut text = Vec::new();
    io::Read::read_to_end(&mut file, &mut text)?;
    Ok((text, file.metadata()?))
}

/// The time of birth of a file in nanoseconds, where the file system tells it.
fn birth(metadata: &Metadata) -> Option<u64> {
    let born = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(born.as_nanos()).ok().filter(|born| *born > 0)
}

#[cfg(test)]
mod tests {
    use handstamp_testing::TempFolder;

    use super::*;

    fn original(position: i64) -> FoundState {
        FoundState::Original { database: "created".to_owned(), position, shows_copies: true }
    }

    fn state_in(folder: &TempFolder) -> (PathBuf, StateFile) {
        let path = folder.path().join("node.state");
        (path.clone(), StateFile::new(&path))
    }

    #[test]
    fn a_state_file_that_stays_in_place_is_the_original() {
        let folder = TempFolder::new();
        let (_, state) = state_in(&folder);
        assert_eq!(state.read().unwrap(), FoundState::Missing);
        for position in [5, 9] {
            state.write("created", position).unwrap();
            assert_eq!(state.read().unwrap(), original(position));
        }
        state.write("created", 7).unwrap();
        assert_eq!(state.read().unwrap(), original(9), "another node of the folder has come further");
    }

    #[test]
    fn a_state_file_that_was_moved_with_its_folder_is_the_original() {
        let folder = TempFolder::new();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        StateFile::new(&from.join("node.state")).write("created", 5).unwrap();
        fs::rename(&from, &to).unwrap();
        assert_eq!(StateFile::new(&to.join("node.state")).read().unwrap(), original(5));
    }

    /// On ext4 every second file that is renamed over the former one gets the inode of the one before it.
    #[test]
    fn every_copy_of_a_state_file_is_noticed_whatever_its_inode_is() {
        let folder = TempFolder::new();
        let (path, state) = state_in(&folder);
        let copy = folder.path().join("copy");
        for round in 0..6 {
            state.write("created", 5).unwrap();
            fs::copy(&path, &copy).unwrap();
            for _ in 0..round {
                state.write("created", 5).unwrap();
            }
            // As rsync does: under another name, which is renamed.
            let beside = folder.path().join("beside");
            fs::copy(&copy, &beside).unwrap();
            fs::rename(&beside, &path).unwrap();
            assert_eq!(state.read().unwrap(), FoundState::Copied { position: Some(5) }, "{round}");
            state.write("created", 5).unwrap();
            fs::copy(&copy, &path).unwrap();
            assert_eq!(state.read().unwrap(), FoundState::Copied { position: Some(5) }, "{round}, in place");
        }
    }

    #[test]
    fn a_damaged_state_file_counts_as_a_copy() {
        let folder = TempFolder::new();
        let (path, state) = state_in(&folder);
        state.write("created", 5).unwrap();
        fs::write(&path, "{").unwrap();
        assert_eq!(state.read().unwrap(), FoundState::Copied { position: None });
    }
}
