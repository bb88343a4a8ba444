//! Faults that the crash laboratory switches on, one at a time and within its own processes, to prove that
//! it notices them. Without the feature `mutations` there is nothing here but `false`.

use std::path::Path;

use super::disk::Disk;
use super::error::DiskError;

/// A fault. Each is asked for at one place, which the name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // As above.
pub enum Mutation {
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

impl Mutation {
    /// All of them.
    pub const ALL: [Mutation; 16] = [
        Mutation::NoFolderSyncAfterRename,
        Mutation::RenameBeforeSync,
        Mutation::NoSyncOfManyFiles,
        Mutation::NoFolderSyncForNewFolder,
        Mutation::AcknowledgeBeforeSync,
        Mutation::ShowBeforeSync,
        Mutation::NoSyncBeforeNextSegment,
        Mutation::RemoveSegmentsBeforeSnapshot,
        Mutation::NoQuarantineOfTornTail,
        Mutation::KeepTornTail,
        Mutation::DropDamageWithoutQuarantine,
        Mutation::ForgetFailedSync,
        Mutation::LockMetadataInPlace,
        Mutation::TrustPidAlone,
        Mutation::IgnoreExitRecord,
        Mutation::MarkerBeforeHistory,
    ];

    /// Its name, for arguments and reports.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether it is switched on.
    #[cfg(feature = "mutations")]
    pub(crate) fn is_on(self) -> bool {
        switch::ACTIVE.load(std::sync::atomic::Ordering::Relaxed) == self as usize + 1
    }

    /// Whether it is switched on: never.
    #[cfg(not(feature = "mutations"))]
    #[inline]
    pub(crate) const fn is_on(self) -> bool {
        let _ = self;
        false
    }
}

/// What must never be done instead of a replacement: a crash leaves half of it.
#[track_caller]
pub(crate) fn write_in_place(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let file = disk.open_or_create(path)?;
    file.truncate(0)?;
    file.write_at(bytes, 0)?;
    file.sync()
}

#[cfg(feature = "mutations")]
mod switch {
    use std::sync::atomic::{AtomicUsize, Ordering};

    pub(super) static ACTIVE: AtomicUsize = AtomicUsize::new(0);

    /// Switches one fault on, or all off, in this process.
    pub fn switch_on(mutation: Option<super::Mutation>) {
        ACTIVE.store(mutation.map_or(0, |m| m as usize + 1), Ordering::Relaxed);
    }
}

#[cfg(feature = "mutations")]
pub use switch::switch_on;
