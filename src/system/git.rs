//! Runs git in an empty repository of this program, on objects that are not trusted.
//!
//! git obeys the tree that it works in: its settings, and those of its submodules, name programs in more places
//! with each new version. So it never works in one (`archive` says what is asked, and why). It gets:
//!
//! - a repository of this program (`GIT_DIR`), with this program's settings alone; no settings of the machine, of
//!   a user or of the environment, none of their attributes, no replaced objects;
//! - the objects, and if need be the index and the files, as descriptors;
//! - the rights of the tree's [`Author`], no way to gain privileges, and limits of time, memory, files and
//!   output;
//! - no program to start: these settings name none, `PATH` has the machine's folders alone, and no protocol is
//!   allowed for fetching.
//!   for fetching.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Resource;

use super::author::Author;
use super::restricted::Restricted;
use super::search_path::SearchPath;

/// The settings that matter for what git reads; git sees no others.
pub(crate) const SETTINGS: &str = "[core]
\trepositoryformatversion = 0
\tbare = false
\tfsmonitor = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tuntrackedCache = false
\tpreloadIndex = false
\tcommitGraph = false
\tmultiPackIndex = false
\tbigFileThreshold = 1m
\tsafecrlf = false
\tpackedGitWindowSize = 1m
\tpackedGitLimit = 32m
\tdeltaBaseCacheLimit = 8m
\tpager = cat
\teditor = false
\tsshCommand = false
\taskPass =
\tgitProxy = false
\talternateRefsCommand = false
[advice]
\tsparseIndexExpanded = false
[credential]
\thelper =
[gc]
\tauto = 0
[maintenance]
\tauto = false
[protocol]
\tallow = never
[submodule]
\trecurse = false
[diff]
\tignoreSubmodules = all
\texternal =
";

/// Heap limit, in bytes: a walk through the history of a large repository takes a few hundred mebibytes, and git
/// never holds a large file as a whole.
const MEMORY: u64 = 1 << 30;
/// Address space limit, in bytes: pack indexes are mapped in addition to the heap.
const ADDRESSES: u64 = 16 << 30;
/// Output limit, in bytes: some millions of names.
const PRINTED: u64 = 1 << 30;
/// How many files may be open at a time; git closes packs to stay below that.
const FILES: u64 = 256;
/// Processor time beyond the time limit, in seconds: git mostly reads from the disk, and a run that computes for
/// longer is stopped too.
const MORE_SECONDS: u64 = 5;

/// git, found, with the repository that it runs in.
pub(crate) struct GitProgram {
    program: PathBuf,
    path: std::ffi::OsString,
    home: OwnedFd,
}

impl GitProgram {
    /// Looks for it.
    pub(crate) fn find(search: &SearchPath, home: OwnedFd) -> Result<GitProgram, String> {
        let program = search.find("git", None).map_err(|e| format!("git cannot be run: {e}"))?;
        Ok(GitProgram { program, path: search.variable(), home })
    }

    /// The repository that it runs in.
    pub(crate) fn home(&self) -> BorrowedFd<'_> {
        self.home.as_fd()
    }

    /// A run of git that knows these objects, in the folder of this program's repository.
    pub(crate) fn about<'a>(
        &'a self,
        objects: BorrowedFd<'a>,
        author: Author,
        time_limit: Duration,
    ) -> Restricted<'a> {
        let mut git = Restricted::new(&self.program);
        let (home, objects) = (git.hand(self.home.as_fd()), git.hand(objects));
        git.env("PATH", &self.path)
            .env("LC_ALL", "C")
            .env("HOME", &home)
            .env("GIT_DIR", &home)
            .env("GIT_OBJECT_DIRECTORY", &objects)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_PROTOCOL_FROM_USER", "0")
            .env("GIT_PAGER", "cat")
            .folder(self.home.as_fd())
            .account(author.account(false))
            .limit(Resource::Data, MEMORY)
            .limit(Resource::As, ADDRESSES)
            .limit(Resource::Fsize, PRINTED)
            .limit(Resource::Nofile, FILES)
            .limit(Resource::Cpu, time_limit.as_secs().saturating_add(MORE_SECONDS))
            .end_with_us();
        git
    }
}
