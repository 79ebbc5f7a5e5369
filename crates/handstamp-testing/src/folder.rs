//! A temporary folder of a test, which a failed test keeps.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A new, empty folder. Other system users may enter it, since some tests run programs as other users.
///
/// It is removed when dropped. A test that fails keeps it, and names it on standard error.
#[derive(Debug)]
pub struct TempFolder(tempfile::TempDir);

impl TempFolder {
    /// Creates a folder in the system's folder for temporary files.
    ///
    /// # Panics
    /// If the folder cannot be created.
    #[expect(clippy::new_without_default, reason = "a default value should not create a folder")]
    pub fn new() -> Self {
        let mut builder = tempfile::Builder::new();
        builder.prefix("handstamp-test-").permissions(Permissions::from_mode(0o755));
        Self(builder.tempdir().unwrap())
    }

    /// The absolute path of the folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            let _ = writeln!(std::io::stderr(), "the failed test leaves its files in {}", self.0.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_folder_is_removed_unless_its_test_fails() {
        let folder = TempFolder::new();
        let path = folder.path().to_owned();
        assert!(path.is_dir());
        drop(folder);
        assert!(!path.exists());

        let (sender, paths) = channel::<PathBuf>();
        let failed = std::thread::spawn(move || {
            let folder = TempFolder::new();
            sender.send(folder.path().to_owned()).unwrap();
            panic!("this panic belongs to the test of kept folders");
        });
        assert!(failed.join().is_err());
        let path = paths.recv().unwrap();
        assert!(path.is_dir(), "a failed test keeps its files");
        std::fs::remove_dir(path).unwrap();
    }
}
