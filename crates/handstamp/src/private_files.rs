//! Files and folders for us alone: made so whatever the umask, and refused where others may read them.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a folder of mode 0700 if it is not there.
///
/// # Errors
/// In words for the operator.
pub fn make_folder(path: &Path) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .map_err(|error| format!("cannot make the folder {}: {error}", path.display()))
}

/// Makes a file of mode 0600 and opens it for writing; none if it is there already.
///
/// # Errors
/// When it is not there and cannot be made.
pub fn make_file(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o600)).map(|()| Some(file)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses a file or folder that others may read, write or enter. What is not there is nobody's.
///
/// # Errors
/// In words for the operator, with the command that closes it.
pub fn refuse_if_open_to_others(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            let (path, mode) = (path.display(), if metadata.is_dir() { "700" } else { "600" });
            Err(format!("{path} can be read or written by others; close it with: chmod {mode} {path}"))
        }
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("cannot read {}: {error}", path.display())),
        _ => Ok(()),
    }
}
