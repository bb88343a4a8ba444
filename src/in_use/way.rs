//! The folders and links that a path passes, with `..` and links followed as the kernel does.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::mounts::{Seen, look};

/// More links than this in one path are a loop.
const LINKS: u32 = 40;

/// Where a path leads.
#[derive(Debug, Clone, Default)]
pub(super) struct Way {
    /// Device and inode of everything it passes: folders, links, and its target.
    pub(super) passed: Vec<(u64, u64)>,
    /// The path without links and `..`, from the root directory at which it starts.
    pub(super) real: PathBuf,
    /// The target.
    pub(super) end: Option<Seen>,
    /// The last existing thing on it.
    pub(super) last: Option<Seen>,
    /// Whether this user may not follow it further, or would have to ask another host.
    pub(super) is_closed: bool,
}

/// Follows paths from one root directory.
pub(super) struct Ways<'a> {
    root: PathBuf,
    /// Says at which names to stop.
    is_closed: &'a dyn Fn(&Path) -> bool,
    /// Ways to folders that were followed already: many paths lead through the same folders.
    known: HashMap<PathBuf, Way>,
}

impl<'a> Ways<'a> {
    pub(super) fn new(root: impl Into<PathBuf>, is_closed: &'a dyn Fn(&Path) -> bool) -> Ways<'a> {
        Ways { root: root.into(), is_closed, known: HashMap::new() }
    }

    /// Follows a path from the root directory; a missing part counts as a folder that will be made.
    pub(super) fn follow(&mut self, path: &Path) -> Way {
        let mut links = LINKS;
        self.absolute(path, &mut links)
    }

    fn absolute(&mut self, path: &Path, links: &mut u32) -> Way {
        let mut parts = path.components();
        let Some(last) = parts.next_back() else { return self.start() };
        let above = parts.as_path();
        let above = match self.known.get(above) {
            Some(way) => way.clone(),
            None => {
                let mut way = self.start();
                above.components().for_each(|part| self.step(&mut way, part, links));
                self.known.insert(above.to_owned(), way.clone());
                way
            }
        };
        let mut way = above;
        self.step(&mut way, last, links);
        way
    }

    fn start(&self) -> Way {
        let seen = look(&self.root, AtFlags::empty()).ok();
        let passed = seen.iter().map(|seen| (seen.device, seen.inode)).collect();
        Way { passed, real: PathBuf::from("/"), end: seen, last: seen, is_closed: seen.is_none() }
    }

    fn step(&mut self, way: &mut Way, part: Component<'_>, links: &mut u32) {
        let name = match part {
            Component::Normal(name) => name,
            Component::ParentDir => {
                way.real.pop();
                return self.arrive(way);
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => return,
        };
        let above = way.real.clone();
        way.real.push(name);
        self.arrive(way);
        let Some(seen) = way.end.filter(|seen| seen.is_link) else { return };
        let target = std::fs::read_link(self.outside(&way.real));
        let (Ok(target), Some(left)) = (target, links.checked_sub(1)) else {
            (way.end, way.is_closed) = (None, true);
            return;
        };
        *links = left;
        way.last = Some(seen);
        if target.is_absolute() {
            let farther = self.absolute(&target, links);
            let passed = std::mem::take(&mut way.passed);
            *way = Way { passed: [passed, farther.passed].concat(), ..farther };
        } else {
            way.real = above;
            target.components().for_each(|part| self.step(way, part, links));
        }
    }

    /// Examines the place that the way has reached.
    fn arrive(&self, way: &mut Way) {
        if (self.is_closed)(&way.real) {
            (way.end, way.is_closed) = (None, true);
            return;
        }
        match look(&self.outside(&way.real), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(seen) => {
                way.passed.push((seen.device, seen.inode));
                (way.end, way.last, way.is_closed) = (Some(seen), Some(seen), false);
            }
            Err(e) => {
                way.end = None;
                way.is_closed |= matches!(Errno::from_io_error(&e), Some(Errno::ACCESS | Errno::PERM));
            }
        }
    }

    /// The name that it has for this process.
    fn outside(&self, real: &Path) -> PathBuf {
        self.root.join(real.strip_prefix("/").unwrap_or(real))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // Tests make their own files.
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn identity(path: &Path) -> (u64, u64) {
        let seen = look(path, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        (seen.device, seen.inode)
    }

    #[test]
    fn way_through_links_and_dots() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| std::fs::canonicalize(place.path()).unwrap().join(name);
        ["in/sub", "out"].iter().for_each(|name| std::fs::create_dir_all(at(name)).unwrap());
        symlink(at("out"), at("in/cur")).unwrap();
        symlink("in/cur", at("second")).unwrap();
        symlink("round", at("round")).unwrap();
        let mut ways = Ways::new("/", &|_| false);
        for path in
            ["in/sub", "in/cur", "in/../out", "in/sub/../../out", "second", "second/file", "in/not/yet"]
        {
            let way = ways.follow(&at(path));
            assert!(way.passed.contains(&identity(&at("in"))), "{path}: {way:?}");
        }
        let way = ways.follow(&at("second"));
        assert_eq!((way.real.clone(), way.end.map(|end| end.is_link)), (at("out"), Some(false)), "{way:?}");
        let around = ways.follow(&at("out/x"));
        assert!(!around.passed.contains(&identity(&at("in"))) && around.end.is_none(), "{around:?}");
        assert!(ways.follow(&at("round")).is_closed);
        let stop = at("in");
        let is_closed = |path: &Path| path.starts_with(&stop);
        let closed = Ways::new("/", &is_closed).follow(&at("in/sub"));
        assert!(closed.is_closed && !closed.passed.contains(&identity(&at("in"))), "{closed:?}");
    }
}
