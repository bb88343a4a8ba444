//! Decides which files of working trees must be kept: those that their indexes lack.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, statat};

use super::git::{Changes, each_name};
use super::judge::{Home, Judge, MOST_REPOSITORIES};
use super::look::{DotGit, Names, Store, WorkTree, entry_at, entry_below, place_of};
use super::note::{NAMED, Repository};
use super::open::{Opened, common_of, holds_anything, holds_files, objects_of, optional_file};
use super::plan::{ArchivePlan, Part};
use super::settings::work_tree_setting;
use super::tips::{self, Tips};
use crate::durable::tree::{Go, Unread, Visitor, open_folder, shown, walk};
use crate::system::Author;

/// Files of a working tree that its index lacks.
pub(super) struct Uncommitted {
    files: u64,
    /// The names of deleted files, up to a limit.
    deleted: Vec<String>,
    deleted_total: u64,
    /// Folders of submodules that hold files and no repository: git does not look into them.
    submodules: Vec<PathBuf>,
    pub(super) changes: Changes,
}

impl Judge<'_> {
    /// Returns where the repository of a working tree is; an error when that cannot be determined.
    pub(super) fn home_of(&self, tree: &WorkTree) -> Result<Home, String> {
        let Opened { folder, author } = self.open_tree(&tree.path).map_err(|e| e.to_string())?;
        let place = match tree.dot_git {
            DotGit::Strange => return Err("its .git is neither a folder nor a file".to_owned()),
            DotGit::Folder(place) => place,
            DotGit::File => {
                let text = tips::small(folder.as_fd(), c".git")?.ok_or("its .git went away")?;
                let target =
                    text.strip_prefix(b"gitdir:").ok_or("its .git cannot be understood")?.trim_ascii();
                let written = statat(&folder, c".git", AtFlags::SYMLINK_NOFOLLOW);
                let author = author.and(Author::of(&written.map_err(|e| e.to_string())?));
                let target = self.open_named(folder.as_fd(), target, author).map_err(|e| {
                    format!("its .git names {}: {e}", shown(Path::new(OsStr::from_bytes(target))))
                })?;
                let place = place_of(&target).map_err(|e| e.to_string())?;
                if self.found.store_at(place).is_none() {
                    let is_one = entry_at(target.as_fd(), c"HEAD").is_ok_and(|head| head.is_some());
                    let why = "its .git names a folder that is no repository".to_owned();
                    return if is_one { Ok(Home::Outside(target)) } else { Err(why) };
                }
                place
            }
        };
        match self.found.store_at(place) {
            Some(store) => Ok(Home::Inside(store)),
            None if holds_files(&folder).map_err(|e| e.to_string())? => {
                Err("its .git is no repository".to_owned())
            }
            None => Ok(Home::Nowhere),
        }
    }

    /// Finds the files of a working tree that must be kept; all of them when git cannot tell.
    pub(super) fn judge_tree(
        &self,
        plan: &mut ArchivePlan,
        path: &Path,
        home: &Opened,
    ) -> Result<(), Unread> {
        // A repository that git does not recognise is of little use when it is restored.
        if let Err(why) = tips::read_heads(home.as_fd(), &mut Tips::default()) {
            plan.keep_whole(path, why);
            return Ok(());
        }
        match self.lacks_index(path, home) {
            Ok(false) => {}
            Ok(true) => {
                plan.keep_whole(path, "it has no index, so its files cannot be told from others".to_owned());
                return Ok(());
            }
            Err(why) => {
                plan.keep_whole(path, why);
                return Ok(());
            }
        }
        match self.changes_of(path, home) {
            Ok(Uncommitted { submodules, changes, files, deleted, deleted_total }) => {
                for submodule in submodules {
                    plan.keep_whole(&submodule, "it is a submodule's folder without a repository".to_owned());
                }
                if files + deleted_total > 0 {
                    let about = self.about(
                        path,
                        home,
                        if files == 1 {
                            "1 file is not committed".to_owned()
                        } else {
                            format!("{files} files are not committed")
                        },
                    );
                    plan.repositories.push(Repository { files, deleted, deleted_total, ..about });
                    plan.parts.push(Part::Files { tree: path.to_owned(), changes });
                }
            }
            Err(why) => plan.keep_whole(path, why),
        }
        Ok(())
    }

    /// Whether a commit is checked out and files exist, but no index says which of them it has: the files
    /// that it ignores may be the commit's too.
    pub(super) fn lacks_index(&self, path: &Path, home: &Opened) -> Result<bool, String> {
        if optional_file(home.as_fd(), c"index")?.is_some() || matches!(self.read(home), Ok((_, None))) {
            return Ok(false);
        }
        struct Other<'a>(&'a Judge<'a>, &'a Path, bool);
        impl Visitor for Other<'_> {
            fn folder(&mut self, _: BorrowedFd<'_>, below: &Path) -> Result<Go, Unread> {
                let name = below.as_os_str().as_bytes();
                Ok(if self.2 || name == b".git" || self.0.is_own(self.1, name) { Go::Past } else { Go::In })
            }
            fn entry(&mut self, _: BorrowedFd<'_>, _: &std::ffi::CStr, below: &Path) -> Result<(), Unread> {
                let name = below.as_os_str().as_bytes();
                self.2 |= name != b".git" && !self.0.is_own(self.1, name);
                Ok(())
            }
        }
        let mut other = Other(self, path, false);
        let tree = self.open(path).map_err(|e| e.to_string())?;
        walk(tree.as_fd(), &mut other).map_err(|e| e.to_string())?;
        Ok(other.2)
    }

    pub(super) fn about(&self, path: &Path, home: &Opened, why: String) -> Repository {
        let head = self.read(home).ok().and_then(|(_, head)| head).map(|id| tips::hex(&id));
        Repository { head, ..Repository::new(path, why) }
    }

    /// Returns the files of a working tree that its index lacks.
    pub(super) fn changes_of(&self, path: &Path, home: &Opened) -> Result<Uncommitted, String> {
        let mut tree = self.open_tree(path).map_err(|e| e.to_string())?;
        tree.author = tree.author.and(home.author);
        if let Some(holding) = self.found.holding.iter().find(|at| at.starts_with(path)) {
            return Err(format!("{} is neither a file nor a folder", shown(holding)));
        }
        let objects = objects_of(home)?;
        let index = optional_file(home.as_fd(), c"index")?;
        let common = common_of(home)?;
        let common = common.as_ref().unwrap_or(home);
        let exclude = optional_file(common.as_fd(), c"info/exclude")?;
        let with_ignored = !self.rules.keep_ignored.is_empty();
        let changes = self.git.changes(&tree, &objects, index.as_ref(), exclude.as_ref(), with_ignored)?;
        let (mut files, mut deleted, mut deleted_total, mut submodules) = (0, Vec::new(), 0, Vec::new());
        let mut seen = Names::default();
        for (list, is_hidden) in changes.tracked() {
            each_name(list, &mut |name| {
                // A conflict is listed more than once.
                if !seen.insert(name) {
                    return Ok(());
                }
                match entry_below(tree.as_fd(), name).map_err(|e| e.to_string())?.map(|entry| entry.kind) {
                    Some(FileType::Directory) => {}
                    Some(_) => files += 1,
                    // Most files of a sparse checkout are absent and not missed.
                    None if is_hidden => {}
                    None => {
                        deleted_total += 1;
                        if deleted_total <= NAMED {
                            deleted.push(shown(Path::new(OsStr::from_bytes(name))));
                        }
                    }
                }
                Ok(())
            })?;
        }
        for list in [Some(&changes.untracked), changes.ignored.as_ref()].into_iter().flatten() {
            each_name(list, &mut |name| {
                files += u64::from(!self.is_own(path, name) && self.is_kept(&changes, list, name));
                Ok(())
            })?;
        }
        if let Some(list) = &changes.submodules {
            each_name(list, &mut |name| {
                let below = Path::new(OsStr::from_bytes(name));
                let Ok(folder) = open_folder(tree.as_fd(), below) else { return Ok(()) };
                // git itself looks into no nested repository, not even when its .git is no valid one.
                let has_own = match entry_at(folder.as_fd(), c".git").map_err(|e| e.to_string())? {
                    None => false,
                    Some((FileType::Directory, place)) => {
                        self.found.store_at(place).is_some() || holds_files(&folder)?
                    }
                    Some(_) => true,
                };
                if !has_own && holds_anything(&folder).map_err(|e| e.to_string())? {
                    submodules.push(path.join(below));
                }
                Ok(())
            })?;
        }
        Ok(Uncommitted { files, deleted, deleted_total, submodules, changes })
    }

    /// Whether anything below a folder is work: a repository, or files of surrounding working trees that
    /// their indexes lack. In doubt it is.
    pub(super) fn has_work_below(&self, below: &Path) -> Result<bool, Unread> {
        let found = self.found;
        if found.total() > MOST_REPOSITORIES {
            return Ok(true);
        }
        let git =
            found.stores.iter().map(|store| &store.path).chain(found.trees.iter().map(|tree| &tree.path));
        if git.chain(&found.pools).any(|path| path.starts_with(below)) {
            return Ok(true);
        }
        for tree in &found.trees {
            let Ok(inner) = below.strip_prefix(&tree.path) else { continue };
            let home = match self.home_of(tree) {
                Ok(Home::Nowhere) => continue,
                Ok(Home::Inside(store)) => self.open_store(&found.stores[store].path)?,
                Ok(Home::Outside(folder)) => folder,
                Err(_) => return Ok(true),
            };
            let is_clean = self.lacks_index(&tree.path, &home) == Ok(false)
                && self.is_committed_below(&tree.path, &home, inner) == Ok(true);
            if !is_clean {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_committed_below(&self, path: &Path, home: &Opened, inner: &Path) -> Result<bool, String> {
        let folder = self.open(path).map_err(|e| e.to_string())?;
        let Uncommitted { changes, .. } = self.changes_of(path, home)?;
        let is_below = |name: &[u8]| Path::new(OsStr::from_bytes(name)).starts_with(inner);
        let mut is_committed = true;
        for (list, _) in changes.tracked() {
            each_name(list, &mut |name| {
                // A deleted file cannot be lost.
                is_committed &= !is_below(name)
                    || entry_below(folder.as_fd(), name).map_err(|e| e.to_string())?.is_none();
                Ok(())
            })?;
        }
        for list in [Some(&changes.untracked), changes.ignored.as_ref()].into_iter().flatten() {
            each_name(list, &mut |name| {
                is_committed &= !is_below(name) || !self.is_kept(&changes, list, name);
                Ok(())
            })?;
        }
        Ok(is_committed)
    }

    /// Whether a file is one that the server itself keeps at the top of a workspace.
    pub(super) fn is_own(&self, tree: &Path, name: &[u8]) -> bool {
        let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        tree.as_os_str().is_empty() && (self.is_own_name)(OsStr::from_bytes(first))
    }

    /// Whether a file that the index does not know is kept; of the ignored files only some are.
    pub(super) fn is_kept(&self, changes: &Changes, list: &File, name: &[u8]) -> bool {
        // A nested repository is judged on its own.
        let is_ignored = changes.ignored.as_ref().is_some_and(|ignored| std::ptr::eq(ignored, list));
        !name.ends_with(b"/") && (!is_ignored || self.rules.keeps_ignored(name))
    }

    /// The working tree that a repository names itself, when no `.git` there leads back: git may have been told on
    /// its command line. With an index and without any tree, its files may be anywhere in the folder.
    pub(super) fn judge_other_trees(
        &self,
        plan: &mut ArchivePlan,
        store: &Store,
        folder: &Opened,
        trees: &[&Path],
    ) -> Result<(), Unread> {
        let has_index =
            entry_at(folder.as_fd(), c"index").map_err(|e| Unread::new(&store.path, e))?.is_some();
        let setting = work_tree_setting(folder.as_fd()).ok().flatten();
        // A bare repository has neither.
        if store.is_linked || !(has_index || setting.is_some()) {
            return Ok(());
        }
        let opened =
            setting.as_ref().and_then(|setting| self.open_named(folder.as_fd(), setting, folder.author).ok());
        let Some(tree) = opened else {
            // A submodule's files lie in a folder that is judged with the repository that it is a part of.
            if trees.is_empty() && (setting.is_none() || !self.is_of_submodule(store)) {
                let why = format!("{} does not say where its files are", shown(&store.path));
                plan.keep_whole(Path::new(""), why);
            }
            return Ok(());
        };
        let Some(path) = self.path_of(&tree)?.filter(|path| !trees.contains(&path.as_path())) else {
            return Ok(());
        };
        let is_clean = self.lacks_index(&path, folder) == Ok(false)
            && self.changes_of(&path, folder).is_ok_and(|uncommitted| uncommitted.files == 0);
        if !is_clean {
            plan.keep_whole(&path, format!("it has files of {}", shown(&store.path)));
        }
        Ok(())
    }

    pub(super) fn is_of_submodule(&self, store: &Store) -> bool {
        self.found.stores.iter().any(|above| store.path.starts_with(above.path.join("modules")))
    }
}
