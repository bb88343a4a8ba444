//! Finds the remotes of a repository that outlive a folder to be removed. Only paths are examined: no program
//! runs, and no network is used.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::look::FileId;
use super::remote::{Here, Remote};
use super::settings::Setting;
use super::tips::{Id, id_of};
use crate::durable::tree::open_file_behind;
use crate::state::StateDir;
use crate::system::Author;

/// Longest chain of repositories that borrow objects from one another.
const DEEPEST: usize = 5;
/// A repository with more remotes than this proves nothing.
const MOST_REMOTES: usize = 1000;
/// Longest file that names a place.
pub(super) const SMALL: u64 = 1 << 20;

/// Whether a setting `remote.NAME.fetch` may store fetched names as those of another remote.
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
pub(super) fn heads_of_bundle(path: &Path, author: Author) -> Option<BTreeSet<Id>> {
    let mut lines = author.act(|| read(path, SMALL)).ok().flatten()?;
    let end = lines.windows(2).position(|pair| pair == b"\n\n")?;
    lines.truncate(end);
    // After the first line: capabilities (`@…`), prerequisites (`-ID`), and its content.
    let rest =
        lines.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.starts_with(b"@object-format=sha1"));
    rest.map(|line| line.get(..40).and_then(id_of)).collect()
}

/// Folders that are removed now or may be soon: a copy there proves nothing.
pub(super) struct Elsewhere {
    going: Vec<(PathBuf, FileId)>,
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

    /// Returns the remotes of a repository, each with whether its remote-tracking names are proof: the
    /// settings must name its place, and if that is on this machine, a repository that is not removed too
    /// must be there. Relative paths begin at `bases`. Places are examined with the rights of the user who
    /// wrote the settings.
    pub(super) fn remotes(&self, settings: &[Setting], bases: &[PathBuf], author: Author) -> Vec<Remote> {
        // Other settings then change what a URL means. Each name is compared with each remote.
        let total = settings.iter().filter(|s| s.section == "remote" && s.key == "url").count();
        if settings.iter().any(|s| s.section == "url") || total > MOST_REMOTES {
            return Vec::new();
        }
        let mut remotes: HashMap<&[u8], Remote> = HashMap::new();
        // git takes the name of a remote without a URL for a path: such a remote proves nothing.
        for setting in settings.iter().filter(|s| s.section == "remote" && s.key == "url") {
            let Some(name) = setting.sub.as_deref() else { continue };
            remotes.insert(name, Remote { name: name.to_vec(), is_proven: true, here: Vec::new() });
        }
        // git also records what it pushes as the remote's.
        for setting in settings.iter().filter(|s| s.section == "remote") {
            let (Some(name), "url" | "pushurl") = (&setting.sub, setting.key.as_str()) else { continue };
            let Some(remote) = remotes.get_mut(name.as_slice()) else { continue };
            match self.leads_elsewhere(&setting.value, bases, author) {
                Some(here) => remote.here.extend(here),
                None => remote.is_proven = false,
            }
        }
        // The refspec may store one remote's branches under another's name.
        let is_foreign = |s: &&Setting| {
            s.section == "remote"
                && s.key == "fetch"
                && fetches_as_anothers(&s.value, s.sub.as_deref().unwrap_or_default())
        };
        let is_good = |s: &Setting| {
            let remote = s.sub.as_deref().and_then(|name| remotes.get(name));
            // A remote on this machine is asked only for the commits of its own names, not for those of
            // others.
            remote.is_some_and(|remote| remote.is_proven && remote.here.is_empty())
        };
        if settings.iter().filter(is_foreign).any(|setting| !is_good(setting)) {
            return Vec::new();
        }
        remotes.into_values().collect()
    }

    /// Returns the places on this machine that a URL leads to; `None` unless it leads to something that
    /// stays.
    fn leads_elsewhere(&self, url: &[u8], bases: &[PathBuf], author: Author) -> Option<Vec<Here>> {
        let kept = |path: &Path| author.act(|| self.kept(path)).ok().flatten();
        let find = |what: &[u8]| url.windows(what.len()).position(|window| window == what);
        if let Some(at) = find(b"://") {
            let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            if at > 0 && url[..at].iter().all(is_scheme) {
                return match url[..at].eq_ignore_ascii_case(b"file") {
                    false => Some(Vec::new()),
                    true => kept(Path::new(OsStr::from_bytes(&url[at + 3..]))).map(|here| vec![here]),
                };
            }
        }
        if let Some(at) = find(b"::").filter(|at| url[..*at].iter().all(u8::is_ascii_alphanumeric)) {
            let (helper, rest) = (&url[..at], &url[at + 2..]);
            // These helpers run or use something on this machine.
            let is_of_here = matches!(helper, b"ext" | b"fd" | b"");
            return if is_of_here { None } else { self.leads_elsewhere(rest, bases, author) };
        }
        let (colon, slash) = (url.iter().position(|b| *b == b':'), url.iter().position(|b| *b == b'/'));
        if colon.is_some_and(|colon| colon > 0 && slash.is_none_or(|slash| colon < slash)) {
            return Some(Vec::new());
        }
        let path = Path::new(OsStr::from_bytes(url));
        if url.is_empty() || bases.is_empty() {
            return None;
        }
        bases.iter().map(|base| kept(&base.join(path))).collect()
    }

    /// Returns the repository, or the bundle, at a path that is not removed.
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
        let stays = self.stays(store) && self.stays(&common);
        // Where the rest of a shallow repository is, is not known.
        let is_shallow = match common.join("shallow").symlink_metadata() {
            Ok(found) => !found.is_file() || found.len() > 0,
            Err(e) => e.kind() != std::io::ErrorKind::NotFound,
        };
        let is_whole = stays && !is_shallow && self.are_kept_objects(&common.join("objects"), 0);
        is_whole.then_some(Here::Repository(common))
    }

    fn are_kept_objects(&self, objects: &Path, depth: usize) -> bool {
        if depth > DEEPEST || !self.stays(objects) || !self.are_whole(objects) {
            return false;
        }
        let list = objects.join("info/alternates");
        if list.symlink_metadata().is_err() {
            return true;
        }
        let Some(text) = read(&list, SMALL) else { return false };
        lines_of(&text).all(|line| self.are_kept_objects(&objects.join(OsStr::from_bytes(line)), depth + 1))
    }

    /// Whether the objects are complete: no object or folder of objects is a link into a folder to be
    /// removed, and none is fetched only on demand (a partial clone).
    fn are_whole(&self, objects: &Path) -> bool {
        let is_good = |path: &Path, kind: std::io::Result<std::fs::FileType>| {
            kind.is_ok_and(|kind| !kind.is_symlink() || self.stays(path))
                && path.extension().is_none_or(|extension| extension != "promisor")
        };
        let Ok(entries) = std::fs::read_dir(objects) else { return false };
        for entry in entries {
            let Ok(entry) = entry else { return false };
            let path = entry.path();
            if !is_good(&path, entry.file_type()) {
                return false;
            }
            if !path.is_dir() {
                continue;
            }
            let Ok(below) = std::fs::read_dir(&path) else { return false };
            if !below.into_iter().all(|entry| entry.is_ok_and(|e| is_good(&e.path(), e.file_type()))) {
                return false;
            }
        }
        true
    }

    /// Whether a path exists and is in none of the folders to be removed.
    pub(super) fn stays(&self, path: &Path) -> bool {
        let Ok(real) = path.canonicalize() else { return false };
        let is_in = |(going, place): &(PathBuf, FileId)| {
            real.ancestors().any(|above| {
                above == going || above.metadata().is_ok_and(|found| (found.dev(), found.ino()) == *place)
            })
        };
        !self.going.iter().any(is_in)
    }
}

/// Returns the folders that a file `alternates` names.
pub(super) fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && line[0] != b'#')
}

/// Reads the beginning of a file; `None` when it is no file or cannot be read.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = open_file_behind(path).ok()?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refspec_own_or_foreign_target() {
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
