//! Decides which git work of a folder must be kept: all that is not proven to exist elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::fstat;
use rustix::io::Errno;

use super::elsewhere::Elsewhere;
use super::git::{self, Git};
use super::look::{DotGit, Found, place_of};
use super::note::Repository;
use super::open::{Opened, open_anywhere};
use super::plan::{ArchivePlan, Part};
use super::rules::KeepRules;
use crate::durable::tree::{Go, Unread, Visitor, open_folder, walk};
use crate::system::Author;

/// Folders with more repositories and working trees than this are not judged: each costs runs of git and is
/// compared with the others.
pub(super) const MOST_REPOSITORIES: usize = 10_000;

/// Where a working tree's repository is.
pub(super) enum Home {
    /// The repository is one of those found in the folder.
    Inside(usize),
    /// The repository is outside of the folder.
    Outside(Opened),
    /// `.git` is an empty folder: there is no repository.
    Nowhere,
}

/// Judges the repositories and working trees found in a folder.
pub(super) struct Judge<'a> {
    pub(super) top: BorrowedFd<'a>,
    pub(super) found: &'a Found,
    pub(super) git: &'a Git<'a>,
    pub(super) rules: &'a KeepRules,
    /// Reflog entries before this time do not count; seconds since the epoch.
    pub(super) since: i64,
    /// Whether the server, not the job, made an entry at the top of the folder.
    pub(super) is_own_name: &'a (dyn Fn(&OsStr) -> bool + Sync),
    pub(super) elsewhere: &'a Elsewhere,
    /// Where the folder is, for relative paths of remotes.
    pub(super) folder: &'a Path,
    /// The names of the folder, including those from before it moved into a trash.
    pub(super) was: &'a [PathBuf],
}

impl Judge<'_> {
    pub(super) fn plan(&self) -> Result<ArchivePlan, Unread> {
        let mut plan = ArchivePlan::default();
        if self.found.total() > MOST_REPOSITORIES {
            let why =
                format!("it has more than {MOST_REPOSITORIES} repositories: they are not judged one by one");
            plan.keep_whole(Path::new(""), why);
            return Ok(plan);
        }
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
                    let folder = self.open_store(&self.found.stores[store].path)?;
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
            let folder = self.open_store(&store.path)?;
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

    /// Keeps the link from a working tree to its repository, when the tree's files are kept and the
    /// repository lies elsewhere and is kept whole.
    fn keep_links(&self, plan: &mut ArchivePlan, trees: &[(&Path, usize)]) {
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

    pub(super) fn open(&self, path: &Path) -> Result<OwnedFd, Unread> {
        open_folder(self.top, path).map_err(|e| Unread::new(path, e))
    }

    /// Opens the folder of a repository, with its possible authors.
    pub(super) fn open_store(&self, path: &Path) -> Result<Opened, Unread> {
        let Opened { folder, author } = self.open_tree(path)?;
        Opened::store(folder, author).map_err(|e| Unread::new(path, e))
    }

    /// Opens a folder, with the users who may have written into it or put it in another folder's place.
    pub(super) fn open_tree(&self, path: &Path) -> Result<Opened, Unread> {
        let unread = |e: std::io::Error| Unread::new(path, e);
        let mut folder = open_folder(self.top, Path::new("")).map_err(unread)?;
        let owner = |folder: &OwnedFd| fstat(folder).map(|found| Author::of(&found));
        let mut author = owner(&folder).map_err(|e| unread(e.into()))?;
        for part in path {
            folder = open_folder(folder.as_fd(), Path::new(part)).map_err(unread)?;
            author = author.and(owner(&folder).map_err(|e| unread(e.into()))?);
        }
        Ok(Opened { folder, author })
    }

    /// Opens a folder that something in the folder names, wherever it is, with the rights of the author of
    /// that name. Paths into the folder are followed even after it moved into a trash.
    pub(super) fn open_named(
        &self,
        from: BorrowedFd<'_>,
        path: &[u8],
        author: Author,
    ) -> std::io::Result<Opened> {
        let named = Path::new(OsStr::from_bytes(path));
        match self.was.iter().find_map(|was| named.strip_prefix(was).ok()) {
            Some(below) => {
                let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
                open_anywhere(self.top, below.as_os_str().as_bytes(), author)
            }
            None => open_anywhere(from, path, author),
        }
    }

    /// The path of an open folder below the top; `None` when it is elsewhere.
    pub(super) fn path_of(&self, folder: impl AsFd) -> Result<Option<PathBuf>, Unread> {
        let strange = |e: Errno| Unread::new(Path::new(""), e);
        let place = place_of(&folder).map_err(strange)?;
        // The folder is found by its name when that name is below the top.
        let names = [std::fs::read_link(git::path_of(&folder)), std::fs::read_link(git::path_of(self.top))];
        if let [Ok(name), Ok(top)] = names
            && let Ok(below) = name.strip_prefix(top)
            && open_folder(self.top, below)
                .is_ok_and(|found| place_of(found).is_ok_and(|found| found == place))
        {
            return Ok(Some(below.to_owned()));
        }
        // Another mount may lead to the folder.
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
}
