//! The state of the repositories in a folder: HEAD, branch, uncommitted changes. For reports; whether work is
//! kept is decided by a judgement of the whole folder.

use std::ffi::OsStr;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, RawDir};

use super::elsewhere::Elsewhere;
use super::git::{Git, each_name};
use super::judge::Home;
use super::judge::Judge;
use super::keep::{git_of, names_of, own_names};
use super::look::{DotGit, Found, Names, Store, WorkTree, entry_at, place_of};
use super::open::{Opened, objects_of, optional_file};
use super::rules::KeepRules;
use super::tips::{self, hex, small};
use crate::durable::tree::{open_folder, open_top};
use crate::state::StateDir;

/// How many folders of a workspace are looked at for repositories.
const FOLDERS: usize = 64;
/// Longer than git takes for a large working tree on a busy disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// A repository as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitState {
    /// The commit of HEAD; `None` before the first commit.
    pub head: Option<String>,
    /// The branch; `None` when HEAD is detached.
    pub branch: Option<String>,
    /// How many files differ from the commit, untracked ones included; or why that is not known.
    pub changes: Result<u64, String>,
}

impl fmt::Display for GitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.head {
            Some(commit) => write!(f, "HEAD {commit}")?,
            None => f.write_str("no commit yet")?,
        }
        match &self.branch {
            Some(branch) => write!(f, ", branch {branch}")?,
            None => f.write_str(", detached")?,
        }
        match &self.changes {
            Ok(0) => f.write_str(", nothing uncommitted"),
            Ok(1) => f.write_str(", 1 uncommitted change"),
            Ok(n) => write!(f, ", {n} uncommitted changes"),
            Err(why) => write!(f, ", what is uncommitted is not known: {why}"),
        }
    }
}

/// Returns the repositories in a folder and its direct subfolders, by their paths below it; an error when one
/// cannot be looked at. The folder is not changed.
pub fn git_states(
    dir: &StateDir,
    folder: &Path,
    rules: &KeepRules,
) -> Vec<(PathBuf, Result<GitState, String>)> {
    let Ok(top) = open_top(folder) else { return Vec::new() };
    let found = shallow(top.as_fd());
    if found.trees.is_empty() {
        return Vec::new();
    }
    let scratch = dir.paths.cleanup_archive();
    let made = git_of(dir, &rules.tools, 0, &|| false).map(|git| git.within(PATIENCE));
    let git = made.unwrap_or_else(|e| Git::absent(&scratch, &format!("{e}: {}", e.source), &|| false));
    let judge = Judge {
        top: top.as_fd(),
        found: &found,
        git: &git,
        rules,
        since: i64::MAX,
        is_own_name: &own_names(dir, top.as_fd()),
        elsewhere: &Elsewhere::new(dir, folder),
        folder,
        was: &names_of(folder),
    };
    found.trees.iter().map(|tree| (tree.path.clone(), judge.state_of(tree))).collect()
}

/// Finds git at the top of a folder, or directly below it.
fn shallow(top: BorrowedFd<'_>) -> Found {
    let mut found = Found::default();
    if add(&mut found, top, Path::new("")) {
        return found;
    }
    let mut folders = Vec::new();
    let mut buffer: Vec<u8> = Vec::with_capacity(8 << 10);
    let Ok(again) = open_folder(top, Path::new("")) else { return found };
    let mut entries = RawDir::new(again.as_fd(), buffer.spare_capacity_mut());
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        if folders.len() < FOLDERS && !matches!(name, b"." | b"..") {
            let is_folder = entry_at(top, entry.file_name())
                .is_ok_and(|found| found.is_some_and(|(kind, _)| kind == FileType::Directory));
            if is_folder {
                folders.push(PathBuf::from(OsStr::from_bytes(name)));
            }
        }
    }
    folders.sort();
    for path in folders {
        let Ok(folder) = open_folder(top, &path) else { continue };
        add(&mut found, folder.as_fd(), &path);
    }
    found
}

/// Notes a folder if it is a working tree; returns whether it is one.
fn add(found: &mut Found, folder: BorrowedFd<'_>, path: &Path) -> bool {
    let Ok(Some((kind, place))) = entry_at(folder, c".git") else { return false };
    let dot_git = match kind {
        FileType::Directory => DotGit::Folder(place),
        FileType::RegularFile => DotGit::File,
        _ => DotGit::Strange,
    };
    found.trees.push(WorkTree { path: path.to_owned(), dot_git });
    if let DotGit::Folder(_) = dot_git
        && let Ok(store) = open_folder(folder, Path::new(".git"))
        && let Ok(place) = place_of(&store)
    {
        let objects = entry_at(store.as_fd(), c"objects").ok().flatten().map(|(_, place)| place);
        found.stores.push(Store { path: path.join(".git"), place, objects, is_linked: false });
    }
    true
}

impl Judge<'_> {
    fn state_of(&self, tree: &WorkTree) -> Result<GitState, String> {
        let home = match self.home_of(tree)? {
            Home::Nowhere => return Err("its .git is empty".to_owned()),
            Home::Outside(folder) => folder,
            Home::Inside(store) => {
                self.open_store(&self.found.stores[store].path).map_err(|e| e.to_string())?
            }
        };
        let (_, head) = self.read(&home).or_else(|_| heads_alone(&home))?;
        let text = small(home.as_fd(), c"HEAD")?.unwrap_or_default();
        let branch = text.trim_ascii().strip_prefix(b"ref: refs/heads/").map(|name| {
            String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).take(200).collect()
        });
        let changes = self.count_changes(&tree.path, &home, head);
        Ok(GitState { head: head.as_ref().map(hex), branch, changes })
    }

    /// Counts the files that are staged, changed, deleted or new.
    fn count_changes(&self, path: &Path, home: &Opened, head: Option<tips::Id>) -> Result<u64, String> {
        let changes = self.changes_of(path, home)?.changes;
        let (mut seen, mut total) = (Names::default(), 0);
        let mut lists = vec![&changes.untracked];
        lists.extend(changes.tracked.as_ref());
        let staged = match optional_file(home.as_fd(), c"index")? {
            Some(index) => Some(self.git.staged(&objects_of(home)?, &index, head)?),
            None => None,
        };
        lists.extend(staged.as_ref());
        for list in lists {
            each_name(list, &mut |name| {
                total += u64::from(!self.is_own(path, name) && seen.insert(name));
                Ok(())
            })?;
        }
        Ok(total)
    }
}

/// Reads HEAD's commit of a repository that is otherwise not understood, for example because an operation is
/// under way.
fn heads_alone(home: &Opened) -> Result<(tips::Tips, Option<tips::Id>), String> {
    let mut tips = tips::Tips::default();
    tips::read_names(home.as_fd(), &mut tips)?;
    let head = tips::read_heads(home.as_fd(), &mut tips)?;
    Ok((tips, head))
}
