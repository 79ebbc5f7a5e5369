//! Disks for tests: a small one that can be filled up, and one that fails on demand.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use handstamp_testing::{TempFolder, TestServer};

/// A small disk in memory for the data of one server. Only root may mount one.
pub struct SmallDisk {
    folder: Arc<TempFolder>,
}

impl SmallDisk {
    /// `None`, with a message on standard error, if mounting is not permitted.
    pub fn mount() -> Option<Self> {
        let folder = Arc::new(TempFolder::new());
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(&data).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        eprintln!("skipped: only root may mount the small disk that is filled up");
        None
    }

    /// A server whose data folder is this disk.
    pub fn server(&self) -> TestServer {
        TestServer::on_sqlite_in(Arc::clone(&self.folder))
    }

    /// The folder on this disk.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Gives the disk more space.
    pub fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=20m"]).arg(self.data()).status();
        assert!(grown.unwrap().success());
    }

    /// Fills the disk until not one more byte fits.
    pub fn fill_up(&self) {
        let mut file = File::create(self.filler()).unwrap();
        for size in [65_536, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    pub fn free_up(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.data().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.data()).status();
    }
}

/// The error number of a failing disk.
#[derive(Clone, Copy)]
pub enum Failure {
    InputOutput = 5,
    NoSpaceLeft = 28,
    ReadOnly = 30,
}

/// A disk of a server that fails on demand, simulated by `faulty_disk.c`.
pub struct FaultyDisk {
    switch: PathBuf,
}

impl FaultyDisk {
    /// Restarts the server on the faulty disk.
    pub fn under(server: &mut TestServer) -> Self {
        let (library, switch) = (server.folder().join("faulty_disk.so"), server.folder().join("failure"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories/faulty_disk.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(built.unwrap().success());
        server.set("FAULTY_FOLDER", server.folder().join("data").to_str().unwrap());
        server.set("FAULTY_SWITCH", switch.to_str().unwrap());
        server.restart_with("LD_PRELOAD", library.to_str().unwrap());
        Self { switch }
    }

    pub fn fail(&self, failure: Failure) {
        // A concurrent reader must not find a partial file.
        let new = self.switch.with_extension("new");
        fs::write(&new, (failure as i32).to_string()).unwrap();
        fs::rename(new, &self.switch).unwrap();
    }

    pub fn recover(&self) {
        fs::remove_file(&self.switch).unwrap();
    }
}
