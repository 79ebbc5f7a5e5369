//! The kind of the file system that a SQLite database is on.

use std::path::Path;

use super::Outcome::{self, Fail, Pass, Warn};

/// Names of file systems by their magic numbers in the kernel (statfs(2)) that other machines can write to. SQLite's locks and its
/// shared memory work for the processes of one machine.
const NETWORK: [(u32, &str); 11] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB"),
    (0x0102_1997, "9p"),
    (0x5346_414F, "AFS"),
    (0x00C3_6400, "Ceph"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
];
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58F6;
const OVERLAY: u32 = 0x794C_7630;
const FUSE: u32 = 0x6573_5546;

/// Whether the file system of a folder suits a database.
#[cfg(target_os = "linux")]
pub(super) fn of(folder: &Path) -> Outcome {
    match rustix::fs::statfs(folder) {
        // A magic number has 32 bits, in a field that has more.
        Ok(found) => suits(found.f_type as u32, folder),
        Err(error) => Outcome::Unknown(handstamp::private_files::cannot("look at the disk of", folder, &error.into())),
    }
}

/// Only Linux tells by a number.
#[cfg(not(target_os = "linux"))]
pub(super) fn of(_: &Path) -> Outcome {
    Outcome::Unknown("This system does not tell the kind of a file system.".to_owned())
}

fn suits(magic: u32, folder: &Path) -> Outcome {
    let folder = folder.display();
    if let Some((_, name)) = NETWORK.iter().find(|(number, _)| *number == magic) {
        return Fail(format!(
            "{folder} is on a network file system ({name}), where SQLite's locks do not hold and a database can be damaged. Put \
             data_dir on a local disk, or use PostgreSQL."
        ));
    }
    match magic {
        TMPFS | RAMFS => {
            Warn(format!("{folder} is in memory, so the accounts are gone after a restart of the machine."))
        }
        OVERLAY => Warn(format!(
            "{folder} is within the container, so the accounts are gone with it. Mount a volume there, and run only one container with it."
        )),
        FUSE => Warn(format!(
            "{folder} is on a file system of a program (FUSE). Check that it is local, and keeps SQLite's locks and shared memory."
        )),
        _ => Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_system_is_refused_and_a_disk_is_not() {
        let of = |magic| suits(magic, Path::new("data"));
        for (magic, name) in [(0x6969, "NFS"), (0xFE53_4D42, "SMB"), (0x0102_1997, "9p")] {
            assert!(matches!(of(magic), Fail(why) if why.contains(name)), "{name}");
        }
        for magic in [TMPFS, RAMFS, OVERLAY, FUSE] {
            assert!(matches!(of(magic), Warn(_)), "{magic:x}");
        }
        // ext4, XFS, Btrfs, ZFS and APFS on Linux.
        for magic in [0xEF53, 0x5846_5342, 0x9123_683E, 0x2FC1_2FC1, 0x4253_5041] {
            assert!(matches!(of(magic), Pass), "{magic:x}");
        }
    }
}
