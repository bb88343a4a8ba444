//! Keeping what a folder's git work is: prove, or copy into one file.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Stat, fstat, readlinkat, statat};

use super::borrowers::borrower;
use super::elsewhere::Elsewhere;
use super::git::{Git, each_name};
use super::judge::Judge;
use super::look::{Found, Names, entry_below, look, place_of};
use super::note::{ArchiveSource, FORMAT, Note, Outside};
use super::plan::{Part, Plan};
use super::rules::KeepRules;
use super::store::{ArchivePlace, place_for};
use super::tar::{CopyError, Entry, Kind, Writer};
use crate::durable::tree::{Go, TreeIdentity, Unread, Visitor, open_file, open_folder, shown, walk};
use crate::durable::{DiskError, replace, replace_with};
use crate::state::{CHECKPOINT, LINKED, StateDir, is_own_name_of_layout_2};

/// What is in the workspace has this in front of its path in the archive.
pub(super) const WORKSPACE: &str = "workspace";
/// The name of a folder that is longer than this is not spelled out in the archive: unpacking would fail.
const LONGEST: usize = 2000;

/// A folder that is to go.
pub struct KeepRequest<'a> {
    /// Which.
    pub folder: &'a Path,
    /// Where it was before it went to a trash, if it did.
    pub was: Option<&'a Path>,
    /// Under which id its work is kept.
    pub archive_id: &'a str,
    /// What has it removed.
    pub source: ArchiveSource,
    /// `job:ID`, or what else it is of.
    pub object: String,
    /// What counts as work.
    pub rules: &'a KeepRules,
    /// Asked now and then whether to end early.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// What came of it: the folder may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Nothing in it looks like git.
    NoGit,
    /// Everything that git anchors in it is known to be elsewhere.
    Proven,
    /// What is not is in an archive.
    Archived {
        /// Its id.
        archive_id: String,
        /// How long it is.
        bytes: u64,
    },
}

impl Kept {
    /// Where to look for what was kept.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        let Kept::Archived { archive_id, bytes } = self else { return None };
        Some(format!("git work is kept: {bytes} bytes; see: recoveryctl cleanup archive show {archive_id}"))
    }
}

/// Why a folder must stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CannotKeep {
    /// Something in it cannot be read: it may be work.
    #[error("{}: {source}", shown(folder))]
    Unread {
        /// The folder.
        folder: PathBuf,
        /// What in it, and why.
        source: Unread,
    },
    /// The archive cannot be written.
    #[error("the archive cannot be written: {source}: {}", source.source)]
    Disk {
        /// What the system says.
        #[from]
        source: DiskError,
    },
    /// A repository elsewhere needs it.
    #[error(
        "the repository {} borrows objects from this folder, or has its git folder here: clean up its workspace \
         first (recoveryctl cleanup start JOB)",
        shown(repository)
    )]
    Needed {
        /// The repository, in another workspace.
        repository: PathBuf,
    },
    /// Another workspace cannot be looked through: a repository in it may need this folder.
    #[error(
        "whether a repository in {} borrows objects from this folder is not known: {source}",
        shown(folder)
    )]
    Beside {
        /// The other workspace.
        folder: PathBuf,
        /// What in it, and why.
        source: Unread,
    },
    /// A working tree elsewhere has its repository in it.
    #[error(
        "the working tree {} has its repository in this folder: remove it (git worktree remove), or move the \
         repository out of this folder first",
        shown(tree)
    )]
    Leads {
        /// The working tree.
        tree: PathBuf,
    },
    /// Told to end.
    #[error("it was ended early")]
    Stopped,
}

impl CannotKeep {
    /// Whether nothing of the folder's own work is at risk: others need it, or may.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        matches!(self, CannotKeep::Needed { .. } | CannotKeep::Beside { .. } | CannotKeep::Leads { .. })
    }

    /// Whether it may be otherwise at the next try, without anybody's doing.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use io::ErrorKind as E;
        match self {
            CannotKeep::Unread { source, .. } => {
                !matches!(source.source.kind(), E::PermissionDenied | E::InvalidFilename | E::InvalidInput)
            }
            CannotKeep::Disk { .. }
            | CannotKeep::Needed { .. }
            | CannotKeep::Beside { .. }
            | CannotKeep::Leads { .. }
            | CannotKeep::Stopped => true,
        }
    }
}

/// Whether anything in a folder looks like git. Runs nothing, changes nothing.
///
/// # Errors
/// [`CannotKeep::Unread`]: something in it cannot be looked at.
pub fn has_git(folder: &Path) -> Result<bool, CannotKeep> {
    let found =
        look(folder, &|| false).map_err(|source| CannotKeep::Unread { folder: folder.to_owned(), source })?;
    Ok(found.is_some_and(|(_, found)| !found.is_empty()))
}

/// Proves that all git work in a folder is elsewhere, or keeps it in an archive. The folder is not changed. Done
/// again, it replaces what was kept of the same folder in the same place before, when that is all of the folder itself:
/// what was outside may be gone, and a folder in a trash may lead nowhere any more, so then the earlier archive stays
/// and the new one has the next free id.
///
/// # Errors
/// [`CannotKeep`]: the folder must stay.
pub fn keep(dir: &StateDir, request: &KeepRequest<'_>) -> Result<Kept, CannotKeep> {
    let unread = |source| CannotKeep::Unread { folder: request.folder.to_owned(), source };
    let looked = match look(request.folder, request.stop) {
        Err(_) if (request.stop)() => return Err(CannotKeep::Stopped),
        looked => looked.map_err(unread)?,
    };
    let Some((top, found)) = looked else { return Ok(Kept::NoGit) };
    if found.is_empty() {
        return Ok(Kept::NoGit);
    }
    let place = place_of(&top).map_err(|e| unread(Unread::new(Path::new(""), e)))?;
    if let Some(repository) = borrower(dir, place, request.stop)? {
        return Err(CannotKeep::Needed { repository });
    }
    with_judge(dir, request, (&top, &found), |judge| {
        if let Some(tree) = judge.tree_elsewhere().map_err(unread)? {
            return Err(CannotKeep::Leads { tree });
        }
        let plan = judge.plan().map_err(unread)?;
        if (request.stop)() {
            return Err(CannotKeep::Stopped);
        }
        if plan.parts.is_empty() {
            return Ok(Kept::Proven);
        }
        write(dir, request, judge, plan)
    })
}

/// Whether a folder below the one of a request, which goes while that stays, has git work in it: a repository, or files
/// of a working tree around it that are not committed. In doubt it has.
///
/// # Errors
/// [`CannotKeep`].
pub fn has_work_below(dir: &StateDir, request: &KeepRequest<'_>, below: &Path) -> Result<bool, CannotKeep> {
    let unread = |source| CannotKeep::Unread { folder: request.folder.to_owned(), source };
    let looked = match look(request.folder, request.stop) {
        Err(_) if (request.stop)() => return Err(CannotKeep::Stopped),
        looked => looked.map_err(unread)?,
    };
    let Some((top, found)) = looked.filter(|(_, found)| !found.is_empty()) else { return Ok(false) };
    with_judge(dir, request, (&top, &found), |judge| judge.has_work_below(below).map_err(unread))
}

/// Asks one who judges what was found in the folder of a request.
fn with_judge<T>(
    dir: &StateDir,
    request: &KeepRequest<'_>,
    (top, found): (&OwnedFd, &Found),
    ask: impl FnOnce(&Judge<'_>) -> Result<T, CannotKeep>,
) -> Result<T, CannotKeep> {
    let elsewhere = Elsewhere::new(dir, request.folder);
    let folder = std::path::absolute(request.folder).unwrap_or_else(|_| request.folder.to_owned());
    let was = request.was.map(names_of).unwrap_or_default();
    let archives = dir.paths.cleanup_archive();
    dir.disk.ensure_dirs(&[dir.paths.cleanup(), archives.clone()])?;
    let git = Git::new(&dir.disk, &dir.paths.cleanup_git(), &archives, found.bytes, request.stop)?;
    let reflog = i64::try_from(request.rules.reflog.as_secs()).unwrap_or(i64::MAX);
    let may_be_of_layout_2 = dir.identity.may_have_attempts_in_workspaces();
    let is_own_name = |name: &OsStr| {
        name == CHECKPOINT
            || may_be_of_layout_2 && is_own_name_of_layout_2(name)
            || LINKED.iter().any(|linked| name == *linked) && is_link(top.as_fd(), name)
    };
    let judge = Judge {
        top: top.as_fd(),
        found,
        git: &git,
        rules: request.rules,
        since: (dir.clock.now().as_millis() / 1000).saturating_sub(reflog),
        is_own_name: &is_own_name,
        elsewhere: &elsewhere,
        folder: &folder,
        was: &was,
    };
    ask(&judge)
}

fn is_link(top: BorrowedFd<'_>, name: &OsStr) -> bool {
    let found = statat(top, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

/// What a folder may be called: links may lead to it.
pub(super) fn names_of(folder: &Path) -> Vec<PathBuf> {
    let real = folder.parent().and_then(|above| above.canonicalize().ok());
    let real = real.zip(folder.file_name()).map(|(above, name)| above.join(name));
    let mut names = vec![folder.to_owned()];
    names.extend(real.filter(|real| real != folder));
    names
}

/// Writes the archive: under a name of a temporary file, so that what a crash leaves is swept, then under its own.
fn write(
    dir: &StateDir,
    request: &KeepRequest<'_>,
    judge: &Judge<'_>,
    plan: Plan,
) -> Result<Kept, CannotKeep> {
    let tree = TreeIdentity::of(request.folder)?;
    let outside: Vec<Outside> = plan
        .outside()
        .map(|(number, outside)| Outside { name: outside_name(number), was: outside.was.clone() })
        .collect();
    // What was kept before is in the new one too.
    let replaces = |old: &Note| {
        let has = |was: &Outside| outside.iter().any(|outside| outside.was == was.was);
        let is_here = request.was.is_none() && old.folder == request.folder;
        is_here
            && tree.is_some()
            && old.tree == tree
            && old.outside.as_ref().is_some_and(|all| all.iter().all(has))
    };
    let ArchivePlace { archive_id, file, note } = place_for(dir, request.archive_id, &replaces)?;
    let failure = RefCell::new(None);
    let mut size = (0, 0);
    let written = replace_with(&dir.disk, &file, |out| {
        let mut copy = Copy {
            tar: Writer::new(out),
            judge,
            failure: &failure,
            stop: request.stop,
            taken: Names::default(),
            deep: HashMap::new(),
            now: dir.clock.now().as_millis() / 1000,
        };
        copy.parts(&plan)?;
        size = copy.tar.finish()?;
        Ok(())
    });
    match failure.into_inner() {
        Some(Failure::Unread(source)) => {
            return Err(CannotKeep::Unread { folder: request.folder.to_owned(), source });
        }
        Some(Failure::Stopped) => return Err(CannotKeep::Stopped),
        None => written?,
    }
    let about = Note {
        format: FORMAT,
        archive_id: archive_id.clone(),
        source: request.source,
        object: request.object.clone(),
        folder: request.was.unwrap_or(request.folder).to_owned(),
        tree,
        made_at: dir.clock.now(),
        bytes: size.0,
        entries: size.1,
        repositories: plan.repositories,
        outside: Some(outside),
    };
    replace(&dir.disk, &note, &serde_json::to_vec_pretty(&about).unwrap_or_default())?;
    Ok(Kept::Archived { archive_id, bytes: size.0 })
}

enum Failure {
    Unread(Unread),
    Stopped,
}

/// Copies parts of a folder into an archive.
struct Copy<'a, 'w> {
    tar: Writer<'w>,
    judge: &'a Judge<'a>,
    failure: &'a RefCell<Option<Failure>>,
    stop: &'a (dyn Fn() -> bool + Sync),
    /// What was copied alone.
    taken: Names,
    /// Numbers of folders whose names are too long.
    deep: HashMap<Vec<u8>, usize>,
    /// Seconds since the epoch.
    now: i64,
}

fn deep_name(number: usize) -> Vec<u8> {
    format!("deep-{number}").into_bytes()
}

fn outside_name(number: usize) -> String {
    format!("outside-{number}")
}

impl Copy<'_, '_> {
    fn parts(&mut self, plan: &Plan) -> io::Result<()> {
        let mut whole: Vec<&Path> = plan.parts.iter().filter_map(Part::whole).collect();
        whole.sort_unstable();
        whole.dedup();
        // What lies in another one is copied with it.
        let outermost: Vec<&Path> = whole
            .iter()
            .filter(|path| !whole.iter().any(|p| p != *path && path.starts_with(p)))
            .copied()
            .collect();
        for path in &outermost {
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
                    self.tree(outside.folder.as_fd(), Path::new(""), &name)?;
                }
                Part::Tags(..) => {}
                Part::File(file) if outermost.iter().any(|path| file.starts_with(path)) => {}
                Part::File(file) => {
                    let (above, last) = (file.parent().unwrap_or(Path::new("")), file.file_name());
                    let (folder, last) = (self.open(above)?, last.unwrap_or_default().as_bytes());
                    let name = [&*self.name_of(above)?, b"/", last].concat();
                    if self.taken.insert(&name) {
                        self.entry(folder.as_fd(), last, file, &name)?;
                    }
                }
                Part::Files { tree, .. } if outermost.iter().any(|path| tree.starts_with(path)) => {}
                Part::Files { tree, changes } => self.files(tree, changes, &outermost)?,
            }
        }
        // At the end: a file may have the name that they would get.
        for part in &plan.parts {
            let Part::Tags(store, messages) = part else { continue };
            if outermost.iter().any(|path| store.starts_with(path)) {
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

    /// Its name in the archive.
    fn name_of(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        match path.as_os_str().as_bytes() {
            [] => Ok(WORKSPACE.as_bytes().to_vec()),
            path => self.shortened([WORKSPACE.as_bytes(), b"/", path].concat()),
        }
    }

    /// The name of a folder, or another one when it is too long to be unpacked: the file beside that tells the name.
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
            &Entry { name: about, kind: Kind::File, mode: 0o600, owner: (0, 0), modified, size },
            &name,
        )?;
        self.deep.insert(name, number);
        Ok(deep)
    }

    /// A folder with all that is in it.
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

    /// The files of a working tree that are not committed, but for those that are copied already.
    fn files(&mut self, tree: &Path, changes: &super::git::Changes, whole: &[&Path]) -> io::Result<()> {
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
                if !is_wanted || whole.iter().any(|whole| path.starts_with(whole)) {
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

    /// Anything but a folder.
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
        match open_file(folder, at) {
            Ok(file) => self.content(&file, path, name),
            Err(e) => self.unread(path, e),
        }
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

impl Part {
    fn whole(&self) -> Option<&Path> {
        if let Part::Whole(path) = self { Some(path) } else { None }
    }
}

fn entry_of(found: &Stat, name: &[u8], kind: Kind, size: u64) -> Entry {
    let owner = (found.st_uid, found.st_gid);
    Entry { name: name.to_vec(), kind, mode: found.st_mode & 0o7777, owner, modified: found.st_mtime, size }
}

/// Copies a tree as it is walked.
struct TreeCopy<'a, 'b, 'w> {
    copy: &'b mut Copy<'a, 'w>,
    /// Where it is, for messages.
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

    /// Keeps what ended the copying, and ends the walk.
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
