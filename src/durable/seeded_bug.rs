//! Faults that the crash laboratory switches on, one at a time and within its own processes, to prove that it
//! notices them. A release build has none of them: the checks are constant `false`.

use std::path::Path;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicUsize, Ordering};

use strum::VariantArray;

use super::disk::Disk;
use super::error::DiskError;

/// A fault. Each is checked at one place, which its name describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum SeededBug {
    NoFolderSyncAfterRename,
    RenameBeforeSync,
    NoSyncOfManyFiles,
    NoFolderSyncForNewFolder,
    AcknowledgeBeforeSync,
    ShowBeforeSync,
    NoSyncBeforeNextSegment,
    RemoveSegmentsBeforeSnapshot,
    NoQuarantineOfTornTail,
    KeepTornTail,
    DropDamageWithoutQuarantine,
    ForgetFailedSync,
    LockMetadataInPlace,
    TrustPidAlone,
    IgnoreExitRecord,
    MarkerBeforeHistory,
}

impl SeededBug {
    /// All of them.
    pub const ALL: &[SeededBug] = <SeededBug as VariantArray>::VARIANTS;

    /// Its name, for arguments and reports.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether it is switched on.
    #[cfg(debug_assertions)]
    pub(crate) fn is_on(self) -> bool {
        ACTIVE.load(Ordering::Relaxed) == self as usize + 1
    }

    /// Whether it is switched on: never.
    #[cfg(not(debug_assertions))]
    #[inline]
    pub(crate) const fn is_on(self) -> bool {
        let _ = self;
        false
    }
}

/// A write without replacement, which a crash can leave half done: a seeded bug.
#[track_caller]
pub(crate) fn write_in_place(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let file = disk.open_or_create(path)?;
    file.truncate(0)?;
    file.write_at(bytes, 0)?;
    file.sync()
}

/// Switches one fault on, or all off, in this process. Does nothing in a release build.
pub fn switch_on(bug: Option<SeededBug>) {
    #[cfg(debug_assertions)]
    ACTIVE.store(bug.map_or(0, |m| m as usize + 1), Ordering::Relaxed);
    #[cfg(not(debug_assertions))]
    let _ = bug;
}

#[cfg(debug_assertions)]
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
