//! Unpacks an archive into a new folder.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, symlinkat, utimensat};

use super::copy::WORKSPACE;
use super::keep::names_of;
use super::store::{Archive, ArchiveForm, read_note};
use super::tar::{Kind, Reader, TarEntry};
use crate::durable::{Disk, DiskError, IoContext};

/// How many bytes are read and written at a time.
const BLOCK: usize = 256 << 10;
/// Longest file that names a place.
const SMALL: u64 = 1 << 20;

/// What was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
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
    /// Something exists at the target.
    #[error("{} is there already: name a new folder with --to DIR", path.display())]
    Taken {
        /// The place.
        path: PathBuf,
    },
    /// The archive has the earlier form.
    #[error(
        "{} holds bundles and patches of an earlier version, which git itself reads: git clone FILE.bundle, \
         git apply FILE.patch",
        path.display()
    )]
    Bundles { path: PathBuf },
    /// The archive cannot be read, or names a place outside of the new folder.
    #[error("{} cannot be unpacked: {source}", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Unpacks an archive into a new folder, inside a folder that no other user can write. Files belong to the
/// process's user; set-user-id and set-group-id bits, pipes, and hard links between files are left out.
/// References into the removed folder (lenders of objects, working trees) are rewritten to the new place.
///
/// # Errors
/// [`RestoreError`]; the files unpacked until then stay.
pub fn restore(disk: &Disk, archive: &Archive, to: &Path) -> Result<Restored, RestoreError> {
    if archive.form == ArchiveForm::Bundles {
        return Err(RestoreError::Bundles { path: archive.path.clone() });
    }
    let file = crate::durable::plain::open(&archive.path).context("open", &archive.path)?;
    match disk.create_dir(to) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RestoreError::Taken { path: to.to_owned() });
        }
        made => made?,
    }
    let mut restored = Restored { folder: to.to_owned(), entries: 0, bytes: 0 };
    let damaged = |source| RestoreError::Damaged { path: archive.path.clone(), source };
    let mut reader = Reader::new(BufReader::with_capacity(BLOCK, file));
    let moved = Moved::new(archive, to)?;
    // Modes and times of folders are set at the end: a mode may forbid making anything in its folder.
    let mut folders = Vec::new();
    while let Some(next) = reader.next().map_err(damaged)? {
        let path = inside(&next.entry.name).map_err(damaged)?;
        let path = to.join(path);
        let mode = next.entry.mode & 0o777;
        let times = times_of(&next.entry);
        make_above(disk, to, &path)?;
        match &next.entry.kind {
            Kind::Folder => {
                make_folder(disk, &path)?;
                folders.push((path, mode | (next.entry.mode & 0o1000), times));
            }
            Kind::Link(target) => {
                let target = OsStr::from_bytes(target);
                match symlinkat(target, CWD, &path).map_err(io::Error::from) {
                    Err(e)
                        if e.kind() == io::ErrorKind::AlreadyExists
                            && path.read_link().is_ok_and(|there| there.as_os_str() == target) => {}
                    made => made.context("make the link", &path)?,
                }
                let _ = utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW); // As below.
            }
            Kind::Pipe => {} // Nothing was in it.
            Kind::File => {
                let parts = next.parts.unwrap_or_else(|| vec![(0, next.entry.size)]);
                let file = match disk.create_new(&path, 0o600) {
                    // Archives of earlier versions may have a file twice.
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                        is_same(&path, &parts, next.entry.size, &mut reader).map_err(damaged)?;
                        continue;
                    }
                    made => made?,
                };
                let mut length = next.entry.size;
                match moved.content(&path, length, &mut reader).map_err(damaged)? {
                    Some(content) => {
                        file.write_at(&content, 0)?;
                        length = content.len() as u64;
                    }
                    None => {
                        for (at, length) in parts {
                            fill(&file, at, length, &mut reader).map_err(damaged)??;
                        }
                    }
                }
                file.truncate(length)?;
                let _ = rustix::fs::futimens(file.as_file(), &times); // Its age is a convenience.
                disk.set_mode(&path, mode)?;
                restored.bytes += length;
            }
        }
        restored.entries += 1;
    }
    disk.sync_filesystem(to)?;
    for (path, mode, times) in folders.iter().rev() {
        let _ = utimensat(CWD, path, times, AtFlags::SYMLINK_NOFOLLOW); // As above.
        disk.set_mode(path, *mode)?;
    }
    Ok(restored)
}

fn times_of(entry: &TarEntry) -> Timestamps {
    let time = Timespec { tv_sec: entry.modified, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// Checks that a file that exists already has the content that comes next.
fn is_same(path: &Path, parts: &[(u64, u64)], size: u64, from: &mut impl Read) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let other = || io::Error::new(io::ErrorKind::InvalidData, "it has two different files of one name");
    let there = path.symlink_metadata()?;
    if !there.is_file() || there.len() != size {
        return Err(other());
    }
    let file = crate::durable::plain::open(path)?;
    let (mut new, mut old) = (vec![0; BLOCK], vec![0; BLOCK]);
    for (at, length) in parts {
        let (mut at, end) = (*at, at.saturating_add(*length));
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            from.read_exact(&mut new[..most])?;
            file.read_exact_at(&mut old[..most], at)?;
            if new[..most] != old[..most] {
                return Err(other());
            }
            at += most as u64;
        }
    }
    Ok(())
}

/// Rewrites references to the removed folder, or to kept data outside of it, to where that was unpacked.
struct Moved {
    /// Old and new paths.
    places: Vec<(PathBuf, PathBuf)>,
}

impl Moved {
    fn new(archive: &Archive, to: &Path) -> Result<Moved, DiskError> {
        let to = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
        let names = archive.folder.iter().flat_map(|folder| names_of(folder));
        let mut places: Vec<_> = names.map(|name| (name, to.join(WORKSPACE))).collect();
        let note = read_note(&archive.path.with_file_name(format!("{}.json", archive.archive_id)))?;
        for outside in note.and_then(|note| note.outside).into_iter().flatten() {
            places.extend(outside.was.into_iter().map(|was| (was, to.join(&outside.name))));
        }
        Ok(Moved { places })
    }

    /// The content of a small file that may hold such a reference; `None`, without reading, for any other
    /// file.
    fn content(&self, path: &Path, size: u64, from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
        let ends = |what: &str| path.ends_with(what);
        let above = |name: &str| path.ancestors().nth(2).is_some_and(|above| above.ends_with(name));
        let is_one =
            ends("objects/info/alternates") || ends(".git") || (ends("gitdir") && above("worktrees"));
        if !is_one || size > SMALL {
            return Ok(None);
        }
        let mut content = Vec::new();
        from.take(size).read_to_end(&mut content)?;
        if content.len() as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let lines: Vec<Vec<u8>> = content.split(|byte| *byte == b'\n').map(|line| self.line(line)).collect();
        Ok(Some(lines.join(&b'\n')))
    }

    fn line(&self, line: &[u8]) -> Vec<u8> {
        let (word, place) =
            line.strip_prefix(b"gitdir: ").map_or((&b""[..], line), |place| (b"gitdir: ", place));
        let place = Path::new(OsStr::from_bytes(place));
        let found = self.places.iter().find_map(|(was, is)| Some((place.strip_prefix(was).ok()?, is)));
        match found {
            Some((below, is)) if below.as_os_str().is_empty() => [word, is.as_os_str().as_bytes()].concat(),
            Some((below, is)) => [word, is.join(below).as_os_str().as_bytes()].concat(),
            None => line.to_vec(),
        }
    }
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

/// Checks that a path stays below the folder.
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

/// Makes the folders above something that was kept alone. A link that was unpacked before is not followed.
fn make_above(disk: &Disk, top: &Path, path: &Path) -> Result<(), DiskError> {
    let mut missing = Vec::new();
    let above = path.ancestors().skip(1).take_while(|above| *above != top);
    for above in above {
        match above.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(io::Error::from(io::ErrorKind::NotADirectory)).context("make the folder", above);
            }
            Err(_) => missing.push(above),
        }
    }
    missing.iter().rev().try_for_each(|folder| make_folder(disk, folder))
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}
