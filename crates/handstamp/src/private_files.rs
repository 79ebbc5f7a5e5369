//! Private files and folders: created with a closed mode whatever the umask, and rejected if other users can read or own them.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use handstamp_core::Timestamp;

/// Advice where systemd or Kubernetes sets the mode of the folder, at each start of the process or mount of the folder.
const WHERE_ELSE: &str = "where something else sets the mode, set it there: systemd's StateDirectory with \
    StateDirectoryMode=0700; a volume of Kubernetes with fsGroup by fsGroupChangePolicy: OnRootMismatch, and a folder \
    within the volume as data_dir, which is made with the right mode";

/// Creates a folder of mode 0700 if it does not exist, with a `.gitignore` that excludes it.
///
/// # Errors
/// A message for the operator, also when the path is a file.
pub fn make_folder(path: &Path) -> Result<(), String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(format!("{} is a file, and must be a folder", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(cannot("look into", path, &error)),
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o700)))
        .and_then(|()| hide_from_git(path))
        .map_err(|error| cannot("make the folder", path, &error))
}

/// Excludes the folder from git: within a project it would otherwise be published with the secret key.
fn hide_from_git(folder: &Path) -> io::Result<()> {
    match make_file(&folder.join(".gitignore"))? {
        Some(mut file) => file.write_all(b"*\n"),
        None => Ok(()),
    }
}

/// Creates a file of mode 0600 and opens it for writing; none if it exists already.
///
/// # Errors
/// When the file does not exist and cannot be created.
pub fn make_file(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.set_permissions(Permissions::from_mode(0o600)).map(|()| Some(file)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a private file beside `path` for its new content. Once that is written and synced, a rename puts it in the place of the former
/// one.
pub(crate) fn make_unfinished(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = PathBuf::from(unfinished);
    // An earlier process with the same id may have been killed before it renamed or removed this file.
    let _ = std::fs::remove_file(&unfinished);
    let file = make_file(&unfinished)?.ok_or(ErrorKind::AlreadyExists)?;
    Ok((file, unfinished))
}

/// Makes a rename in the folder of this file survive a power loss.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Rejects a file or folder that other users may read, write or enter. It also rejects one that belongs neither to the user of
/// this process nor to root: its owner may change it, and perhaps created it. A path that does not exist is accepted.
///
/// # Errors
/// A message for the operator, with the command that corrects the mode or the owner.
pub fn refuse_if_open_to_others(path: &Path) -> Result<(), String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot("read", path, &error)),
    };
    let path = path.display();
    if let Some(owner) = other_owner(&metadata) {
        let user = user();
        return Err(format!(
            "{path} belongs to the user {owner}, and this runs as the user {user}: run it as that user, as with \
             sudo -u '#{owner}', or, if you know what is in it, change its owner with: chown {user} {path}"
        ));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let closed = if metadata.is_dir() { "700" } else { "600" };
        return Err(format!(
            "{path} can be read or written by others (its mode is {mode:04o}); close it with: chmod {closed} {path}; {WHERE_ELSE}"
        ));
    }
    Ok(())
}

/// Rejects a file that users other than that of this process and root may write. Reading it is allowed.
///
/// # Errors
/// A message for the operator, with the command that corrects the mode or the owner.
pub(crate) fn refuse_if_others_can_write(path: &Path, metadata: &Metadata) -> Result<(), String> {
    let path = path.display();
    if let Some(owner) = other_owner(metadata) {
        let user = user();
        return Err(format!(
            "{path} belongs to the user {owner}, who can write it, and this runs as the user {user}: if you know what is in it, \
             change its owner with: chown {user} {path}"
        ));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(format!(
            "{path} can be written by others (its mode is {mode:04o}); close it with: chmod go-w {path}"
        ));
    }
    Ok(())
}

/// The owner of a file, unless that is the user of this process or root.
pub fn other_owner(metadata: &Metadata) -> Option<u32> {
    Some(metadata.uid()).filter(|owner| *owner != 0 && *owner != user())
}

/// The message for a file operation that failed, with the reason; if a permission is missing, also with the owner.
pub fn cannot(act: &str, path: &Path, error: &io::Error) -> String {
    let said = format!("cannot {act} {}: {error}", path.display());
    let closed = path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
    match closed {
        Some((path, metadata)) if error.kind() == ErrorKind::PermissionDenied => {
            let (path, owner, user) = (path.display(), metadata.uid(), user());
            format!("{said}; {path} belongs to the user {owner}, and this runs as the user {user}")
        }
        _ => said,
    }
}

/// A name that is not taken, for a file that another one is about to replace: `handstamp.db.before-20261128T134500Z`.
pub(crate) fn name_for_former(path: &Path, now: Timestamp) -> PathBuf {
    let time: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-{time}"));
    while Path::new(&name).symlink_metadata().is_ok() {
        name.push("x");
    }
    name.into()
}

/// The effective user id of this process.
fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}
