//! Keeps a folder's git work: proves that it exists elsewhere, or copies it into one file.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, statat};

use super::borrowers::borrower;
use super::cannot_keep::CannotKeep;
use super::copy::{Copy, Failure, outside_name};
use super::elsewhere::Elsewhere;
use super::git::Git;
use super::judge::Judge;
use super::look::{Found, look, place_of};
use super::note::{ArchiveSource, FORMAT, Note, Outside};
use super::plan::ArchivePlan;
use super::rules::KeepRules;
use super::store::{ArchivePlace, place_for};
use crate::durable::tree::{TreeIdentity, Unread};
use crate::durable::{DiskError, replace, replace_with};
use crate::state::{CHECKPOINT, LINKED, StateDir, human, is_own_name_of_layout_2};
use crate::system::SearchPath;

/// A folder that is to be removed.
pub struct KeepRequest<'a> {
    pub folder: &'a Path,
    /// Where the folder was before it went to a trash, if it did.
    pub was: Option<&'a Path>,
    /// The id of the archive.
    pub archive_id: &'a str,
    /// What removes the folder.
    pub source: ArchiveSource,
    /// The object that the folder belonged to: `job:ID`, or another one.
    pub object: String,
    /// What counts as work.
    pub rules: &'a KeepRules,
    /// Called now and then: whether to end early.
    pub stop: &'a (dyn Fn() -> bool + Sync),
}

/// The result of keeping: the folder may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepOutcome {
    /// Nothing in it looks like git.
    NoGit,
    /// Everything that git anchors in the folder is known to exist elsewhere.
    Proven,
    /// Everything that is not proven to exist elsewhere is in an archive.
    Archived {
        archive_id: String,
        /// The length of the archive, in bytes.
        bytes: u64,
    },
}

impl KeepOutcome {
    /// Returns a sentence that says where the archive is.
    pub(crate) fn told(&self) -> Option<String> {
        let KeepOutcome::Archived { archive_id, bytes } = self else { return None };
        let size = human::size(*bytes);
        Some(format!("git work is kept ({size}): recoveryctl cleanup archive show {archive_id}"))
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

/// Proves that all git work in a folder exists elsewhere, or keeps it in an archive. The folder is not
/// changed. A second call replaces the earlier archive of the same folder in the same place, if the new one
/// has everything: links may lead outside of a folder that has moved into a trash, so otherwise the earlier
/// archive stays and the new one gets the next free id.
///
/// # Errors
/// [`CannotKeep`]: the folder must stay.
pub fn keep(dir: &StateDir, request: &KeepRequest<'_>) -> Result<KeepOutcome, CannotKeep> {
    let unread = |source| CannotKeep::Unread { folder: request.folder.to_owned(), source };
    let looked = match look(request.folder, request.stop) {
        Err(_) if (request.stop)() => return Err(CannotKeep::Stopped),
        looked => looked.map_err(unread)?,
    };
    let Some((top, found)) = looked else { return Ok(KeepOutcome::NoGit) };
    if found.is_empty() {
        return Ok(KeepOutcome::NoGit);
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
            return Ok(KeepOutcome::Proven);
        }
        write(dir, request, judge, plan)
    })
}

/// Whether a subfolder that is to be removed, while the request's folder stays, holds git work: a repository,
/// or uncommitted files of a working tree around it. In doubt it does.
pub(crate) fn has_work_below(
    dir: &StateDir,
    request: &KeepRequest<'_>,
    below: &Path,
) -> Result<bool, CannotKeep> {
    let unread = |source| CannotKeep::Unread { folder: request.folder.to_owned(), source };
    let looked = match look(request.folder, request.stop) {
        Err(_) if (request.stop)() => return Err(CannotKeep::Stopped),
        looked => looked.map_err(unread)?,
    };
    let Some((top, found)) = looked.filter(|(_, found)| !found.is_empty()) else { return Ok(false) };
    with_judge(dir, request, (&top, &found), |judge| judge.has_work_below(below).map_err(unread))
}

/// Calls `act` with a judge for the folder of a request.
fn with_judge<T>(
    dir: &StateDir,
    request: &KeepRequest<'_>,
    (top, found): (&OwnedFd, &Found),
    ask: impl FnOnce(&Judge<'_>) -> Result<T, CannotKeep>,
) -> Result<T, CannotKeep> {
    let elsewhere = Elsewhere::new(dir, request.folder);
    let folder = std::path::absolute(request.folder).unwrap_or_else(|_| request.folder.to_owned());
    let was = names_of(request.was.unwrap_or(&folder));
    let git = git_of(dir, &request.rules.tools, found.bytes, request.stop)?;
    let reflog = i64::try_from(request.rules.reflog.as_secs()).unwrap_or(i64::MAX);
    let judge = Judge {
        top: top.as_fd(),
        found,
        git: &git,
        rules: request.rules,
        since: (dir.clock.now().as_millis() / 1000).saturating_sub(reflog),
        is_own_name: &own_names(dir, top.as_fd()),
        elsewhere: &elsewhere,
        folder: &folder,
        was: &was,
    };
    ask(&judge)
}

/// Returns git with its files in the state directory.
pub(super) fn git_of<'a>(
    dir: &StateDir,
    tools: &SearchPath,
    bytes: u64,
    stop: &'a (dyn Fn() -> bool + Sync),
) -> Result<Git<'a>, DiskError> {
    let archives = dir.paths.cleanup_archive();
    dir.disk.ensure_dirs(&[dir.paths.cleanup(), archives.clone()])?;
    Git::new(&dir.disk, &dir.paths.cleanup_git(), &archives, tools, bytes, stop)
}

/// Whether a name at the top of a workspace is one of the server's own, not the job's.
pub(super) fn own_names<'a>(dir: &StateDir, top: BorrowedFd<'a>) -> impl Fn(&OsStr) -> bool + Sync + use<'a> {
    let may_be_of_layout_2 = dir.identity.may_have_attempts_in_workspaces();
    move |name: &OsStr| {
        name == CHECKPOINT
            || may_be_of_layout_2 && is_own_name_of_layout_2(name)
            || LINKED.iter().any(|linked| name == *linked) && is_link(top, name)
    }
}

fn is_link(top: BorrowedFd<'_>, name: &OsStr) -> bool {
    let found = statat(top, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink)
}

/// Returns all paths of a folder that links may use.
pub(super) fn names_of(folder: &Path) -> Vec<PathBuf> {
    let real = folder.parent().and_then(|above| above.canonicalize().ok());
    let real = real.zip(folder.file_name()).map(|(above, name)| above.join(name));
    let mut names = vec![folder.to_owned()];
    names.extend(real.filter(|real| real != folder));
    names
}

/// Writes the archive under a temporary name, so that a startup sweeps what a crash leaves, then renames it.
fn write(
    dir: &StateDir,
    request: &KeepRequest<'_>,
    judge: &Judge<'_>,
    plan: ArchivePlan,
) -> Result<KeepOutcome, CannotKeep> {
    let tree = TreeIdentity::of(request.folder)?;
    let outside: Vec<Outside> = plan
        .outside()
        .map(|(number, outside)| Outside { name: outside_name(number), was: outside.was.clone() })
        .collect();
    // The new archive has everything that the earlier one has.
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
        let now = dir.clock.now().as_millis() / 1000;
        let mut copy = Copy::new(out, judge, &failure, request.stop, now);
        copy.parts(&plan)?;
        size = copy.finish()?;
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
    Ok(KeepOutcome::Archived { archive_id, bytes: size.0 })
}
