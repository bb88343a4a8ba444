//! The migration of layout 1's records of past startups to layout 2.
//!
//! The process that holds the startup lock migrates, in steps after any of which it may be killed: it appends
//! the entries that the log lacks, in one append; it writes layout 2 into `state.json`, so that earlier
//! versions refuse the directory from here on; it removes the old files. Until then readers read both and
//! count nothing twice, so a migration that was interrupted is simply begun again. An earlier version that
//! runs in between adds to its own files, and its entries are taken over too.

use std::path::PathBuf;

use super::error::StartupError;
use super::log::{StartupLog, Writer};
use super::record::StartupRecord;
use crate::state::{LAYOUT_VERSION, StateDir};

/// The result of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The layout before.
    pub from: u32,
    /// How many records were taken over.
    pub records: usize,
}

/// Migrates the state directory to this version's layout. `None` when it has it already.
pub(super) fn migrate(
    dir: &StateDir,
    writer: &Writer,
    log: &StartupLog,
) -> Result<Option<Migrated>, StartupError> {
    let files = [dir.paths.startup_history_1(), dir.paths.startup_cleanup_log_1()];
    let left: Vec<&PathBuf> = files.iter().filter(|path| path.exists()).collect();
    let from = dir.identity.layout;
    if from >= LAYOUT_VERSION && left.is_empty() {
        return Ok(None);
    }
    let at = dir.clock.now().to_string();
    for (path, why) in &log.damaged_files {
        dir.quarantine().keep_file(path, why, &at)?;
    }
    let new: Vec<StartupRecord> =
        log.records.iter().filter(|(seq, _)| seq.is_none()).map(|(_, r)| r.clone()).collect();
    writer.append(&new)?;
    dir.raise_layout()?;
    for path in &left {
        match dir.disk.remove_file(path) {
            Err(e) if !e.is_not_found() => return Err(e.into()),
            _ => {}
        }
    }
    dir.disk.sync_dir(&dir.paths.startup())?;
    Ok(Some(Migrated { from, records: new.len() }))
}
