//! The versioned list files of this folder: `{"version":1,"entries":[…]}`, replaced atomically.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::durable::{DiskError, read_optional, replace};
use crate::state::StateDir;

const VERSION: u32 = 1;

#[derive(Serialize)]
struct Written<'a, T> {
    version: u32,
    entries: &'a [T],
}

#[derive(Deserialize)]
struct Read<T> {
    version: u32,
    entries: Vec<T>,
}

/// The entries; why not, when the file cannot be believed. No file is no entries.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Result<Vec<T>, String>, DiskError> {
    let Some(bytes) = read_optional(path)? else { return Ok(Ok(Vec::new())) };
    Ok(match serde_json::from_slice::<Read<T>>(&bytes) {
        Ok(file) if file.version <= VERSION => Ok(file.entries),
        Ok(file) => Err(format!("its version {} is later than {VERSION}", file.version)),
        Err(e) => Err(format!("it cannot be understood: {e}")),
    })
}

/// The entries, for adding to them: a file that cannot be believed goes to quarantine first.
pub(super) fn read_to_change<T: DeserializeOwned>(dir: &StateDir, path: &Path) -> Result<Vec<T>, DiskError> {
    match read(path)? {
        Ok(entries) => Ok(entries),
        Err(why) => {
            dir.quarantine().keep_file(path, &why, &dir.clock.now().to_string())?;
            Ok(Vec::new())
        }
    }
}

/// Replaces the file with the newest `most` entries.
pub(super) fn write<T: Serialize>(
    dir: &StateDir,
    path: &Path,
    entries: &[T],
    most: usize,
) -> Result<(), DiskError> {
    let entries = &entries[entries.len().saturating_sub(most)..];
    let mut text = serde_json::to_vec(&Written { version: VERSION, entries }).unwrap_or_default();
    text.push(b'\n');
    replace(&dir.disk, path, &text)
}
