//! Layout 1's records of past startups.
//!
//! `startup/history.json` and `startup/cleanup-log.json`: `{"version":1,"entries":[…]}`, written whole each
//! time.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::record::StartupRecord;
use crate::durable::{DiskError, read_optional};
use crate::state::StateDir;

const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Stored<T> {
    version: u32,
    entries: Vec<T>,
}

/// The content of the two files.
#[derive(Debug, Default)]
pub(super) struct Old {
    pub(super) records: Vec<StartupRecord>,
    pub(super) damaged: Vec<(PathBuf, String)>,
}

pub(super) fn read(dir: &StateDir) -> Result<Old, DiskError> {
    let mut old = Old::default();
    let (history, acts) = (dir.paths.startup_history_1(), dir.paths.startup_cleanup_log_1());
    take(&history, &mut old, StartupRecord::Startup)?;
    take(&acts, &mut old, StartupRecord::Act)?;
    Ok(old)
}

fn take<T: DeserializeOwned>(
    path: &Path,
    old: &mut Old,
    record: fn(T) -> StartupRecord,
) -> Result<(), DiskError> {
    let Some(bytes) = read_optional(path)? else { return Ok(()) };
    let why = match serde_json::from_slice::<Stored<T>>(&bytes) {
        Ok(file) if file.version <= VERSION => {
            old.records.extend(file.entries.into_iter().map(record));
            return Ok(());
        }
        Ok(file) => format!("its version {} is later than {VERSION}", file.version),
        Err(e) => format!("it cannot be understood: {e}"),
    };
    old.damaged.push((path.to_owned(), why));
    Ok(())
}
