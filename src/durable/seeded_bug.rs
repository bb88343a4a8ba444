//! Faults that the crash laboratory switches on, one at a time and within its own processes, to prove that it
//! notices them. A release build has none: the checks are the constant `false`.

use strum::VariantArray;

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicUsize, Ordering};

/// A fault. Each is checked at one place, which its name describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum SeededBug {
    NoFolderSyncAfterRename,
    RenameBeforeSync,
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

    /// The fault's name, for arguments and reports.
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

/// Switches one fault on, or all off, in this process. Does nothing in a release build.
pub fn switch_on(bug: Option<SeededBug>) {
    #[cfg(debug_assertions)]
    ACTIVE.store(bug.map_or(0, |m| m as usize + 1), Ordering::Relaxed);
    #[cfg(not(debug_assertions))]
    let _ = bug;
}

#[cfg(debug_assertions)]
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
