//! What of a folder's git work is to be kept: whatever is not proven to be elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

use super::elsewhere::{Elsewhere, Here, Remote, heads_of_bundle, lines_of};
use super::git::{self, Changes, Git, each_name};
use super::look::{DotGit, Found, Names, Place, Store, WorkTree, entry_at, entry_below, place_of};
use super::note::{NAMED, Repository};
use super::rules::KeepRules;
use super::settings::{large_files_setting, settings_of, work_tree_setting};
use super::tips::{self, Id, Tips};
use crate::durable::tree::{Go, Unread, Visitor, open_file, open_folder, shown, walk};

/// Something to be kept.
pub(super) enum Part {
    /// A folder with all that is in it.
    Whole(PathBuf),
    /// Some files of a working tree.
    Files { tree: PathBuf, changes: Changes },
    /// One file alone: what leads from a working tree to its repository, or what a repository has behind a link.
    File(PathBuf),
    /// Messages of a repository's tags.
    Tags(PathBuf, File),
    /// A repository outside, which a working tree here belongs to, or objects outside that go too.
    Outside(Outside),
}

/// Something outside of the folder.
pub(super) struct Outside {
    pub(super) folder: OwnedFd,
    /// What it is called where it is named.
    pub(super) was: Vec<PathBuf>,
}

impl Outside {
    fn new(folder: OwnedFd, named: Option<&[u8]>) -> Outside {
        let mut was: Vec<PathBuf> = std::fs::read_link(git::path_of(&folder)).into_iter().collect();
        let named = named.map(|named| PathBuf::from(OsStr::from_bytes(named)));
        was.extend(named.filter(|named| named.is_absolute() && !was.contains(named)));
        Outside { folder, was }
    }
}

/// What is to be kept, and why.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) parts: Vec<Part>,
    pub(super) repositories: Vec<Repository>,
}

/// What a working tree has that its index has not.
struct Uncommitted {
    files: u64,
    /// Names of deleted files, the first of them.
    deleted: Vec<String>,
    deleted_total: u64,
    /// Folders of submodules that hold files and no repository: git does not look into them.
    submodules: Vec<PathBuf>,
    changes: Changes,
}

/// Where a working tree's repository is.
enum Home {
    /// One of those that were found in the folder.
    Inside(usize),
    /// Elsewhere.
    Outside(OwnedFd),
    /// `.git` is an empty folder: there is none.
    Nowhere,
}

/// Judges what was found in a folder.
pub(super) struct Judge<'a> {
    pub(super) top: BorrowedFd<'a>,
    pub(super) found: &'a Found,
    pub(super) git: &'a Git<'a>,
    pub(super) rules: &'a KeepRules,
    /// Entries of reflogs that are older count no more; seconds since the epoch.
    pub(super) since: i64,
    /// Names at the top of the folder that are not the job's.
    pub(super) own_names: &'a [&'a str],
    pub(super) elsewhere: &'a Elsewhere,
    /// Where the folder is, for relative paths of remotes.
    pub(super) folder: &'a Path,
    /// What it was called when what is in it was told its place, when it is in a trash by now.
    pub(super) was: &'a [PathBuf],
}

impl Judge<'_> {
    /// # Errors
    /// What could not be read at all.
    pub(super) fn plan(&self) -> Result<Plan, Unread> {
        let mut plan = Plan::default();
        let (mut outside, mut files) = (HashSet::new(), Vec::new());
        let mut trees_of: BTreeMap<usize, Vec<&Path>> = BTreeMap::new();
        for tree in &self.found.trees {
            match self.home_of(tree) {
                Ok(Home::Nowhere) => {}
                Ok(Home::Inside(store)) => {
                    trees_of.entry(store).or_default().push(&tree.path);
                    if tree.dot_git == DotGit::File {
                        files.push((tree.path.as_path(), store));
                    }
                    let folder = self.open(&self.found.stores[store].path)?;
                    self.judge_tree(&mut plan, &tree.path, &folder)?;
                }
                Ok(Home::Outside(folder)) => {
                    self.judge_tree(&mut plan, &tree.path, &folder)?;
                    self.judge_outside(&mut plan, &tree.path, folder, &mut outside);
                }
                Err(why) => plan.keep_whole(&tree.path, why),
            }
        }
        let mut unproven = BTreeSet::new();
        for (number, store) in self.found.stores.iter().enumerate() {
            let folder = self.open(&store.path)?;
            let trees = trees_of.get(&number).map(Vec::as_slice).unwrap_or_default();
            match self.prove_store(store, &folder, trees) {
                Ok(None) => {}
                Ok(Some(tags)) => {
                    let why = "it has tags with messages that no remote is known to have".to_owned();
                    plan.repositories.push(Repository::new(&store.path, why));
                    plan.parts.push(Part::Tags(store.path.clone(), tags));
                }
                Err(why) => {
                    unproven.insert(number);
                    plan.keep_whole(&store.path, why);
                }
            }
            self.judge_other_trees(&mut plan, store, &folder, trees)?;
        }
        for pool in &self.found.pools {
            plan.keep_whole(pool, "it has git's objects, and is no repository's own".to_owned());
        }
        self.keep_lenders(&mut plan, &unproven)?;
        self.keep_links(&mut plan, &files);
        Ok(plan)
    }

    /// Of a working tree of which files are kept, whose repository lies elsewhere and is kept whole: what leads there.
    fn keep_links(&self, plan: &mut Plan, trees: &[(&Path, usize)]) {
        let is_whole = |path: &Path| {
            plan.parts.iter().any(|part| matches!(part, Part::Whole(whole) if path.starts_with(whole)))
        };
        let has_files = |path: &Path| {
            plan.parts.iter().any(|part| matches!(part, Part::Files { tree, .. } if tree == path))
        };
        let links: Vec<Part> = trees
            .iter()
            .filter(|(tree, store)| has_files(tree) && is_whole(&self.found.stores[*store].path))
            .map(|(tree, _)| Part::File(tree.join(".git")))
            .collect();
        plan.parts.extend(links);
    }

    fn open(&self, path: &Path) -> Result<OwnedFd, Unread> {
        open_folder(self.top, path).map_err(|e| Unread::new(path, e))
    }

    /// Where the repository of a working tree is; why that cannot be told.
    fn home_of(&self, tree: &WorkTree) -> Result<Home, String> {
        let folder = self.open(&tree.path).map_err(|e| e.to_string())?;
        let place = match tree.dot_git {
            DotGit::Strange => return Err("its .git is neither a folder nor a file".to_owned()),
            DotGit::Folder(place) => place,
            DotGit::File => {
                let text = tips::small(folder.as_fd(), c".git")?.ok_or("its .git went away")?;
                let target =
                    text.strip_prefix(b"gitdir:").ok_or("its .git cannot be understood")?.trim_ascii();
                let target = self.open_named(folder.as_fd(), target).map_err(|e| {
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

    /// What of a working tree's files is to be kept; all of them when git cannot tell.
    fn judge_tree(&self, plan: &mut Plan, path: &Path, home: &OwnedFd) -> Result<(), Unread> {
        // One that git takes for no repository is of little use when it is restored.
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

    /// A commit is checked out, there are files, and no index says which of them it has: those that it ignores may be
    /// the commit's too.
    fn lacks_index(&self, path: &Path, home: &OwnedFd) -> Result<bool, String> {
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

    /// Opens a folder that something in the folder names, wherever it is. What was in the folder is there still when
    /// that has moved into a trash.
    fn open_named(&self, from: BorrowedFd<'_>, path: &[u8]) -> std::io::Result<OwnedFd> {
        let named = Path::new(OsStr::from_bytes(path));
        match self.was.iter().find_map(|was| named.strip_prefix(was).ok()) {
            Some(below) => {
                let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
                open_anywhere(self.top, below.as_os_str().as_bytes())
            }
            None => open_anywhere(from, path),
        }
    }

    fn about(&self, path: &Path, home: &OwnedFd, why: String) -> Repository {
        let head = self.read(home).ok().and_then(|(_, head)| head).map(|id| tips::hex(&id));
        Repository { head, ..Repository::new(path, why) }
    }

    /// What a working tree has that its index has not.
    fn changes_of(&self, path: &Path, home: &OwnedFd) -> Result<Uncommitted, String> {
        let tree = self.open(path).map_err(|e| e.to_string())?;
        let objects = objects_of(home.as_fd())?;
        let index = optional_file(home.as_fd(), c"index")?;
        let common = common_of(home.as_fd())?;
        let common = common.as_ref().unwrap_or(home);
        let exclude = optional_file(common.as_fd(), c"info/exclude")?;
        let with_ignored = !self.rules.keep_ignored.is_empty();
        let changes = self.git.changes(
            tree.as_fd(),
            objects.as_fd(),
            index.as_ref(),
            exclude.as_ref(),
            with_ignored,
        )?;
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
                    // Of a sparse checkout most are not there, and are not missed.
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
                // git itself looks into none, also when its .git is nothing that git makes.
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

    /// Whether it is one of the files that the server itself keeps at the top of a workspace.
    pub(super) fn is_own(&self, tree: &Path, name: &[u8]) -> bool {
        let first = name.split(|byte| *byte == b'/').next().unwrap_or_default();
        tree.as_os_str().is_empty() && self.own_names.iter().any(|own| own.as_bytes() == first)
    }

    /// Whether a file that the index does not know is kept: of those that are ignored only some are.
    pub(super) fn is_kept(&self, changes: &Changes, list: &File, name: &[u8]) -> bool {
        // A repository of its own in it is judged by itself.
        let is_ignored = changes.ignored.as_ref().is_some_and(|ignored| std::ptr::eq(ignored, list));
        !name.ends_with(b"/") && (!is_ignored || self.rules.keeps_ignored(name))
    }

    /// Everything that a repository in the folder anchors is known to be elsewhere.
    fn prove_store(&self, store: &Store, folder: &OwnedFd, trees: &[&Path]) -> Result<Option<File>, String> {
        if store.is_linked {
            return self.prove_linked(store, folder).map(|()| None);
        }
        let (mut tips, _) = self.read(folder)?;
        let objects = objects_of(folder.as_fd())?;
        let shallow = optional_file(folder.as_fd(), c"shallow")?;
        for name in tips::linked(folder.as_fd())? {
            let at = Path::new("worktrees").join(OsStr::from_bytes(name.to_bytes()));
            let linked = open_folder(folder.as_fd(), &at).map_err(|e| e.to_string())?;
            let head =
                self.read_one(linked.as_fd(), &mut tips).map_err(|e| format!("{}: {e}", at.display()))?;
            self.prove_index_of(linked.as_fd(), objects.as_fd(), head)?;
        }
        let head = self.read_one(folder.as_fd(), &mut tips)?;
        self.prove_index_of(folder.as_fd(), objects.as_fd(), head)?;
        match open_folder(folder.as_fd(), Path::new("lfs/objects")) {
            Ok(large) if holds_anything(&large).map_err(|e| e.to_string())? => {
                return Err("it has LFS objects, and no remote is known to have them".to_owned());
            }
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(format!("lfs/objects: {e}")),
            _ => {}
        }
        tips.settle(&self.remotes_of(store, folder, trees)?, &|remote, ids| self.lacking(remote, ids));
        tips.cloned_at = tips::cloned_at(folder.as_fd());
        self.git.prove_commits(objects.as_fd(), shallow.as_ref(), &tips, Some(self.since))
    }

    /// The remotes of a repository, each with whether it is known to be elsewhere.
    fn remotes_of(&self, store: &Store, folder: &OwnedFd, trees: &[&Path]) -> Result<Vec<Remote>, String> {
        // git itself begins at the top of the working tree that it is in.
        let bases = if trees.is_empty() { &[store.path.as_path()][..] } else { trees };
        let bases: Vec<PathBuf> = bases.iter().map(|base| self.folder.join(base)).collect();
        Ok(self.elsewhere.remotes(&settings_of(folder.as_fd())?, &bases))
    }

    /// What a remote that is on this machine has not, of what is noted as its: the repository there may be another one
    /// by now, or what was pushed to it may have been removed. What cannot be asked has nothing.
    fn lacking(&self, remote: &Remote, ids: &BTreeSet<Id>) -> BTreeSet<Id> {
        let mut lacking = BTreeSet::new();
        for here in &remote.here {
            let found = match here {
                Here::Objects(path) => {
                    let opened = open_anywhere(self.top, path.as_os_str().as_bytes());
                    opened.ok().and_then(|objects| self.git.lacking(objects.as_fd(), ids).ok())
                }
                Here::Bundle(path) => {
                    heads_of_bundle(path).map(|heads| ids.difference(&heads).copied().collect())
                }
            };
            lacking.extend(found.unwrap_or_else(|| ids.clone()));
        }
        lacking
    }

    /// What belongs to one working tree only: HEAD and its like, reflogs, names below `refs/`.
    fn read_one(&self, folder: BorrowedFd<'_>, tips: &mut Tips) -> Result<Option<Id>, String> {
        tips::at_rest(folder)?;
        settings_of(folder)?;
        tips::read_names(folder, tips)?;
        tips::read_logs(folder, self.since, tips)?;
        tips::read_heads(folder, tips)
    }

    fn read(&self, folder: &OwnedFd) -> Result<(Tips, Option<Id>), String> {
        let mut tips = Tips::default();
        if let Some(common) = common_of(folder.as_fd())? {
            tips::read_names(common.as_fd(), &mut tips)?;
        }
        let head = self.read_one(folder.as_fd(), &mut tips)?;
        Ok((tips, head))
    }

    fn prove_index_of(
        &self,
        folder: BorrowedFd<'_>,
        objects: BorrowedFd<'_>,
        head: Option<Id>,
    ) -> Result<(), String> {
        let Some(index) = optional_file(folder, c"index")? else { return Ok(()) };
        self.git.prove_index(objects, &index, head)
    }

    /// A linked working tree's own folder in the folder that goes: part of its repository's proof when that has it,
    /// else nothing is known.
    fn prove_linked(&self, store: &Store, folder: &OwnedFd) -> Result<(), String> {
        let common = common_of(folder.as_fd())?.ok_or("it does not say to which repository it belongs")?;
        let place = place_of(&common).map_err(|e| e.to_string())?;
        let owner = self.found.store_at(place).map(|owner| self.found.stores[owner].path.join("worktrees"));
        match (owner, store.path.parent()) {
            (Some(owner), Some(above)) if owner == above => Ok(()),
            _ => Err("it belongs to a repository that is elsewhere".to_owned()),
        }
    }

    /// A working tree here of a repository elsewhere, which stays: what only this tree's own folder there anchors.
    fn judge_outside(&self, plan: &mut Plan, tree: &Path, folder: OwnedFd, kept: &mut HashSet<Place>) {
        let proven = || -> Result<(), String> {
            let Some(common) = common_of(folder.as_fd())? else { return Ok(()) };
            let mut all = Tips::default();
            tips::read_names(common.as_fd(), &mut all)?;
            // Names there stay, whatever becomes of the tree here.
            let mut own =
                Tips { stays: all.names.values().copied().collect(), names: all.names, ..Tips::default() };
            let head = self.read_one(folder.as_fd(), &mut own)?;
            let objects = objects_of(folder.as_fd())?;
            self.prove_index_of(folder.as_fd(), objects.as_fd(), head)?;
            let shallow = optional_file(common.as_fd(), c"shallow")?;
            match self.git.prove_commits(objects.as_fd(), shallow.as_ref(), &own, None)? {
                None => Ok(()),
                Some(_) => Err("it names a tag that has no name in its repository".to_owned()),
            }
        };
        if let Err(why) = proven() {
            plan.repositories.push(Repository::new(tree, why));
            // Whatever else a `commondir` may lead to is none of ours.
            let common = common_of(folder.as_fd()).ok().flatten().filter(|common| is_store(common.as_fd()));
            let outside = common.unwrap_or(folder);
            // More of its working trees may be here.
            if place_of(&outside).map_or(true, |place| kept.insert(place)) {
                plan.parts.push(Part::Outside(Outside::new(outside, None)));
            }
        }
    }

    /// The working tree that a repository names itself, when no `.git` there leads back: git may have been told on
    /// its command line. With an index and without any tree, its files may be anywhere in the folder.
    fn judge_other_trees(
        &self,
        plan: &mut Plan,
        store: &Store,
        folder: &OwnedFd,
        trees: &[&Path],
    ) -> Result<(), Unread> {
        let has_index =
            entry_at(folder.as_fd(), c"index").map_err(|e| Unread::new(&store.path, e))?.is_some();
        let setting = work_tree_setting(folder.as_fd()).ok().flatten();
        // A bare repository has neither.
        if store.is_linked || !(has_index || setting.is_some()) {
            return Ok(());
        }
        let opened = setting.as_ref().and_then(|setting| self.open_named(folder.as_fd(), setting).ok());
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

    fn is_of_submodule(&self, store: &Store) -> bool {
        self.found.stores.iter().any(|above| store.path.starts_with(above.path.join("modules")))
    }

    /// The path of an open folder below the top; `None` when it is elsewhere.
    fn path_of(&self, folder: &OwnedFd) -> Result<Option<PathBuf>, Unread> {
        let strange = |e: Errno| Unread::new(Path::new(""), e);
        let place = place_of(folder).map_err(strange)?;
        // By its name, if that is one from the top.
        let names = [std::fs::read_link(git::path_of(folder)), std::fs::read_link(git::path_of(self.top))];
        if let [Ok(name), Ok(top)] = names
            && let Ok(below) = name.strip_prefix(top)
            && open_folder(self.top, below)
                .is_ok_and(|found| place_of(found).is_ok_and(|found| found == place))
        {
            return Ok(Some(below.to_owned()));
        }
        // It may be reached by another mount.
        struct Search((u64, u64), Option<PathBuf>);
        impl Visitor for Search {
            fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
                if place_of(folder).map_err(|e| Unread::new(path, e))? == self.0 {
                    self.1 = Some(path.to_owned());
                }
                Ok(if self.1.is_some() { Go::Past } else { Go::In })
            }
            fn entry(&mut self, _: BorrowedFd<'_>, _: &std::ffi::CStr, _: &Path) -> Result<(), Unread> {
                Ok(())
            }
        }
        let mut search = Search(place, None);
        walk(self.top, &mut search)?;
        Ok(search.1)
    }

    /// A repository that is kept may borrow objects from others: those here, and those elsewhere that go too, are kept
    /// with it. Those that stay are named, and what cannot be opened. The same of what else it has behind links.
    fn keep_lenders(&self, plan: &mut Plan, unproven: &BTreeSet<usize>) -> Result<(), Unread> {
        let mut seen: BTreeSet<Place> =
            unproven.iter().filter_map(|number| self.found.stores[*number].objects).collect();
        let stores = unproven.iter().map(|number| self.found.stores[*number].path.as_path());
        let paths = stores.chain(self.found.pools.iter().map(PathBuf::as_path));
        let mut open = Vec::new();
        for path in paths {
            open.push((path.to_owned(), self.open(path)?));
        }
        while let Some((borrower, folder)) = open.pop() {
            self.keep_linked(plan, &borrower, &folder)?;
            for (name, lender) in self.lenders_of(&folder) {
                let lender = match lender {
                    Ok(lender) => lender,
                    Err(why) => {
                        plan.add_to_why(
                            &borrower,
                            &format!("it borrows objects from {}: {why}", named(&name)),
                        );
                        continue;
                    }
                };
                let place = place_of(&lender).map_err(|e| Unread::new(&borrower, e))?;
                if !seen.insert(place) {
                    continue;
                }
                let why = format!("{} borrows objects from it", shown(&borrower));
                let path = match self.found.stores.iter().find(|store| store.objects == Some(place)) {
                    Some(store) => Some(store.path.clone()),
                    None => self.path_of(&lender)?,
                };
                if let Some(path) = path {
                    plan.keep_whole_once(&path, why);
                    open.push((path.clone(), self.open(&path)?));
                    continue;
                }
                plan.add_to_why(&borrower, &format!("it borrows objects from {}", named(&name)));
                // What goes too may be gone when this is unpacked.
                if !self.elsewhere.stays(Path::new(&git::path_of(&lender))) {
                    let again = lender.try_clone().map_err(|e| Unread::new(&borrower, e))?;
                    plan.parts.push(Part::Outside(Outside::new(again, Some(&name))));
                    open.push((borrower.clone(), lender));
                }
            }
        }
        Ok(())
    }

    /// From which folders of objects a repository, or a folder of objects, borrows, or has its own objects in, by the
    /// names that are there; why one cannot be opened.
    fn lenders_of(&self, borrower: &OwnedFd) -> Vec<(Vec<u8>, Result<OwnedFd, String>)> {
        let mut lenders = Vec::new();
        let mut add = |name: Vec<u8>, opened: std::io::Result<OwnedFd>| {
            lenders.push((name, opened.map_err(|e| e.to_string())));
        };
        let objects = match entry_at(borrower.as_fd(), c"objects") {
            Ok(Some((FileType::Symlink, _))) => {
                let target = rustix::fs::readlinkat(borrower, c"objects", Vec::new());
                let target = target.map(std::ffi::CString::into_bytes).unwrap_or_default();
                let objects = self.open_named(borrower.as_fd(), &target);
                add(target.clone(), objects);
                self.open_named(borrower.as_fd(), &target)
            }
            Ok(Some((FileType::Directory, _))) => open_folder(borrower.as_fd(), Path::new("objects")),
            _ => borrower.try_clone(),
        };
        let Ok(objects) = objects else { return lenders };
        match tips::small(objects.as_fd(), c"info/alternates") {
            Ok(text) => {
                for name in lines_of(&text.unwrap_or_default()) {
                    add(name.to_vec(), self.open_named(objects.as_fd(), name));
                }
            }
            Err(why) => lenders.push((b"others".to_vec(), Err(why))),
        }
        lenders
    }

    /// What a repository that is kept has in this folder, but not in its own: behind links, and the folder that its
    /// settings give for large files.
    fn keep_linked(&self, plan: &mut Plan, path: &Path, folder: &OwnedFd) -> Result<(), Unread> {
        let mut targets = Vec::new();
        if let Some(large) = large_files_setting(folder.as_fd()) {
            targets.push(large);
        }
        let mut buffer: Vec<u8> = Vec::with_capacity(8 << 10);
        let again = open_folder(folder.as_fd(), Path::new("")).map_err(|e| Unread::new(path, e))?;
        let mut entries = RawDir::new(again.as_fd(), buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|e| Unread::new(path, e))?;
            let name = entry.file_name();
            // Lenders of objects are told by themselves.
            if matches!(name.to_bytes(), b"." | b".." | b"objects") {
                continue;
            }
            if let Ok(Some((FileType::Symlink, _))) = entry_at(folder.as_fd(), name) {
                let target = rustix::fs::readlinkat(folder, name, Vec::new());
                targets.push(target.map_err(|e| Unread::new(path, e))?.into_bytes());
            }
        }
        for target in targets {
            let why = || format!("{} has something in it", shown(path));
            if let Ok(opened) = self.open_named(folder.as_fd(), &target) {
                if let Some(at) = self.path_of(&opened)?.filter(|at| !at.as_os_str().is_empty()) {
                    plan.keep_whole_once(&at, why());
                }
                continue;
            }
            // A file, by the folder that it is in.
            let target = Path::new(OsStr::from_bytes(&target));
            let above = target.parent().map_or(&b"."[..], |above| above.as_os_str().as_bytes());
            let above = if above.is_empty() { b"." } else { above };
            if let (Ok(opened), Some(name)) = (self.open_named(folder.as_fd(), above), target.file_name())
                && let Some(at) = self.path_of(&opened)?
            {
                plan.parts.push(Part::File(at.join(name)));
            }
        }
        Ok(())
    }
}

fn named(path: &[u8]) -> String {
    shown(Path::new(OsStr::from_bytes(path)))
}

impl Plan {
    /// What is kept of outside of the folder, with its number.
    pub(super) fn outside(&self) -> impl Iterator<Item = (usize, &Outside)> {
        self.parts.iter().enumerate().filter_map(|(number, part)| match part {
            Part::Outside(outside) => Some((number, outside)),
            _ => None,
        })
    }

    fn keep_whole(&mut self, path: &Path, why: String) {
        self.repositories.push(Repository { whole: true, ..Repository::new(path, why) });
        self.parts.push(Part::Whole(path.to_owned()));
    }

    fn keep_whole_once(&mut self, path: &Path, why: String) {
        if !self.parts.iter().any(|part| matches!(part, Part::Whole(whole) if whole == path)) {
            self.keep_whole(path, why);
        }
    }

    fn add_to_why(&mut self, path: &Path, more: &str) {
        let named = Repository::new(path, String::new()).path;
        for repository in self.repositories.iter_mut().filter(|r| r.whole && r.path == named) {
            repository.why = format!("{}; {more}", repository.why);
        }
    }
}

/// Opens a folder that a repository names, wherever it is.
fn open_anywhere(from: BorrowedFd<'_>, path: &[u8]) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(from, OsStr::from_bytes(path), flags, Mode::empty())?)
}

/// The repository that a linked working tree's folder belongs to; `None` for a whole one.
fn common_of(folder: BorrowedFd<'_>) -> Result<Option<OwnedFd>, String> {
    let Some(text) = tips::small(folder, c"commondir")? else { return Ok(None) };
    open_anywhere(folder, text.trim_ascii())
        .map(Some)
        .map_err(|e| format!("the repository that its file commondir names cannot be opened: {e}"))
}

fn is_store(folder: BorrowedFd<'_>) -> bool {
    [c"objects", c"refs"].iter().all(|name| {
        entry_at(folder, name).is_ok_and(|found| found.is_some_and(|(kind, _)| kind == FileType::Directory))
    })
}

fn objects_of(folder: BorrowedFd<'_>) -> Result<OwnedFd, String> {
    let common = common_of(folder)?;
    let folder = common.as_ref().map_or(folder, AsFd::as_fd);
    open_folder(folder, Path::new("objects")).map_err(|e| format!("its folder objects cannot be opened: {e}"))
}

fn optional_file(folder: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<Option<File>, String> {
    match open_file(folder, name) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(format!("{}: {e}", name.to_string_lossy())),
    }
}

/// Whether there is a file in a working tree's `.git`, which is no repository.
fn holds_files(tree: &OwnedFd) -> Result<bool, String> {
    let dot_git = open_folder(tree.as_fd(), Path::new(".git")).map_err(|e| format!(".git: {e}"))?;
    holds_anything(&dot_git).map_err(|e| e.to_string())
}

/// Whether there is anything but folders in a folder.
fn holds_anything(folder: &OwnedFd) -> Result<bool, Unread> {
    struct Any(bool);
    impl Visitor for Any {
        fn folder(&mut self, _: BorrowedFd<'_>, _: &Path) -> Result<Go, Unread> {
            Ok(if self.0 { Go::Past } else { Go::In })
        }
        fn entry(&mut self, _: BorrowedFd<'_>, _: &std::ffi::CStr, _: &Path) -> Result<(), Unread> {
            self.0 = true;
            Ok(())
        }
    }
    let mut any = Any(false);
    walk(folder.as_fd(), &mut any)?;
    Ok(any.0)
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Whole(path) => write!(f, "all of {}", path.display()),
            Part::Files { tree, .. } => write!(f, "files of {}", tree.display()),
            Part::File(path) => write!(f, "{}", path.display()),
            Part::Tags(path, _) => write!(f, "tags of {}", path.display()),
            Part::Outside(_) => write!(f, "a repository elsewhere"),
        }
    }
}
