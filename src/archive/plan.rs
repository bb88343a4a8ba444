//! The parts of a folder that must be kept, and why.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::git::{self, Changes};
use super::note::Repository;
use super::open::Opened;

/// Something to be kept.
pub(super) enum Part {
    /// A folder with all that is in it.
    Whole(PathBuf),
    /// Some files of a working tree.
    Files { tree: PathBuf, changes: Changes },
    /// One file: a working tree's link to its repository, or a repository's file behind a link.
    File(PathBuf),
    /// Messages of a repository's tags.
    Tags(PathBuf, File),
    /// A repository outside of the folder that a working tree here belongs to, or objects outside that are
    /// removed too.
    Outside(Outside),
}

/// Something outside of the folder.
pub(super) struct Outside {
    pub(super) folder: Opened,
    /// Its names in the places that refer to it.
    pub(super) was: Vec<PathBuf>,
}

impl Outside {
    pub(super) fn new(folder: Opened, named: Option<&[u8]>) -> Outside {
        let mut was: Vec<PathBuf> = std::fs::read_link(git::path_of(&folder)).into_iter().collect();
        let named = named.map(|named| PathBuf::from(OsStr::from_bytes(named)));
        was.extend(named.filter(|named| named.is_absolute() && !was.contains(named)));
        Outside { folder, was }
    }
}

/// The parts to be kept, and why.
#[derive(Default)]
pub(super) struct ArchivePlan {
    pub(super) parts: Vec<Part>,
    pub(super) repositories: Vec<Repository>,
}

impl ArchivePlan {
    /// Returns the kept parts outside of the folder, with their numbers.
    pub(super) fn outside(&self) -> impl Iterator<Item = (usize, &Outside)> {
        self.parts.iter().enumerate().filter_map(|(number, part)| match part {
            Part::Outside(outside) => Some((number, outside)),
            _ => None,
        })
    }

    pub(super) fn keep_whole(&mut self, path: &Path, why: String) {
        self.repositories.push(Repository { whole: true, ..Repository::new(path, why) });
        self.parts.push(Part::Whole(path.to_owned()));
    }

    pub(super) fn keep_whole_once(&mut self, path: &Path, why: String) {
        if !self.parts.iter().any(|part| matches!(part, Part::Whole(whole) if whole == path)) {
            self.keep_whole(path, why);
        }
    }

    pub(super) fn add_to_why(&mut self, path: &Path, more: &str) {
        let named = Repository::new(path, String::new()).path;
        for repository in self.repositories.iter_mut().filter(|r| r.whole && r.path == named) {
            repository.why = format!("{}; {more}", repository.why);
        }
    }
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
