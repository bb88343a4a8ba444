//! Atomic replacement: after a crash the file has its whole old or its whole new content.
//!
//! Temporary file in the same folder, write, sync, rename, sync the folder: exactly two syncs. A file that only
//! matters while this boot lasts needs none of them ([`Survives::Kill`]): the rename alone keeps it whole when its
//! writer is killed. `ARCHITECTURE.md` lists which file survives what.
//! `tempfile` gives the unique name and removes it when something fails; its own `persist` syncs
//! nothing, so the rename is ours.
//!
//! A temporary file is flocked before it has a name and until it is published, so that files that a crash left
//! behind can be told from files that are being written; see [`super::remove_abandoned`].

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile, parent};
use super::error::{DiskError, IoContext};
use super::flock::{claim_new, unlock};
use super::seeded_bug::SeededBug;

/// The prefix of every temporary file's name, by which startup recognises the files that a crash left behind.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// The crash after which a written file is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// A kill of the process that wrote it. After a power loss the file may be old, new, damaged or missing.
    Kill,
    /// Also a power loss.
    PowerLoss,
}

/// Replaces a file's content, so that it survives a power loss.
///
/// # Errors
/// The system's error; the old content is then still there.
#[track_caller]
pub fn replace(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    replace_with(disk, path, |out| out.write_all(bytes))
}

/// Replaces a file's content with what `fill` writes.
///
/// # Errors
/// The error of the system or of `fill`; the old content is then still there.
#[track_caller]
pub fn replace_with(
    disk: &Disk,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), DiskError> {
    place(disk, path, true, Survives::PowerLoss, fill).map(drop)
}

/// Replaces a file's content, so that it survives what it must.
///
/// # Errors
/// The system's error; the old content is then still there.
#[track_caller]
pub(crate) fn replace_to(
    disk: &Disk,
    path: &Path,
    bytes: &[u8],
    survives: Survives,
) -> Result<(), DiskError> {
    place(disk, path, true, survives, |out| out.write_all(bytes)).map(drop)
}

/// As [`replace`], but refuses (`AlreadyExists`) when the file is there.
#[track_caller]
pub fn create(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    place(disk, path, false, Survives::PowerLoss, |out| out.write_all(bytes)).map(drop)
}

/// A seeded bug: writes without replacement, so that a crash can leave half of the content.
#[track_caller]
pub(crate) fn write_in_place(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let file = disk.open_or_create(path)?;
    file.truncate(0)?;
    file.write_at(bytes, 0)?;
    file.sync()
}

/// Makes many files in one folder, which survive a kill ([`Survives::Kill`]): each is whole or absent then. The
/// caller chooses the moment of `publish`, which gives them their names, and can publish under a lock that must not
/// be held for long.
///
/// # Errors
/// The system's error; some files may have been made.
#[track_caller]
pub(crate) fn create_many<E: From<DiskError>>(
    disk: &Disk,
    folder: &Path,
    files: &[(PathBuf, Vec<u8>)],
    publish: impl FnOnce(Unpublished<'_>) -> Result<usize, E>,
) -> Result<usize, E> {
    let mut written = Vec::with_capacity(files.len());
    for (path, bytes) in files {
        let temporary = Temporary::new(disk, folder)?;
        temporary.file.write_at(bytes, 0)?;
        written.push((temporary, path.as_path()));
    }
    if written.is_empty() {
        return Ok(0);
    }
    publish(Unpublished { disk, written })
}

/// Files that are whole and have no names yet.
pub(crate) struct Unpublished<'a> {
    disk: &'a Disk,
    written: Vec<(Temporary, &'a Path)>,
}

impl Unpublished<'_> {
    /// Names the files that `is_wanted` selects. Existing files are left as they are; the number of new ones
    /// is returned.
    ///
    /// # Errors
    /// The system's error; some files may have been made.
    #[track_caller]
    pub(crate) fn publish(self, is_wanted: impl Fn(&Path) -> bool) -> Result<usize, DiskError> {
        let mut made = 0;
        for (temporary, path) in self.written.into_iter().filter(|(_, path)| is_wanted(path)) {
            match self.disk.rename(&temporary.name, path, false) {
                Ok(()) => {
                    let _ = temporary.name.keep();
                    made += 1;
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Ok(made)
    }
}

#[track_caller]
fn place(
    disk: &Disk,
    path: &Path,
    replace: bool,
    survives: Survives,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<DiskFile, DiskError> {
    let temporary = Temporary::new(disk, parent(path))?;
    let mut out = BufWriter::with_capacity(1 << 16, Appender { file: &temporary.file, at: 0 });
    fill(&mut out).and_then(|()| out.flush()).context("write", path)?;
    drop(out);
    let is_synced = survives == Survives::PowerLoss;
    if is_synced && !SeededBug::RenameBeforeSync.is_on() {
        temporary.file.sync()?;
    }
    let file = temporary.publish(path, replace, survives)?;
    if is_synced && SeededBug::RenameBeforeSync.is_on() {
        file.sync()?;
    }
    unlock(file.as_file());
    Ok(file)
}

/// A temporary file that is removed unless it is published.
pub(crate) struct Temporary {
    pub(crate) file: DiskFile,
    name: tempfile::TempPath,
    disk: Disk,
}

impl Temporary {
    /// Makes an empty, flocked file in the folder.
    #[track_caller]
    pub(crate) fn new(disk: &Disk, folder: &Path) -> Result<Temporary, DiskError> {
        loop {
            let made = tempfile::Builder::new()
                .prefix(TEMPORARY_PREFIX)
                .make_in(folder, |path| disk.create_locked(path, 0o600).map_err(|e| e.source));
            let ((file, is_locked), name) = made.context("make a temporary file in", folder)?.into_parts();
            if is_locked || claim_new(file.as_file(), &name) {
                return Ok(Temporary { file, name, disk: disk.clone() });
            }
            // A sweep of abandoned files locked it between its creation and our lock, and removes it.
            let _ = name.keep();
        }
    }

    /// Gives the file its name, and makes the name durable if it must survive a power loss. The file stays
    /// flocked.
    #[track_caller]
    pub(crate) fn publish(
        self,
        path: &Path,
        replace: bool,
        survives: Survives,
    ) -> Result<DiskFile, DiskError> {
        self.disk.rename(&self.name, path, replace)?;
        // The temporary name no longer exists: `tempfile` must not remove it.
        let _ = self.name.keep();
        if survives == Survives::PowerLoss && !SeededBug::NoFolderSyncAfterRename.is_on() {
            self.disk.sync_dir(parent(path))?;
        }
        Ok(self.file)
    }
}

/// Writes sequentially, through the seam.
struct Appender<'a> {
    file: &'a DiskFile,
    at: u64,
}

impl Write for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.at).map_err(|e| e.source)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
