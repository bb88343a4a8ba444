//! Moves folders into the trash, back, and on to deletion, by rename.

use std::io;
use std::path::Path;

use super::identity::TreeIdentity;
use crate::durable::disk::{Disk, parent};
use crate::durable::error::DiskError;

/// Why something was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// The name belongs to something else by now.
    #[error("{} is another one than was noted", path.display())]
    Replaced { path: std::path::PathBuf },
    /// Another file system is mounted there.
    #[error("{} is a mount point", path.display())]
    MountPoint { path: std::path::PathBuf },
    /// The system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Moves `path` to `trash` (a name in an existing folder of the same file system) if it still is what was noted.
/// True when it is in the trash now, by this call or by an earlier one; false when it no longer exists.
///
/// # Errors
/// [`TakeError`]; the folder is then in its old place.
pub fn take_into_trash(
    disk: &Disk,
    path: &Path,
    trash: &Path,
    noted: TreeIdentity,
) -> Result<bool, TakeError> {
    if TreeIdentity::of(trash)? == Some(noted) {
        sync_both(disk, path, trash)?;
        return Ok(true);
    }
    match TreeIdentity::of(path)? {
        None => return Ok(false),
        Some(found) if found != noted => return Err(TakeError::Replaced { path: path.to_owned() }),
        Some(_) => {}
    }
    match disk.rename(path, trash, false) {
        Ok(()) => {}
        Err(e) if e.is_not_found() && TreeIdentity::of(path)?.is_none() => return Ok(false),
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
            return Err(TakeError::MountPoint { path: path.to_owned() });
        }
        Err(e) => return Err(e.into()),
    }
    if TreeIdentity::of(trash)? != Some(noted) {
        // Something else took the name between the check and the rename: put it back.
        disk.rename(trash, path, false)?;
        return Err(TakeError::Replaced { path: path.to_owned() });
    }
    sync_both(disk, path, trash)?;
    Ok(true)
}

/// Moves something out of the trash to its old place; `AlreadyExists` when the name is taken.
///
/// # Errors
/// The system's error; it is then still in the trash.
pub fn put_back(disk: &Disk, trash: &Path, path: &Path) -> Result<(), DiskError> {
    disk.rename(trash, path, false)?;
    sync_both(disk, path, trash)
}

/// Renames something in a trash to the name under which it is deleted, so that after a crash what is left of it
/// is known to be incomplete. Does nothing when it no longer exists. Where an earlier remainder has that name,
/// that is deleted first, and this one waits under its own name.
pub(crate) fn rename_to_delete(disk: &Disk, trash: &Path, going: &Path) -> Result<(), DiskError> {
    match disk.rename(trash, going, false) {
        Ok(()) => disk.sync_dir(parent(going)),
        Err(e) if e.is_not_found() || e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

fn sync_both(disk: &Disk, path: &Path, trash: &Path) -> Result<(), DiskError> {
    disk.sync_dir(parent(trash))?;
    disk.sync_dir(parent(path))
}
