//! Whether something that reports are made of has changed: a number out of the times and sizes of files, for
//! programs that show a state directory for long. It reads no file, and takes about as long as thirty `stat`.
//!
//! Everything that is acknowledged is in a file that it sees. It does not see all the rest: a process that dies lets
//! go of its lock without touching a file. A program that relies on it looks again from time to time all the same.
//!
//! A file that is written twice within one tick of the clock that file systems use bears the same time after both.
//! So only a [`Mark`] that is settled tells that what was read after it was taken is still so: nothing had changed
//! for longer than such a tick.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::state::{StateDir, Timestamp};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    stamp: u64,
    is_settled: bool,
}

/// Longer than a tick of the clock by which file systems note times, which is 10 ms at most.
const TICK_MS: i64 = 50;

impl Mark {
    /// Looks at the files.
    pub fn take(dir: &StateDir) -> Mark {
        // Before the files are: what changes meanwhile is not settled.
        let now = dir.clock.now();
        let mut look = Looked { hasher: DefaultHasher::new(), newest: Timestamp::default() };
        look.at_all(dir);
        // A time that is yet to come, because the clock was set back, is not settled either.
        Mark { stamp: look.hasher.finish(), is_settled: now.millis_since(look.newest) > TICK_MS }
    }

    /// Whether the same mark, taken later, means that nothing has changed.
    pub fn is_settled(&self) -> bool {
        self.is_settled
    }
}

impl PartialEq for Mark {
    fn eq(&self, other: &Mark) -> bool {
        self.stamp == other.stamp
    }
}

/// As a number.
pub fn stamp(dir: &StateDir) -> u64 {
    Mark::take(dir).stamp
}

/// What was seen so far.
struct Looked {
    hasher: DefaultHasher,
    newest: Timestamp,
}

impl Looked {
    fn at_all(&mut self, dir: &StateDir) {
        let paths = &dir.paths;
        // Their writers append: the last segment tells.
        for log in paths.logs() {
            self.at(&log);
            if let Some(last) = last_file(&log) {
                self.at(&last);
            }
        }
        // Files in these are replaced, which changes the folder.
        for folder in ["", "queue", "locks", "recovery", "startup", "daemon", "cleanup", "webhooks", "audit"]
        {
            self.at(&paths.root().join(folder));
        }
        self.at(&paths.orphans());
        self.at(&paths.orphans_trash());
    }

    fn at(&mut self, path: &Path) {
        let seen = std::fs::metadata(path).ok();
        if let Some(modified) = seen.as_ref().and_then(|m| m.modified().ok()) {
            self.newest = self.newest.max(modified.into());
        }
        let seen = seen.map(|m: Metadata| (m.ino(), m.len(), m.mtime(), m.mtime_nsec()));
        seen.hash(&mut self.hasher);
    }
}

fn last_file(folder: &Path) -> Option<std::path::PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    // `commit.page` and locks are not appended to.
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "log")).max()
}
