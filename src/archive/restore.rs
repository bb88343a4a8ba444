//! Unpacking an archive into a new folder.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Timespec, Timestamps, symlinkat};

use super::store::{Archive, ArchiveForm};
use super::tar::{Kind, Reader};
use crate::durable::{Disk, DiskError, Tried};

/// Read and written at a time.
const BLOCK: usize = 256 << 10;

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Where.
    pub folder: PathBuf,
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes in files.
    pub bytes: u64,
}

/// Why an archive was not unpacked, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Something is there.
    #[error("{} is there already: an archive is unpacked into a new folder", path.display())]
    Taken {
        /// The place.
        path: PathBuf,
    },
    /// It is of the earlier form.
    #[error("{} holds bundles and patches of an earlier version: git itself reads them", path.display())]
    Bundles {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be read, or names a place outside.
    #[error("{} cannot be unpacked: {source}", path.display())]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Unpacks an archive into a folder that is not there yet, in a folder that nobody else can write. Owners are those of
/// the process; set-user-id bits are left out.
///
/// # Errors
/// [`RestoreError`]; what was unpacked until then is there.
pub fn restore(disk: &Disk, archive: &Archive, to: &Path) -> Result<Restored, RestoreError> {
    if archive.form == ArchiveForm::Bundles {
        return Err(RestoreError::Bundles { path: archive.path.clone() });
    }
    let file = File::open(&archive.path).tried("open", &archive.path)?;
    match disk.create_dir(to) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RestoreError::Taken { path: to.to_owned() });
        }
        made => made?,
    }
    let mut restored = Restored { folder: to.to_owned(), entries: 0, bytes: 0 };
    let damaged = |source| RestoreError::Damaged { path: archive.path.clone(), source };
    let mut reader = Reader::new(BufReader::with_capacity(BLOCK, file));
    // Modes are set at the end: a folder may be one that nothing can be made in.
    let mut modes = Vec::new();
    while let Some(next) = reader.next().map_err(damaged)? {
        let path = inside(&next.entry.name).map_err(damaged)?;
        let path = to.join(path);
        let mode = next.entry.mode & 0o777;
        make_above(disk, to, &path)?;
        match &next.entry.kind {
            Kind::Folder => {
                make_folder(disk, &path)?;
                modes.push((path, mode));
            }
            Kind::Link(target) => {
                let made = symlinkat(OsStr::from_bytes(target), CWD, &path).map_err(io::Error::from);
                made.tried("make the link", &path)?;
            }
            Kind::Pipe => {} // Nothing was in it.
            Kind::File => {
                let parts = next.parts.unwrap_or_else(|| vec![(0, next.entry.size)]);
                let file = disk.create_new(&path, 0o600)?;
                for (at, length) in parts {
                    fill(&file, at, length, &mut reader).map_err(damaged)??;
                }
                file.truncate(next.entry.size)?;
                let time = Timespec { tv_sec: next.entry.modified, tv_nsec: 0 };
                let times = Timestamps { last_access: time, last_modification: time };
                let _ = rustix::fs::futimens(file.as_file(), &times); // Its age is a convenience.
                disk.set_mode(&path, mode)?;
                restored.bytes += next.entry.size;
            }
        }
        restored.entries += 1;
    }
    for (path, mode) in modes.iter().rev() {
        disk.set_mode(path, mode | 0o700)?;
    }
    disk.sync_filesystem(to)?;
    Ok(restored)
}

/// One part of a file's content.
fn fill(
    file: &crate::durable::DiskFile,
    at: u64,
    length: u64,
    from: &mut impl Read,
) -> io::Result<Result<(), DiskError>> {
    let mut buffer = vec![0; BLOCK];
    let (mut at, end) = (at, at.saturating_add(length));
    while at < end {
        let most = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
        let n = from.read(&mut buffer[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Err(e) = file.write_at(&buffer[..n], at) {
            return Ok(Err(e));
        }
        at += n as u64;
    }
    Ok(Ok(()))
}

/// A path that stays below the folder.
fn inside(name: &[u8]) -> io::Result<&Path> {
    let path = Path::new(OsStr::from_bytes(name));
    let stays = path.components().all(|part| matches!(part, Component::Normal(_)));
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "it names a place outside");
    if stays && !name.is_empty() { Ok(path) } else { Err(strange()) }
}

fn make_folder(disk: &Disk, path: &Path) -> Result<(), DiskError> {
    match disk.create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && is_folder(path) => Ok(()),
        made => made,
    }
}

/// Folders above something that was kept alone. A link that was unpacked before is not followed.
fn make_above(disk: &Disk, top: &Path, path: &Path) -> Result<(), DiskError> {
    let mut missing = Vec::new();
    let above = path.ancestors().skip(1).take_while(|above| *above != top);
    for above in above {
        match above.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(io::Error::from(io::ErrorKind::NotADirectory)).tried("make the folder", above);
            }
            Err(_) => missing.push(above),
        }
    }
    missing.iter().rev().try_for_each(|folder| make_folder(disk, folder))
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}
