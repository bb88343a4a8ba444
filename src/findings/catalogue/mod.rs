//! The catalogue of finding codes: one table for each area, and [`ALL`], which lists them. A code, once
//! published, keeps its meaning.

mod daemon;
mod import;
mod job_files;
mod jobs;
mod leftovers;
mod live_jobs;
mod locks;
mod queue;
mod recovery;
mod startup;
mod state_directory;
mod webhooks;

use serde::Serialize;

use super::severity::Severity;
use crate::state::suggest::closest;

pub use daemon::*;
pub use import::*;
pub use job_files::*;
pub use jobs::*;
pub use leftovers::*;
pub use live_jobs::*;
pub use locks::*;
pub use queue::*;
pub use recovery::*;
pub use startup::*;
pub use state_directory::*;
pub use webhooks::*;

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Stable, in kebab-case.
    pub code: &'static str,
    /// Its usual severity.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// What it means and what causes it.
    pub meaning: &'static str,
    /// What was done about it already.
    pub done: &'static str,
    /// What is left to do.
    pub advice: &'static str,
    /// The command that deals with it; see [`Finding::new`](super::Finding::new) for the placeholders.
    pub next: Option<&'static str>,
}

/// Every entry, in the order in which they are listed.
pub const ALL: &[&Entry] = &[
    &LOG_RECORD_DAMAGED,
    &LOG_RECORDS_MISSING,
    &LOG_TORN_TAIL,
    &LOG_RECORD_REFUSED,
    &SNAPSHOT_DAMAGED,
    &QUEUE_REBUILT_FROM_JOB_RECORDS,
    &STATE_IDENTITY_REBUILT,
    &JOB_RECORD_DAMAGED,
    &JOB_RECORD_MISSING,
    &JOB_RECONSTRUCTED,
    &JOB_LOST,
    &JOB_FILE_DAMAGED,
    &JOB_CRASHED,
    &JOB_ATTEMPTS_EXHAUSTED,
    &JOB_LIVENESS_UNKNOWN,
    &BOOT_IDENTITY_DIFFERS,
    &JOB_OF_OTHER_INCARNATION,
    &UNKNOWN_JOB_LIVES,
    &LOCK_OF_OTHER_INCARNATION,
    &STATE_DIRECTORY_COPIED,
    &STATE_DIRECTORY_RESTORED,
    &JOB_ORPHANED_PROCESS,
    &JOB_HEARTBEAT_STALE,
    &JOB_HUNG,
    &JOB_STOPPED,
    &JOB_ZOMBIE,
    &JOB_OTHER_USER,
    &JOB_CANCEL_PENDING,
    &JOB_CANNOT_END,
    &JOB_INTERRUPTED,
    &JOB_START_FAILING,
    &JOB_START_HANGS,
    &JOB_NOT_STARTED,
    &CLOCK_SKEW,
    &SENTINEL_DAMAGED,
    &JOB_FINISHED_WHILE_AWAY,
    &LOCK_HOLDER_GONE,
    &LOCK_UNAVAILABLE,
    &AUDIT_DAMAGED,
    &LOCK_KEPT,
    &STARTUP_ABORTED,
    &TEMPORARY_FILES_REMOVED,
    &LEFTOVERS_NOT_REMOVED,
    &STARTUP_LOG_DAMAGED,
    &LAYOUT_MIGRATED,
    &ATTEMPTS_NOT_MOVED,
    &SAFE_MODE,
    &PHASE_SKIPPED,
    &PHASE_RETRIED,
    &DISK_NOT_WRITABLE,
    &JOB_RECORD_NOT_WRITTEN,
    &NO_STATE_FILE,
    &PHASE_FAILED,
    &SKIP_TOO_LATE,
    &RECOVERY_REQUESTS_UNREADABLE,
    &RECOVERY_HISTORY_DAMAGED,
    &RECOVERY_NOT_RECORDED,
    &PROGRESS_NOT_WRITTEN,
    &QUARANTINE_NOT_EMPTY,
    &IMPORT_JOB_FILE_DAMAGED,
    &IMPORT_JOB_DIRECTORY_WITHOUT_RECORD,
    &IMPORT_STAGING_LEFT,
    &IMPORT_PID_REUSED,
    &IMPORT_JOB_LEFT_OUT,
    &IMPORT_JOB_ID_DIFFERS,
    &IMPORT_PROCESS_ALIVE,
    &WEBHOOK_PARKED,
    &WEBHOOK_REFUSED,
    &WEBHOOK_CIRCUIT_OPEN,
    &WEBHOOK_INTERRUPTED,
    &WEBHOOK_LOG_DAMAGED,
    &WEBHOOK_RECORD_REFUSED,
    &WEBHOOK_NOBODY_DELIVERS,
    &CLEANUP_PARKED,
    &CLEANUP_WAITING,
    &CLEANUP_DAMAGED,
    &CLEANUP_RESUMED,
    &ORPHAN_FOUND,
    &ORPHAN_UNKNOWN,
    &DOCKER_UNREACHABLE,
    &MOUNT_IN_WORKSPACE,
    &DAEMON_EXPOSED,
    &TOKEN_NOT_BELIEVED,
    &DAEMON_LOOP_RESTARTED,
    &HOST_CANNOT_START,
    &DAEMON_HANGS,
    &CLOCK_WAS_AHEAD,
    &JOBS_UNWATCHED,
    &JOB_PROCESSES_GONE,
    &RECOVERY_UNDER_WAY,
    &RECOVERY_UNFINISHED,
    &RESOURCE_UNUSABLE,
    &LOSSES_DAMAGED,
];

/// Losses: something that was acknowledged cannot be brought back. They are reported until an operator
/// acknowledges the loss, see [`crate::losses`]. Logs that are written without waiting for the disk may lose, in
/// a power failure, what was never acknowledged: their damage is a warning.
const LOSSES: [&Entry; 10] = [
    &QUEUE_REBUILT_FROM_JOB_RECORDS,
    &JOB_LOST,
    &JOB_RECONSTRUCTED,
    &LOG_RECORD_DAMAGED,
    &LOG_RECORDS_MISSING,
    &AUDIT_DAMAGED,
    &WEBHOOK_LOG_DAMAGED,
    &STARTUP_LOG_DAMAGED,
    &RECOVERY_HISTORY_DAMAGED,
    &LOSSES_DAMAGED,
];

/// Whether findings of this code tell of a loss.
pub fn is_loss(code: &str) -> bool {
    LOSSES.iter().any(|entry| entry.code == code)
}

/// The entry of a code.
pub fn find(code: &str) -> Option<&'static Entry> {
    ALL.iter().find(|e| e.code == code).copied()
}

/// The code that may have been meant by one that does not exist.
pub fn suggest(code: &str) -> Option<&'static str> {
    let written = code.to_ascii_lowercase().replace(['_', ' '], "-");
    let contained = || ALL.iter().map(|e| e.code).find(|c| written.len() > 3 && c.contains(&written));
    closest(&written, ALL.iter().map(|e| e.code)).or_else(contained)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests read what was written.
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn catalogue_entries_are_unique_and_complete() {
        // Every table of the folder is checked, even one that is not listed here.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/findings/catalogue");
        let tables: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().is_some_and(|name| name != "mod.rs"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        let defined: usize = tables.iter().map(|table| table.matches(": Entry = Entry {").count()).sum();
        assert_eq!(ALL.len(), defined);
        for entry in ALL {
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(entry.code.chars().all(kebab), "{}", entry.code);
            assert_eq!(find(entry.code), Some(*entry), "{} is there twice", entry.code);
            for text in [entry.title, entry.meaning, entry.done, entry.advice] {
                assert!(text.len() > 7 && !text.contains("  "), "{}: {text}", entry.code);
            }
        }
    }

    #[test]
    fn catalogue_suggests_for_misspelt_code() {
        assert_eq!(suggest("lock-holder-gon"), Some("lock-holder-gone"));
        assert_eq!(suggest("LOCK_KEPT"), Some("lock-kept"));
        assert_eq!(suggest("torn"), Some("log-torn-tail"));
        assert_eq!(suggest("weather"), None);
    }
}
