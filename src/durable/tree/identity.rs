//! What a folder or file is, whatever its name is at the moment.

use std::io;
use std::path::Path;

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};
use serde::{Deserialize, Serialize};

use crate::durable::error::{DiskError, IoContext};

/// The statx fields that tell a file from others.
pub(super) const IDENTITY: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// Device, inode and time of creation. Inode numbers are given again at once, hence the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct TreeIdentity {
    /// Major and minor number of its device, in one.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
    /// When it was made, in nanoseconds since the epoch; `None` where the file system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_ns: Option<i64>,
}

impl TreeIdentity {
    /// Of the file that has this name now; a link itself, not its target. `None` when there is nothing.
    pub fn of(path: &Path) -> Result<Option<TreeIdentity>, DiskError> {
        match look(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(identity) => Ok(Some(identity)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).context("look at", path),
        }
    }

    /// Of an open file or folder.
    pub(crate) fn of_open(fd: impl AsFd) -> io::Result<TreeIdentity> {
        look(fd, Path::new(""), AtFlags::EMPTY_PATH)
    }

    /// Of what was found when [`IDENTITY`] was asked for.
    pub(super) fn found(found: &Statx) -> TreeIdentity {
        let has_time = StatxFlags::from_bits_truncate(found.stx_mask).contains(StatxFlags::BTIME);
        let created_ns = has_time
            .then(|| found.stx_btime.tv_sec * 1_000_000_000 + i64::from(found.stx_btime.tv_nsec))
            .filter(|&ns| ns != 0);
        let device = (u64::from(found.stx_dev_major) << 32) | u64::from(found.stx_dev_minor);
        TreeIdentity { device, inode: found.stx_ino, created_ns }
    }
}

fn look(folder: impl AsFd, path: &Path, flags: AtFlags) -> io::Result<TreeIdentity> {
    Ok(TreeIdentity::found(&statx(folder, path, flags, IDENTITY)?))
}
