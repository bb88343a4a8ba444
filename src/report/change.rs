//! Whether something that reports are made of has changed: a number out of the times and sizes of files, for
//! whoever shows a state directory for long. It reads no file, and takes about as long as twenty `stat`.
//!
//! It does not see everything: a process that dies lets go of its lock without touching a file. Whoever relies
//! on it looks again from time to time all the same.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::state::StateDir;

/// See the module.
#[must_use]
pub fn stamp(dir: &StateDir) -> u64 {
    let paths = &dir.paths;
    let mut hasher = DefaultHasher::new();
    // Their writers append: the last segment tells.
    for log in [paths.queue_log(), paths.audit_log(), paths.startup_log()] {
        look(&mut hasher, &log);
        if let Some(last) = last_file(&log) {
            look(&mut hasher, &last);
        }
    }
    // Files in these are replaced, which changes the folder.
    for folder in
        ["", "queue", "locks", "recovery", "startup", "daemon", "cleanup", "orphans", "webhooks", "audit"]
    {
        look(&mut hasher, &paths.root().join(folder));
    }
    hasher.finish()
}

fn look(hasher: &mut DefaultHasher, path: &Path) {
    let seen = |m: Metadata| (m.ino(), m.len(), m.mtime(), m.mtime_nsec());
    std::fs::metadata(path).map(seen).ok().hash(hasher);
}

fn last_file(folder: &Path) -> Option<std::path::PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    // `commit.page` and locks are not appended to.
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "log")).max()
}
