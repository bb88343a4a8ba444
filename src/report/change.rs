//! Whether something that reports are made of has changed: a number out of the times and sizes of files
//! ([`stamp`]), for programs that show a state directory for a long time, and the kernel's notices about the
//! files ([`ChangeWatch`]), for a process that answers many questions. Neither reads a file.
//!
//! Everything that is acknowledged is in a file that they see. They do not see everything else: a process
//! that dies releases its lock without touching a file. So a program that relies on them must still look
//! again from time to time.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::state::StateDir;
use crate::system::{FolderWatch, is_network};

/// Files in these folders are replaced, which changes the folder.
const FOLDERS: [&str; 9] =
    ["", "queue", "locks", "recovery", "startup", "daemon", "cleanup", "webhooks", "audit"];

/// Returns the state as a number. It takes about as long as thirty calls of `stat`.
pub fn stamp(dir: &StateDir) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut look = |path: &Path| {
        let seen = std::fs::metadata(path).ok();
        seen.map(|m: Metadata| (m.ino(), m.len(), m.mtime(), m.mtime_nsec())).hash(&mut hasher);
    };
    for log in dir.paths.logs() {
        look(&log);
        // Writers of a log append, so its last segment shows changes.
        if let Some(last) = last_file(&log) {
            look(&last);
        }
    }
    folders(dir).for_each(|folder| look(&folder));
    hasher.finish()
}

fn folders(dir: &StateDir) -> impl Iterator<Item = PathBuf> + '_ {
    let paths = &dir.paths;
    FOLDERS.iter().map(|folder| paths.root().join(folder)).chain([paths.orphans(), paths.orphans_trash()])
}

fn last_file(folder: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    // Nobody appends to `commit.page` and locks.
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "log")).max()
}

/// A state of the files, as one watch saw it: it equals a later one when nothing happened between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

/// See the module.
#[derive(Debug, Default)]
pub struct ChangeWatch(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    watch: Option<FolderWatch>,
    generation: u64,
    /// When something last happened, or when the watch began.
    happened: Option<Instant>,
    /// When a watch could not be begun.
    failed: Option<Instant>,
}

/// Writers publish and sync their records a moment after they have written them, without a further notice. So
/// what is read within this time after a notice says nothing about later.
const SETTLES: Duration = Duration::from_millis(50);
/// The pause before a watch that could not be begun is tried again.
const PAUSE: Duration = Duration::from_secs(10);

impl ChangeWatch {
    /// Returns the present state; `None` when that cannot be determined: something has just happened, or the
    /// folders cannot be watched. It never blocks, and touches no disk once the watch exists.
    pub fn generation(&self, dir: &StateDir) -> Option<Generation> {
        let mut watched = self.0.try_lock().ok()?;
        let now = Instant::now();
        if watched.watch.as_ref().is_some_and(FolderWatch::take) {
            watched.generation += 1;
            watched.happened = Some(now);
            // A folder may be new, or may have been removed and made again: it must be watched, too.
            watched.watch = None;
        }
        if watched.watch.is_none() {
            watched.begin(dir, now);
            return None;
        }
        let is_settled = watched.happened.is_none_or(|happened| now.duration_since(happened) > SETTLES);
        is_settled.then_some(Generation(watched.generation))
    }
}

impl Watched {
    fn begin(&mut self, dir: &StateDir, now: Instant) {
        if self.failed.is_some_and(|failed| now.duration_since(failed) < PAUSE) {
            return;
        }
        match watch_of(dir) {
            Some(watch) => {
                self.generation += 1;
                (self.watch, self.happened, self.failed) = (Some(watch), Some(now), None);
            }
            None => self.failed = Some(now),
        }
    }
}

fn watch_of(dir: &StateDir) -> Option<FolderWatch> {
    if is_network(dir.paths.root()).is_some() {
        return None;
    }
    let watch = FolderWatch::begin().ok()?;
    for folder in folders(dir).chain(dir.paths.logs()) {
        match watch.add(&folder) {
            // A folder that does not exist yet will appear in one that does.
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(_) => return None,
        }
    }
    Some(watch)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Plays another process that writes.
mod tests {
    use super::*;
    use crate::durable::Disk;
    use crate::state::Clock;

    #[test]
    fn generation_stays_until_something_happens() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state");
        let dir = StateDir::open_or_create(&root, Disk::real(), Clock::system()).unwrap();
        let watch = ChangeWatch::default();
        let settled = || {
            let begun = Instant::now();
            loop {
                if let Some(generation) = watch.generation(&dir) {
                    return generation;
                }
                assert!(begun.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        let first = settled();
        assert_eq!(settled(), first);
        std::fs::write(dir.paths.locks().join("web.lock"), "").unwrap();
        assert_eq!(watch.generation(&dir), None, "what has just changed is not settled");
        let second = settled();
        assert_ne!(first, second);
        std::fs::remove_dir_all(dir.paths.orphans()).unwrap();
        std::fs::create_dir(dir.paths.orphans()).unwrap();
        let third = settled();
        std::fs::write(dir.paths.orphans().join("x"), "").unwrap();
        assert_ne!(settled(), third, "the folder that came again is watched");
    }
}
