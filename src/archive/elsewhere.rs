//! What else is involved when a folder goes: whether a remote's repository outlives it, and which repositories in
//! other workspaces have something in it. Only paths are looked at: nothing is run, and no network is asked.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, OsStr};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::keep::CannotKeep;
use super::look::{Place, entry_at, place_of};
use super::settings::Setting;
use super::tips::{Id, id_of};
use crate::durable::tree::{Go, Unread, Visitor, open_file, open_top, walk};
use crate::state::StateDir;

/// So often objects are borrowed from a repository that borrows them itself.
const DEEPEST: usize = 5;
/// A file that names another place is not longer.
const SMALL: u64 = 1 << 20;

/// A remote of a repository.
pub(super) struct Remote {
    pub(super) name: Vec<u8>,
    /// Whether it is told where it is, and no place of it on this machine goes.
    pub(super) is_proven: bool,
    /// Its places on this machine: whether a commit is there can be asked.
    pub(super) here: Vec<Here>,
}

/// A place on this machine.
pub(super) enum Here {
    /// The objects of a repository.
    Objects(PathBuf),
    Bundle(PathBuf),
}

/// Whether what is fetched by a setting `remote.NAME.fetch` may be named as what another remote has.
fn fetches_as_anothers(value: &[u8], name: &[u8]) -> bool {
    const TRACKING: &[u8] = b"refs/remotes/";
    let names = value.rsplit(|byte| *byte == b':').next().unwrap_or_default();
    // `remotes/x` is short for `refs/remotes/x`.
    let full = if names.starts_with(b"remotes/") { [b"refs/", names].concat() } else { names.to_vec() };
    let own = [TRACKING, name, b"/"].concat();
    let reaches = match full.iter().position(|byte| *byte == b'*') {
        Some(star) => TRACKING.starts_with(&full[..star]) || full.starts_with(TRACKING),
        None => full.starts_with(TRACKING),
    };
    reaches && !full.starts_with(&own)
}

/// The commits that a bundle names, when it holds all that they consist of.
pub(super) fn heads_of_bundle(path: &Path) -> Option<BTreeSet<Id>> {
    let mut lines = read(path, SMALL)?;
    let end = lines.windows(2).position(|pair| pair == b"\n\n")?;
    lines.truncate(end);
    // Behind the first line: what it can (`@…`), what it takes for granted (`-ID`), and what it has.
    let rest =
        lines.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.starts_with(b"@object-format=sha1"));
    rest.map(|line| line.get(..40).and_then(id_of)).collect()
}

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

    /// The remotes of a repository, each with whether its names of branches may prove something: where it is, is said,
    /// and when that is on this machine, a repository is there that does not go too. Relative paths begin at `bases`.
    pub(super) fn remotes(&self, settings: &[Setting], bases: &[PathBuf]) -> Vec<Remote> {
        // What a URL means is then told by other settings.
        if settings.iter().any(|s| s.section == "url") {
            return Vec::new();
        }
        let mut remotes: HashMap<&[u8], Remote> = HashMap::new();
        // git takes the name of a remote without a URL for a path: such a one proves nothing.
        for setting in settings.iter().filter(|s| s.section == "remote" && s.key == "url") {
            let Some(name) = setting.sub.as_deref() else { continue };
            remotes.insert(name, Remote { name: name.to_vec(), is_proven: true, here: Vec::new() });
        }
        // What is pushed is noted as the remote's too.
        for setting in settings.iter().filter(|s| s.section == "remote") {
            let (Some(name), "url" | "pushurl") = (&setting.sub, setting.key.as_str()) else { continue };
            let Some(remote) = remotes.get_mut(name.as_slice()) else { continue };
            match self.leads_elsewhere(&setting.value, bases) {
                Some(here) => remote.here.extend(here),
                None => remote.is_proven = false,
            }
        }
        // What is fetched from a remote may be named as another one's.
        let is_foreign = |s: &&Setting| {
            s.section == "remote"
                && s.key == "fetch"
                && fetches_as_anothers(&s.value, s.sub.as_deref().unwrap_or_default())
        };
        let is_good = |s: &Setting| {
            let remote = s.sub.as_deref().and_then(|name| remotes.get(name));
            // Of one on this machine it is asked whether it has the commits of its own names, not of others.
            remote.is_some_and(|remote| remote.is_proven && remote.here.is_empty())
        };
        if settings.iter().filter(is_foreign).any(|setting| !is_good(setting)) {
            return Vec::new();
        }
        remotes.into_values().collect()
    }

    /// `None` unless it leads to what does not go; with the places on this machine to which it leads.
    fn leads_elsewhere(&self, url: &[u8], bases: &[PathBuf]) -> Option<Vec<Here>> {
        let find = |what: &[u8]| url.windows(what.len()).position(|window| window == what);
        if let Some(at) = find(b"://") {
            let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            if at > 0 && url[..at].iter().all(is_scheme) {
                return match url[..at].eq_ignore_ascii_case(b"file") {
                    false => Some(Vec::new()),
                    true => self.kept(Path::new(OsStr::from_bytes(&url[at + 3..]))).map(|here| vec![here]),
                };
            }
        }
        if let Some(at) = find(b"::").filter(|at| url[..*at].iter().all(u8::is_ascii_alphanumeric)) {
            let (helper, rest) = (&url[..at], &url[at + 2..]);
            // These run or use something of this machine.
            let is_of_here = matches!(helper, b"ext" | b"fd" | b"");
            return if is_of_here { None } else { self.leads_elsewhere(rest, bases) };
        }
        let (colon, slash) = (url.iter().position(|b| *b == b':'), url.iter().position(|b| *b == b'/'));
        if colon.is_some_and(|colon| colon > 0 && slash.is_none_or(|slash| colon < slash)) {
            return Some(Vec::new());
        }
        let path = Path::new(OsStr::from_bytes(url));
        if url.is_empty() || bases.is_empty() {
            return None;
        }
        bases.iter().map(|base| self.kept(&base.join(path))).collect()
    }

    /// The repository, or the bundle, at a path, when it does not go.
    fn kept(&self, path: &Path) -> Option<Here> {
        if path.metadata().is_ok_and(|found| found.is_file()) {
            let is_bundle =
                read(path, 15).is_some_and(|head| head.starts_with(b"# v") && head.ends_with(b"bundle"));
            return (is_bundle && self.stays(path)).then(|| Here::Bundle(path.to_owned()));
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
                let text = read(&place, SMALL)?;
                let target = text.strip_prefix(b"gitdir:")?.trim_ascii();
                return self.kept_store(&above.join(OsStr::from_bytes(target)));
            }
            if found.is_dir() && place.join("HEAD").symlink_metadata().is_ok() {
                return self.kept_store(&place);
            }
        }
        None
    }

    fn kept_store(&self, store: &Path) -> Option<Here> {
        let common = match read(&store.join("commondir"), SMALL) {
            Some(text) => store.join(OsStr::from_bytes(text.trim_ascii())),
            None => store.to_owned(),
        };
        let objects = common.join("objects");
        let stays = self.stays(store) && self.stays(&common) && self.are_kept_objects(&objects, 0);
        stays.then_some(Here::Objects(objects))
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
    pub(super) fn stays(&self, path: &Path) -> bool {
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

/// The repository in another workspace that has its objects, or its folder, in a folder: as of now. Only paths that are
/// followed from there tell, so all other workspaces are looked through each time.
///
/// # Errors
/// What could not be looked at there: it may be such a one.
pub(super) fn borrower(
    dir: &StateDir,
    folder: Place,
    stop: &dyn Fn() -> bool,
) -> Result<Option<PathBuf>, CannotKeep> {
    let jobs = dir.paths.jobs();
    let beside = |path: &Path, source: Unread| CannotKeep::Beside { folder: path.to_owned(), source };
    let at_top = |e: std::io::Error| beside(&jobs, Unread::new(Path::new(""), e));
    let entries = match std::fs::read_dir(&jobs) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(at_top(e)),
    };
    for entry in entries {
        let entry = entry.map_err(at_top)?;
        if entry.file_name().as_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let top = match open_top(&path) {
            Ok(top) => top,
            Err(e) if leads_nowhere(&e) => continue,
            Err(e) if is_closed(&e) && !is_own(&path) => continue,
            Err(e) => return Err(beside(&path, Unread::new(Path::new(""), e))),
        };
        let unread = |e: Errno| beside(&path, Unread::new(Path::new(""), e));
        let workspace = place_of(&top).map_err(unread)?;
        if workspace == folder {
            continue;
        }
        let mut leading = Leading { workspace, folder, stop, found: None };
        let walked = walk(top.as_fd(), &mut leading);
        if let Some(repository) = leading.found {
            return Ok(Some(path.join(repository)));
        }
        if stop() {
            return Err(CannotKeep::Stopped);
        }
        walked.map_err(|source| beside(&path, source))?;
    }
    Ok(None)
}

/// Nothing can be behind such a name.
fn leads_nowhere(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    matches!(error.kind(), E::NotFound | E::NotADirectory | E::InvalidFilename | E::InvalidInput)
        || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

fn is_closed(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

/// What another user keeps for itself (a database in a container) would hold all workspaces for ever, and nobody but
/// that user can have a repository in it.
fn is_own(path: &Path) -> bool {
    path.symlink_metadata().map_or(true, |found| found.uid() == rustix::process::geteuid().as_raw())
}

/// Looks through a workspace for what leads into another folder.
struct Leading<'a> {
    workspace: Place,
    folder: Place,
    stop: &'a dyn Fn() -> bool,
    /// The repository that something there is needed by.
    found: Option<PathBuf>,
}

impl Leading<'_> {
    fn follow(&mut self, from: BorrowedFd<'_>, to: &[u8], path: &Path) -> Result<(), Unread> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened =
            match openat(from, OsStr::from_bytes(to), flags, Mode::empty()).map_err(std::io::Error::from) {
                Ok(opened) => opened,
                // Into a folder that is ours a way would be open.
                Err(e) if leads_nowhere(&e) || is_closed(&e) => return Ok(()),
                Err(e) => return Err(Unread::new(path, e)),
            };
        let through = above(&opened).map_err(|e| Unread::new(path, e))?;
        // What is in the same workspace goes with it.
        if through.contains(&self.folder) && !through.contains(&self.workspace) {
            self.found = Some(path.to_owned());
        }
        Ok(())
    }
}

/// A place and the folders that it is in.
fn above(opened: &OwnedFd) -> std::io::Result<Vec<Place>> {
    let real = std::fs::read_link(super::git::path_of(opened))?;
    let place = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    Ok(real.ancestors().filter_map(place).collect())
}

/// A small file; `None` when there is none that could be one of git's.
fn text_at(folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<Option<Vec<u8>>, Unread> {
    let told = |e: std::io::Error| Unread::new(&path.join(OsStr::from_bytes(name.to_bytes())), e);
    let file = match open_file(folder, name) {
        Ok(file) => file,
        Err(e) if leads_nowhere(&e) => return Ok(None),
        Err(e) if is_closed(&e) && !is_own_at(folder, name) => return Ok(None),
        Err(e) => return Err(told(e)),
    };
    if !file.metadata().map_err(told)?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let read = file.take(SMALL).read_to_end(&mut bytes).map_err(told)?;
    if read as u64 == SMALL { Err(told(std::io::Error::other("it is too long"))) } else { Ok(Some(bytes)) }
}

fn is_own_at(folder: BorrowedFd<'_>, name: &CStr) -> bool {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    let found = found.or_else(|_| fstat(folder));
    found.map_or(true, |found| found.st_uid == rustix::process::geteuid().as_raw())
}

impl Visitor for Leading<'_> {
    fn folder(&mut self, folder: BorrowedFd<'_>, path: &Path) -> Result<Go, Unread> {
        if self.found.is_some() || (self.stop)() {
            return Err(Unread::new(path, std::io::ErrorKind::Interrupted));
        }
        let kind = |name: &CStr| match entry_at(folder, name) {
            Ok(found) => Ok(found.map(|(kind, _)| kind)),
            Err(Errno::ACCESS | Errno::PERM) if !is_own_at(folder, c".") => Ok(None),
            Err(e) => Err(Unread::new(path, e)),
        };
        match kind(c".git")? {
            Some(FileType::RegularFile) => {
                let target = text_at(folder, c".git", path)?;
                if let Some(target) = target.as_deref().and_then(|text| text.strip_prefix(b"gitdir:")) {
                    self.follow(folder, target.trim_ascii(), path)?;
                }
            }
            Some(FileType::Symlink) => self.follow(folder, b".git", path)?,
            _ => {}
        }
        match kind(c"objects")? {
            Some(FileType::Symlink) => self.follow(folder, b"objects", path)?,
            Some(FileType::Directory) => {
                if let Some(list) = text_at(folder, c"objects/info/alternates", path)? {
                    let objects = openat(folder, c"objects", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
                    let objects = objects.map_err(|e| Unread::new(path, e))?;
                    for line in lines_of(&list) {
                        self.follow(objects.as_fd(), line, path)?;
                    }
                }
            }
            _ => {}
        }
        if kind(c"commondir")? == Some(FileType::RegularFile)
            && let Some(target) = text_at(folder, c"commondir", path)?
        {
            self.follow(folder, target.trim_ascii(), path)?;
        }
        // git's own objects, of which there are many, are no place for a repository.
        let name = path.file_name().unwrap_or_default().as_bytes();
        let is_fan = name == b"pack" || (name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit));
        let is_of_objects = path.parent().is_some_and(|above| above.ends_with(".git/objects"));
        Ok(if is_fan && is_of_objects { Go::Past } else { Go::In })
    }

    fn entry(&mut self, _: BorrowedFd<'_>, _: &CStr, _: &Path) -> Result<(), Unread> {
        Ok(())
    }

    fn closed(
        &mut self,
        above: BorrowedFd<'_>,
        name: &CStr,
        path: &Path,
        error: Errno,
    ) -> Result<(), Unread> {
        match error {
            Errno::ACCESS | Errno::PERM if !is_own_at(above, name) => Ok(()),
            _ => Err(Unread::new(path, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_fetch_makes_are_its_own_or_anothers() {
        for (value, is_anothers) in [
            ("+refs/heads/*:refs/remotes/b/*", false),
            ("+refs/heads/*:refs/remotes/origin/*", true),
            ("+refs/heads/*:refs/remotes/b*", true),
            ("refs/heads/x:refs/remotes/origin/x", true),
            ("refs/heads/x:remotes/origin/x", true),
            ("+refs/*:refs/*", true),
            ("+refs/*:*", true),
            ("+refs/x/*:refs/rem*", true),
            ("+refs/heads/*:refs/heads/*", false),
            ("+refs/notes/*:refs/notes/*", false),
            ("refs/heads/x", false),
        ] {
            assert_eq!(fetches_as_anothers(value.as_bytes(), b"b"), is_anothers, "{value}");
        }
    }
}
