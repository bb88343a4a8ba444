//! What else is involved when a folder goes: whether a remote's repository outlives it, and which repositories in
//! other workspaces have something in it. Only paths are looked at: nothing is run, and no network is asked.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, openat};

use super::look::{Place, entry_at, place_of};
use super::settings::Setting;
use super::tips::small;
use crate::durable::tree::{Go, Unread, Visitor, open_top, walk};
use crate::state::StateDir;

/// So often objects are borrowed from a repository that borrows them itself.
const DEEPEST: usize = 5;
/// A file that names another place is not longer.
const SMALL: u64 = 1 << 20;

/// What goes now, or may go soon: a copy there is none.
pub(super) struct Elsewhere {
    going: Vec<(PathBuf, Place)>,
}

impl Elsewhere {
    pub(super) fn new(dir: &StateDir, folder: &Path) -> Elsewhere {
        let paths = &dir.paths;
        let going = [folder.to_owned(), paths.jobs(), paths.cleanup_trash(), paths.orphans_trash()];
        let known = |path: PathBuf| {
            let found = path.metadata().ok()?;
            Some((path.canonicalize().ok()?, (found.dev(), found.ino())))
        };
        Elsewhere { going: going.into_iter().filter_map(known).collect() }
    }

    /// The remotes of a repository, each with whether its names of branches prove something: where it is, is said, and
    /// when that is on this machine, a repository is there that does not go too. Relative paths begin at `bases`.
    pub(super) fn remotes(&self, settings: &[Setting], bases: &[PathBuf]) -> Vec<(Vec<u8>, bool)> {
        // What a URL means is then told by other settings.
        if settings.iter().any(|s| s.section == "url") {
            return Vec::new();
        }
        let mut remotes: HashMap<&[u8], bool> = HashMap::new();
        // One without a URL is at the place of its name.
        for setting in settings.iter().filter(|s| s.section == "remote" && s.key == "url") {
            remotes.extend(setting.sub.as_deref().map(|name| (name, true)));
        }
        // What is pushed is noted as the remote's too.
        for setting in settings.iter().filter(|s| s.section == "remote") {
            let (Some(name), "url" | "pushurl") = (&setting.sub, setting.key.as_str()) else { continue };
            let is_elsewhere = self.leads_elsewhere(&setting.value, bases);
            remotes.entry(name).and_modify(|good| *good &= is_elsewhere);
        }
        // What is fetched from a remote may be named as another one's.
        let is_foreign = |s: &&Setting| {
            let own = [b"refs/remotes/", s.sub.as_deref().unwrap_or_default(), b"/"].concat();
            let names = s.value.rsplit(|byte| *byte == b':').next().unwrap_or_default();
            s.section == "remote"
                && s.key == "fetch"
                && names.starts_with(b"refs/remotes/")
                && !names.starts_with(&own)
        };
        let is_good = |s: &Setting| s.sub.as_deref().is_some_and(|name| remotes.get(name) == Some(&true));
        if settings.iter().filter(is_foreign).any(|setting| !is_good(setting)) {
            return Vec::new();
        }
        remotes.into_iter().map(|(name, is_good)| (name.to_vec(), is_good)).collect()
    }

    fn leads_elsewhere(&self, url: &[u8], bases: &[PathBuf]) -> bool {
        let find = |what: &[u8]| url.windows(what.len()).position(|window| window == what);
        if let Some(at) = find(b"://") {
            let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            if at > 0 && url[..at].iter().all(is_scheme) {
                return match url[..at].eq_ignore_ascii_case(b"file") {
                    false => true,
                    true => self.is_kept(Path::new(OsStr::from_bytes(&url[at + 3..]))),
                };
            }
        }
        if let Some(at) = find(b"::").filter(|at| url[..*at].iter().all(u8::is_ascii_alphanumeric)) {
            let (helper, rest) = (&url[..at], &url[at + 2..]);
            // These run or use something of this machine.
            return !matches!(helper, b"ext" | b"fd" | b"") && self.leads_elsewhere(rest, bases);
        }
        let (colon, slash) = (url.iter().position(|b| *b == b':'), url.iter().position(|b| *b == b'/'));
        if colon.is_some_and(|colon| colon > 0 && slash.is_none_or(|slash| colon < slash)) {
            return true;
        }
        let path = Path::new(OsStr::from_bytes(url));
        !url.is_empty() && !bases.is_empty() && bases.iter().all(|base| self.is_kept(&base.join(path)))
    }

    /// Whether a repository, or a bundle, is at a path, and does not go.
    fn is_kept(&self, path: &Path) -> bool {
        if path.metadata().is_ok_and(|found| found.is_file()) {
            let is_bundle =
                read(path, 15).is_some_and(|head| head.starts_with(b"# v") && head.ends_with(b"bundle"));
            return is_bundle && self.stays(path);
        }
        let with = |suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        for place in [path.join(".git"), path.to_owned(), with(".git/.git"), with(".git")] {
            let Ok(found) = place.metadata() else { continue };
            if found.is_file() {
                let above = place.parent().unwrap_or(&place);
                let target =
                    read(&place, SMALL).and_then(|text| Some(text.strip_prefix(b"gitdir:")?.to_vec()));
                return target
                    .is_some_and(|to| self.is_kept_store(&above.join(OsStr::from_bytes(to.trim_ascii()))));
            }
            if found.is_dir() && place.join("HEAD").symlink_metadata().is_ok() {
                return self.is_kept_store(&place);
            }
        }
        false
    }

    fn is_kept_store(&self, store: &Path) -> bool {
        let common = match read(&store.join("commondir"), SMALL) {
            Some(text) => store.join(OsStr::from_bytes(text.trim_ascii())),
            None => store.to_owned(),
        };
        self.stays(store) && self.stays(&common) && self.are_kept_objects(&common.join("objects"), 0)
    }

    fn are_kept_objects(&self, objects: &Path, depth: usize) -> bool {
        if depth > DEEPEST || !self.stays(objects) {
            return false;
        }
        let list = objects.join("info/alternates");
        if list.symlink_metadata().is_err() {
            return true;
        }
        let Some(text) = read(&list, SMALL) else { return false };
        lines_of(&text).all(|line| self.are_kept_objects(&objects.join(OsStr::from_bytes(line)), depth + 1))
    }

    /// It is there, and in none of the folders that go.
    fn stays(&self, path: &Path) -> bool {
        let Ok(real) = path.canonicalize() else { return false };
        let is_in = |(going, place): &(PathBuf, Place)| {
            real.ancestors().any(|above| {
                above == going || above.metadata().is_ok_and(|found| (found.dev(), found.ino()) == *place)
            })
        };
        !self.going.iter().any(is_in)
    }
}

/// The folders that a file `alternates` names.
pub(super) fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#')
}

/// The begin of a file; `None` when it is none, or cannot be read. It does not wait for the other end of a pipe.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = std::fs::File::from(openat(CWD, path, flags, Mode::empty()).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Something in a workspace that is needed by a repository in it, but is elsewhere.
#[derive(Debug, Clone)]
struct Lead {
    repository: PathBuf,
    workspace: Place,
    /// The folders that it is in, itself first.
    through: Vec<Place>,
}

/// What was found in all workspaces of a folder of jobs.
struct Looked {
    at: Instant,
    took: Duration,
    leads: Vec<Lead>,
}

static LOOKED: Mutex<Option<HashMap<PathBuf, Looked>>> = Mutex::new(None);

/// The repository in another workspace that has its objects, or its folder, in a folder.
pub(super) fn borrower(dir: &StateDir, folder: Place) -> Option<PathBuf> {
    let jobs = dir.paths.jobs();
    let mut all = LOOKED.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_with(HashMap::new);
    // Of many workspaces that go one after the other, not every one has all others looked through anew: most of the
    // time is spent on their own removal.
    let is_fresh = |looked: &Looked| looked.at.elapsed() < looked.took.saturating_mul(4);
    if !all.get(&jobs).is_some_and(is_fresh) {
        let begun = Instant::now();
        let leads = leads_of(&jobs);
        all.insert(jobs.clone(), Looked { at: Instant::now(), took: begun.elapsed(), leads });
    }
    let leads = all.get(&jobs).map(|looked| looked.leads.as_slice()).unwrap_or_default();
    leads
        .iter()
        .find(|lead| lead.workspace != folder && lead.through.contains(&folder))
        .map(|l| l.repository.clone())
}

fn leads_of(jobs: &Path) -> Vec<Lead> {
    let mut leads = Vec::new();
    for entry in std::fs::read_dir(jobs).into_iter().flatten().flatten() {
        if entry.file_name().as_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let Ok(top) = open_top(&path) else { continue };
        let Ok(workspace) = place_of(&top) else { continue };
        let mut leading = Leading { top: &path, workspace, leads: &mut leads };
        // What cannot be read there is no reason for this folder to stay: it may be so for ever.
        let _ = walk(top.as_fd(), &mut leading);
    }
    leads
}

struct Leading<'a> {
    top: &'a Path,
    workspace: Place,
    leads: &'a mut Vec<Lead>,
}

impl Leading<'_> {
    fn add(&mut self, from: BorrowedFd<'_>, to: &[u8], path: &Path) {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let Ok(opened) = openat(from, OsStr::from_bytes(to), flags, Mode::empty()) else { return };
        let through = above(&opened);
        // What is in the same workspace goes with it.
        if !through.is_empty() && !through.contains(&self.workspace) {
            let repository = self.top.join(path);
            self.leads.push(Lead { repository, workspace: self.workspace, through });
        }
    }
}

/// A place and the folders that it is in.
fn above(opened: &OwnedFd) -> Vec<Place> {
    let Ok(real) = std::fs::read_link(super::git::path_of(opened)) else { return Vec::new() };
    let place = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    real.ancestors().filter_map(place).collect()
}

impl Visitor for Leading<'_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        let kind = |name: &CStr| entry_at(folder, name).ok().flatten().map(|(kind, _)| kind);
        let text = |name: &CStr| small(folder, name).ok().flatten();
        match kind(c".git") {
            Some(FileType::RegularFile) => {
                let target = text(c".git");
                if let Some(target) = target.as_deref().and_then(|text| text.strip_prefix(b"gitdir:")) {
                    self.add(folder, target.trim_ascii(), path);
                }
            }
            Some(FileType::Symlink) => self.add(folder, b".git", path),
            _ => {}
        }
        match kind(c"objects") {
            Some(FileType::Symlink) => self.add(folder, b"objects", path),
            Some(FileType::Directory) => {
                if let Some(list) = text(c"objects/info/alternates") {
                    let objects = openat(folder, c"objects", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
                    let Ok(objects) = objects else { return Ok(Go::In) };
                    lines_of(&list).for_each(|line| self.add(objects.as_fd(), line, path));
                }
            }
            _ => {}
        }
        if kind(c"commondir") == Some(FileType::RegularFile)
            && let Some(target) = text(c"commondir")
        {
            self.add(folder, target.trim_ascii(), path);
        }
        Ok(Go::In)
    }

    fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, _: &Path) -> Result<(), Unread> {
        Ok(())
    }
}
