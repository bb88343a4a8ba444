//! Copies the parts of a folder that are to be kept into an archive.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat, fstat, readlinkat};

use super::git::{Changes, each_name};
use super::judge::Judge;
use super::look::{FileId, Names, entry_below};
use super::plan::{ArchivePlan, Part};
use super::tar::{CopyError, Kind, TarEntry, Writer};
use crate::durable::tree::{Go, Unread, Visitor, open_file, open_folder, walk};
use crate::system::Author;

/// The prefix of the workspace's own files in an archive.
pub(super) const WORKSPACE: &str = "workspace";

/// Limit for files with several names: their copies may take this many times the disk space of the whole
/// folder, and a little more.
const NAMES: u64 = 4;
const FEW: u64 = 64 << 20;
/// A folder name longer than this, in bytes, is replaced in the archive: unpacking it would fail.
const LONGEST: usize = 2000;

/// Why nothing was kept.
pub(super) enum Failure {
    Unread(Unread),
    Stopped,
}

/// Folders that are copied whole, without those that lie in another one. There may be thousands.
struct Outermost<'p> {
    paths: Vec<&'p Path>,
    known: HashSet<&'p Path>,
}

impl<'p> Outermost<'p> {
    fn of(whole: impl Iterator<Item = &'p Path>) -> Outermost<'p> {
        let mut all: Vec<&Path> = whole.collect();
        all.sort_unstable();
        let mut paths: Vec<&Path> = Vec::new();
        // Sorted by their parts, so what lies in a folder comes right behind it.
        for path in all {
            if paths.last().is_none_or(|last| !path.starts_with(last)) {
                paths.push(path);
            }
        }
        let known = paths.iter().copied().collect();
        Outermost { paths, known }
    }

    fn has(&self, path: &Path) -> bool {
        path.ancestors().any(|above| self.known.contains(above))
    }
}

/// Copies parts of a folder into an archive.
pub(super) struct Copy<'a, 'w> {
    tar: Writer<'w>,
    judge: &'a Judge<'a>,
    failure: &'a RefCell<Option<Failure>>,
    stop: &'a (dyn Fn() -> bool + Sync),
    /// The names of the files that were copied one by one.
    taken: Names,
    /// Files that this user cannot read are not copied: a name outside of the folder may have led to them.
    reader: Author,
    /// Files with several names that were copied once.
    seen: HashSet<FileId>,
    /// How many bytes of files with several names were copied again.
    again: u64,
    /// Numbers of folders whose names are too long.
    deep: HashMap<Vec<u8>, usize>,
    /// Seconds since the epoch.
    now: i64,
}

fn deep_name(number: usize) -> Vec<u8> {
    format!("deep-{number}").into_bytes()
}

pub(super) fn outside_name(number: usize) -> String {
    format!("outside-{number}")
}

impl<'a, 'w> Copy<'a, 'w> {
    pub(super) fn new(
        out: &'w mut dyn io::Write,
        judge: &'a Judge<'a>,
        failure: &'a RefCell<Option<Failure>>,
        stop: &'a (dyn Fn() -> bool + Sync),
        now: i64,
    ) -> Copy<'a, 'w> {
        Copy {
            tar: Writer::new(out),
            judge,
            failure,
            stop,
            taken: Names::default(),
            reader: Author::Ourselves,
            seen: HashSet::new(),
            again: 0,
            deep: HashMap::new(),
            now,
        }
    }

    /// Ends the archive; returns its length in bytes and the number of its entries.
    pub(super) fn finish(self) -> io::Result<(u64, u64)> {
        self.tar.finish()
    }

    pub(super) fn parts(&mut self, plan: &ArchivePlan) -> io::Result<()> {
        // A part inside another one is copied with it.
        let outermost = Outermost::of(plan.parts.iter().filter_map(Part::whole));
        for path in &outermost.paths {
            let folder = self.open(path)?;
            let name = self.name_of(path)?;
            self.taken.insert(&name);
            self.tree(folder.as_fd(), path, &name)?;
        }
        for (number, part) in plan.parts.iter().enumerate() {
            match part {
                Part::Whole(_) => {}
                Part::Outside(outside) => {
                    let name = outside_name(number).into_bytes();
                    self.reader = outside.folder.author;
                    self.tree(outside.folder.as_fd(), Path::new(""), &name)?;
                    self.reader = Author::Ourselves;
                }
                Part::Tags(..) => {}
                Part::File(file) if outermost.has(file) => {}
                Part::File(file) => {
                    let (above, last) = (file.parent().unwrap_or(Path::new("")), file.file_name());
                    let (folder, last) = (self.open(above)?, last.unwrap_or_default().as_bytes());
                    let name = [&*self.name_of(above)?, b"/", last].concat();
                    if self.taken.insert(&name) {
                        self.entry(folder.as_fd(), last, file, &name)?;
                    }
                }
                Part::Files { tree, .. } if outermost.has(tree) => {}
                Part::Files { tree, changes } => self.files(tree, changes, &outermost)?,
            }
        }
        // These go to the end: a file may have the name that they would get.
        for part in &plan.parts {
            let Part::Tags(store, messages) = part else { continue };
            if outermost.has(store) {
                continue;
            }
            let mut name = [&*self.name_of(store)?, b".tags"].concat();
            while !self.taken.insert(&name) {
                name.push(b'~');
            }
            self.content(messages, store, &name)?;
        }
        Ok(())
    }

    fn failed<T>(&self, failure: Failure) -> io::Result<T> {
        self.failure.replace(Some(failure));
        Err(io::Error::other("the archive is given up"))
    }

    fn unread<T>(&self, path: &Path, error: impl Into<io::Error>) -> io::Result<T> {
        self.failed(Failure::Unread(Unread::new(path, error)))
    }

    fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        open_folder(self.judge.top, path).or_else(|e| self.unread(path, e))
    }

    /// Returns the name of a path in the archive.
    fn name_of(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        match path.as_os_str().as_bytes() {
            [] => Ok(WORKSPACE.as_bytes().to_vec()),
            path => self.shortened([WORKSPACE.as_bytes(), b"/", path].concat()),
        }
    }

    /// The name of a folder, or a substitute when it is too long to be unpacked; the file beside it has the
    /// original.
    fn shortened(&mut self, name: Vec<u8>) -> io::Result<Vec<u8>> {
        if name.len() < LONGEST {
            return Ok(name);
        }
        if let Some(number) = self.deep.get(&name) {
            return Ok(deep_name(*number));
        }
        let number = self.deep.len() + 1;
        let (deep, modified) = (deep_name(number), self.now);
        let (about, size) = ([&*deep, b".path"].concat(), name.len() as u64);
        self.tar.put_bytes(
            &TarEntry { name: about, kind: Kind::File, mode: 0o600, owner: (0, 0), modified, size },
            &name,
        )?;
        self.deep.insert(name, number);
        Ok(deep)
    }

    /// Copies a folder with all its content.
    fn tree(&mut self, folder: BorrowedFd<'_>, path: &Path, name: &[u8]) -> io::Result<()> {
        let bases = vec![(PathBuf::new(), name.to_vec())];
        let mut visit = TreeCopy { copy: self, path, bases, error: None };
        let walked = walk(folder, &mut visit);
        match (visit.error.take(), walked) {
            (Some(error), _) => Err(error),
            (None, Err(unread)) => {
                let at = path.join(&unread.path);
                self.unread(&at, unread.source)
            }
            (None, Ok(())) => Ok(()),
        }
    }

    /// Copies the files of a working tree that are not committed, except those that are copied already.
    fn files(&mut self, tree: &Path, changes: &Changes, whole: &Outermost<'_>) -> io::Result<()> {
        let folder = self.open(tree)?;
        let prefix = self.name_of(tree)?;
        let others = [Some(&changes.untracked), changes.ignored.as_ref()];
        let lists = changes.tracked().map(|(list, _)| (list, true));
        let lists: Vec<_> = lists.chain(others.into_iter().flatten().map(|list| (list, false))).collect();
        for (list, is_tracked) in lists {
            let mut error = None;
            let read = each_name(list, &mut |name| {
                let is_wanted =
                    is_tracked || (!self.judge.is_own(tree, name) && self.judge.is_kept(changes, list, name));
                let path = tree.join(OsStr::from_bytes(name));
                if !is_wanted || whole.has(&path) {
                    return Ok(());
                }
                // A conflict is listed more than once, and a file of one tree may be another one's too.
                let mut full = [&*prefix, b"/", name].concat();
                if !self.taken.insert(&full) {
                    return Ok(());
                }
                let put = match full.iter().rposition(|byte| *byte == b'/').filter(|_| full.len() > LONGEST) {
                    None => self.entry(folder.as_fd(), name, &path, &full),
                    Some(end) => {
                        let last = full.split_off(end);
                        let above = self.shortened(full);
                        above.and_then(|above| {
                            self.entry(folder.as_fd(), name, &path, &[above, last].concat())
                        })
                    }
                };
                put.map_err(|e| {
                    error = Some(e);
                    String::new()
                })
            });
            if let Some(error) = error {
                return Err(error);
            }
            if let Err(why) = read {
                return self.unread(tree, io::Error::other(why));
            }
        }
        Ok(())
    }

    /// Copies an entry that is not a folder.
    fn entry(&mut self, folder: BorrowedFd<'_>, at: &[u8], path: &Path, name: &[u8]) -> io::Result<()> {
        if (self.stop)() {
            return self.failed(Failure::Stopped);
        }
        let there = match entry_below(folder, at) {
            Ok(Some(there)) => there,
            Ok(None) => return Ok(()),
            Err(e) => return self.unread(path, e),
        };
        let found = &there.found;
        match there.kind {
            FileType::RegularFile => match CString::new(at) {
                Ok(at) => self.file(folder, &at, path, name),
                Err(_) => self.unread(path, io::ErrorKind::InvalidInput),
            },
            FileType::Symlink => match readlinkat(&there.handle, c"", Vec::new()) {
                Ok(target) => self.tar.put(&entry_of(found, name, Kind::Link(target.into_bytes()), 0)),
                Err(e) => self.unread(path, e),
            },
            FileType::Fifo => self.tar.put(&entry_of(found, name, Kind::Pipe, 0)),
            // A folder is a repository of its own; sockets and devices hold nothing.
            _ => Ok(()),
        }
    }

    fn file(&mut self, folder: BorrowedFd<'_>, at: &CStr, path: &Path, name: &[u8]) -> io::Result<()> {
        let file = match open_file(folder, at) {
            Ok(file) => file,
            Err(e) => return self.unread(path, e),
        };
        match self.hindrance(folder, at, &file) {
            Ok(None) => self.content(&file, path, name),
            Ok(Some(error)) | Err(error) => self.unread(path, error),
        }
    }

    /// Returns why a file is not copied: another user may have linked it here to have it read, or its many
    /// names would make the archive endless.
    fn hindrance(
        &mut self,
        folder: BorrowedFd<'_>,
        at: &CStr,
        file: &std::fs::File,
    ) -> io::Result<Option<io::Error>> {
        let found = fstat(file)?;
        if found.st_nlink <= 1 {
            return Ok(closed_to(self.reader, &found));
        }
        // Everybody who may write the folder can give a file another name.
        let above = match at.to_bytes().iter().rposition(|byte| *byte == b'/') {
            Some(end) => fstat(open_folder(folder, Path::new(OsStr::from_bytes(&at.to_bytes()[..end])))?)?,
            None => fstat(folder)?,
        };
        if let Some(error) = closed_to(self.reader.and(Author::of(&above)), &found) {
            return Ok(Some(error));
        }
        if self.seen.insert((found.st_dev, found.st_ino)) {
            return Ok(None);
        }
        let room = u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(512);
        self.again = self.again.saturating_add(room);
        let most = self.judge.found.bytes.saturating_mul(NAMES).saturating_add(FEW);
        let why = "its files have so many names that an archive, which has each of them, would be too large";
        Ok((self.again > most).then(|| io::Error::other(why)))
    }

    fn content(&mut self, file: &std::fs::File, path: &Path, name: &[u8]) -> io::Result<()> {
        let found = match fstat(file) {
            Ok(found) => found,
            Err(e) => return self.unread(path, e),
        };
        if !FileType::from_raw_mode(found.st_mode).is_file() {
            return self.unread(path, io::Error::other("it was exchanged while it was read"));
        }
        let size = u64::try_from(found.st_size).unwrap_or(0);
        let (stop, failure) = (self.stop, self.failure);
        let go_on = || match stop() {
            true => {
                failure.replace(Some(Failure::Stopped));
                Err(io::ErrorKind::Interrupted.into())
            }
            false => Ok(()),
        };
        match self.tar.put_file(&entry_of(&found, name, Kind::File, size), file, &go_on) {
            Ok(()) => Ok(()),
            Err(CopyError::Write(e)) => Err(e),
            Err(CopyError::Read(_)) if self.failure.borrow().is_some() => {
                Err(io::ErrorKind::Interrupted.into())
            }
            Err(CopyError::Read(e)) => self.unread(path, e),
        }
    }
}

/// Returns the error that this user may not read a file, if so. Another try would not help.
fn closed_to(reader: Author, found: &Stat) -> Option<io::Error> {
    let Author::Other(uid) = reader else { return None };
    let is_open = match FileType::from_raw_mode(found.st_mode).is_dir() {
        true => reader.may_list(found),
        false => reader.may_read(found),
    };
    let owner = found.st_uid;
    let why = format!(
        "user {uid}, who gave it this name, may not read it, as it belongs to user {owner}: remove the name"
    );
    (!is_open).then(|| io::Error::new(io::ErrorKind::PermissionDenied, why))
}

impl Part {
    fn whole(&self) -> Option<&Path> {
        if let Part::Whole(path) = self { Some(path) } else { None }
    }
}

fn entry_of(found: &Stat, name: &[u8], kind: Kind, size: u64) -> TarEntry {
    let owner = (found.st_uid, found.st_gid);
    TarEntry {
        name: name.to_vec(),
        kind,
        mode: found.st_mode & 0o7777,
        owner,
        modified: found.st_mtime,
        size,
    }
}

/// Copies a tree during a walk.
struct TreeCopy<'a, 'b, 'w> {
    copy: &'b mut Copy<'a, 'w>,
    /// The path of the folder, for messages.
    path: &'b Path,
    /// Folders on the way down that have names of their own in the archive, the top first.
    bases: Vec<(PathBuf, Vec<u8>)>,
    error: Option<io::Error>,
}

impl TreeCopy<'_, '_, '_> {
    fn name(&mut self, below: &Path) -> Vec<u8> {
        while self.bases.len() > 1 && self.bases.last().is_some_and(|(base, _)| !below.starts_with(base)) {
            self.bases.pop();
        }
        let Some((base, name)) = self.bases.last() else { return Vec::new() };
        match below.strip_prefix(base) {
            Ok(rest) if !rest.as_os_str().is_empty() => [&**name, b"/", rest.as_os_str().as_bytes()].concat(),
            _ => name.clone(),
        }
    }

    fn enter(&mut self, below: &Path) -> io::Result<Vec<u8>> {
        let full = self.name(below);
        let name = self.copy.shortened(full.clone())?;
        if name != full {
            self.bases.push((below.to_owned(), name.clone()));
        }
        Ok(name)
    }

    /// Keeps the error that ended the copying, and ends the walk.
    fn ended(&mut self, below: &Path, done: io::Result<()>) -> Result<(), Unread> {
        done.map_err(|error| {
            self.error = Some(error);
            Unread::new(below, io::ErrorKind::Interrupted)
        })
    }
}

impl Visitor for TreeCopy<'_, '_, '_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        let found = fstat(folder).map_err(|e| Unread::new(path, e))?;
        if let Some(error) = closed_to(self.copy.reader, &found) {
            return Err(Unread::new(path, error));
        }
        let put = self
            .enter(path)
            .and_then(|name| self.copy.tar.put(&entry_of(&found, &[&*name, b"/"].concat(), Kind::Folder, 0)));
        self.ended(path, put).map(|()| Go::In)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
        let (full, shown_path) = (self.name(path), self.path.join(path));
        let put = self.copy.entry(folder, name.to_bytes(), &shown_path, &full);
        self.ended(path, put)
    }
}
