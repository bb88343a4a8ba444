//! The kind of file system of a folder: flock and PIDs prove nothing across a network.

use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::OnceLock;

/// Magic numbers of statfs(2) for file systems that other hosts may use at the same time.
const NETWORK: &[(i64, &str)] = &[
    (0x6969, "nfs"),
    (0xFF53_4D42, "cifs"),
    (0xFE53_4D42, "smb2"),
    (0x517B, "smb"),
    (0x00C3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x1980_0202, "gfs2"),
    (0x7461_636F, "ocfs2"),
    (0x5346_414F, "afs"),
];

/// Whether the file system of a path is full for this user: no block or no inode left. When that cannot be read,
/// it counts as not full.
pub(crate) fn is_full(path: &Path) -> bool {
    let Ok(stat) = rustix::fs::statvfs(path) else { return false };
    let is_root = rustix::process::geteuid().is_root();
    let free = if is_root { stat.f_bfree } else { stat.f_bavail };
    // Some file systems create inodes on demand, and report no number.
    let no_files = stat.f_files > 0 && stat.f_ffree == 0;
    (stat.f_blocks > 0 && free == 0) || no_files
}

/// How much room there is on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that this user can still write.
    pub free: u64,
    /// Bytes in all.
    pub size: u64,
}

/// The room on the disk that a path is on; `None` when that cannot be looked at.
pub fn room_on(path: &Path) -> Option<Room> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let free = if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
    Some(Room { free: free.saturating_mul(stat.f_frsize), size: stat.f_blocks.saturating_mul(stat.f_frsize) })
}

/// The name of the network file system that a path is on; `None` when it is a local one or unknown.
pub(crate) fn is_network(path: &Path) -> Option<&'static str> {
    named(rustix::fs::statfs(path).ok()?)
}

fn named(stat: rustix::fs::StatFs) -> Option<&'static str> {
    let magic = stat.f_type;
    #[allow(clippy::useless_conversion)] // The type differs between architectures.
    let magic = i64::from(magic);
    NETWORK.iter().find(|(m, _)| *m == magic).map(|(_, name)| *name)
}

/// Whether open files are on this machine's own file systems, for many files: the first device that is found to
/// be local is not asked about again.
#[derive(Debug, Default)]
pub(crate) struct LocalDevice(OnceLock<u64>);

impl LocalDevice {
    /// Whether this file is on no network file system.
    pub(crate) fn has(&self, file: &File, metadata: &Metadata) -> bool {
        if self.0.get() == Some(&metadata.dev()) {
            return true;
        }
        let is_local = rustix::fs::fstatfs(file).ok().and_then(named).is_none();
        if is_local {
            let _ = self.0.set(metadata.dev()); // Another thread may have been faster.
        }
        is_local
    }
}
