//! A temporary folder for the data of a measured program.

use std::path::{Path, PathBuf};

/// A new folder of this process, removed when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// # Panics
    /// When temporary files cannot be written, or their folder has a name that is not text.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("handstamp-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("the folder for temporary files can be written");
        assert!(path.to_str().is_some(), "temporary files have plain names");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
