//! The folder `cleanup/`: one file for each cleanup that is not over.

use std::path::PathBuf;

use super::record::{CleanupRecord, FORMAT};
use crate::durable::{DiskError, IoContext, create, is_held, read_optional, replace};
use crate::state::StateDir;
use crate::state::names::encode;

/// Returns the path of a cleanup's file.
pub(super) fn path(dir: &StateDir, id: &str) -> Result<PathBuf, DiskError> {
    let name = encode(id).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidInput, e));
    let name = name.context("name the file of a cleanup in", &dir.paths.cleanup())?;
    Ok(dir.paths.cleanup().join(format!("{name}.json")))
}

fn ensure_folder(dir: &StateDir) -> Result<(), DiskError> {
    dir.disk.ensure_dir(&dir.paths.cleanup()).map(drop)
}

/// Enters a new cleanup; false when one with this id exists.
pub(super) fn enter(dir: &StateDir, record: &CleanupRecord) -> Result<bool, DiskError> {
    ensure_folder(dir)?;
    match create(&dir.disk, &path(dir, &record.cleanup_id)?, &text(record)) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e),
    }
}

/// Replaces a cleanup's progress file.
pub(super) fn save(dir: &StateDir, record: &CleanupRecord) -> Result<(), DiskError> {
    replace(&dir.disk, &path(dir, &record.cleanup_id)?, &text(record))
}

/// Removes the progress file of a cleanup that is over.
pub(super) fn remove(dir: &StateDir, id: &str) -> Result<(), DiskError> {
    match dir.disk.remove_file(&path(dir, id)?) {
        Err(e) if !e.is_not_found() => Err(e),
        _ => dir.disk.sync_dir(&dir.paths.cleanup()),
    }
}

/// Reads one cleanup; `None` when none has this id, or its file cannot be parsed.
pub(super) fn load(dir: &StateDir, id: &str) -> Result<Option<CleanupRecord>, DiskError> {
    // No file can have such a name.
    let Ok(path) = path(dir, id) else { return Ok(None) };
    Ok(read_optional(&path)?.and_then(|bytes| understood(&bytes)))
}

fn text(record: &CleanupRecord) -> Vec<u8> {
    let mut text = serde_json::to_vec(record).unwrap_or_default(); // Strings and numbers: always JSON.
    text.push(b'\n');
    text
}

fn understood(bytes: &[u8]) -> Option<CleanupRecord> {
    serde_json::from_slice(bytes).ok().filter(|r: &CleanupRecord| r.format <= FORMAT)
}

/// Reads every file of the folder.
fn read_all(dir: &StateDir) -> Result<Vec<(PathBuf, Option<CleanupRecord>)>, DiskError> {
    let folder = dir.paths.cleanup();
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).context("list", &folder),
    };
    let files = entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json"));
    let mut found = Vec::new();
    for path in files {
        // The cleanup may have been completed since.
        if let Some(bytes) = read_optional(&path)? {
            found.push((path, understood(&bytes)));
        }
    }
    Ok(found)
}

/// Returns the cleanups that are not over, oldest first. Changes nothing.
pub fn list(dir: &StateDir) -> Result<Vec<CleanupRecord>, DiskError> {
    let mut records: Vec<_> = read_all(dir)?.into_iter().filter_map(|(_, record)| record).collect();
    records.sort_by(|a, b| (a.created_at, &a.cleanup_id).cmp(&(b.created_at, &b.cleanup_id)));
    Ok(records)
}

/// Returns the files that should be cleanups and cannot be understood.
pub(super) fn damaged(dir: &StateDir) -> Result<Vec<PathBuf>, DiskError> {
    Ok(read_all(dir)?.into_iter().filter(|(_, record)| record.is_none()).map(|(path, _)| path).collect())
}

/// Whether some process works on cleanups at this moment.
pub(crate) fn is_running(dir: &StateDir) -> bool {
    matches!(is_held(&dir.paths.cleanup_lock()), Ok(true))
}
