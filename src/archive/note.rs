//! The description of an archive.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::durable::tree::{TreeIdentity, shown};
use crate::state::Timestamp;

/// The form of the file beside an archive; a later one is shown as far as it is understood.
pub(super) const FORMAT: u32 = 1;
/// Names of deleted files that are noted.
pub(super) const NAMED: u64 = 1000;

/// Why the folder was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ArchiveSource")]
#[serde(rename_all = "snake_case")]
pub enum ArchiveSource {
    /// A cleanup.
    Cleanup,
    /// The removal of a job.
    Prune,
    /// The removal of an orphan, or of what was left of it in the trash.
    Orphan,
}

/// A repository, or a working tree, of which something is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ArchivedRepository")]
pub struct Repository {
    /// Where it was in the workspace; `.` for the workspace itself.
    pub path: String,
    /// Why it is kept.
    pub why: String,
    /// The commit that was checked out.
    #[serde(default)]
    pub head: Option<String>,
    /// Whether all of it is kept, or only files that were not committed.
    #[serde(default)]
    pub whole: bool,
    /// How many files are kept that were not committed.
    #[serde(default)]
    pub files: u64,
    /// Files that were deleted and are still in its commit: the first thousand.
    #[serde(default)]
    pub deleted: Vec<String>,
    /// How many those are in all.
    #[serde(default)]
    pub deleted_total: u64,
}

impl Repository {
    pub(super) fn new(path: &Path, why: String) -> Repository {
        let path = if path.as_os_str().is_empty() { ".".to_owned() } else { shown(path) };
        Repository { path, why, head: None, whole: false, files: 0, deleted: Vec::new(), deleted_total: 0 }
    }
}

/// The file beside an archive, `<id>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) format: u32,
    pub(super) archive_id: String,
    pub(super) source: ArchiveSource,
    /// What the folder belonged to: `job:ID`, or another object.
    pub(super) object: String,
    /// Where the folder was.
    pub(super) folder: PathBuf,
    /// The identity of the folder.
    pub(super) tree: Option<TreeIdentity>,
    pub(super) made_at: Timestamp,
    pub(super) bytes: u64,
    pub(super) entries: u64,
    pub(super) repositories: Vec<Repository>,
    /// Data from outside the folder that is kept with it. Earlier versions did not note it.
    #[serde(default)]
    pub(super) outside: Option<Vec<Outside>>,
}

/// Something outside of the folder that is kept with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outside {
    /// Its name in the archive.
    pub(super) name: String,
    /// The names that it had.
    pub(super) was: Vec<PathBuf>,
}
