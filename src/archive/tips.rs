//! The anchors in a repository's own files: every name, HEAD and its like, and the reflog entries of the last
//! days. (Staged entries are asked of git; an operation under way is only detected, by [`at_rest`].) Read
//! here, not by git, which would obey the repository's settings.
//!
//! Anything not understood is an error in words: then nothing is proven.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, OsStr};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::remote::Remote;
use crate::durable::tree::{Go, Unread, Visitor, open_file, open_folder, walk};

/// A commit's, or another object's, name (SHA-1).
pub(super) type Id = [u8; 20];

/// More names, or reflog entries, than this are not held in memory.
pub(super) const MOST: usize = 200_000;
/// A file that holds one name, or a setting, is not longer than this.
const SMALL: u64 = 1 << 20;

/// Names that say where a remote's branches were.
const REMOTES: &[u8] = b"refs/remotes/";

/// The entries at the top of an idle repository. Anything else may be work.
const AT_REST: [&str; 26] = [
    "HEAD",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "COMMIT_EDITMSG",
    "config",
    "config.worktree",
    "description",
    "hooks",
    "info",
    "objects",
    "refs",
    "logs",
    "packed-refs",
    "index",
    "branches",
    "shallow",
    "worktrees",
    "modules",
    "lfs",
    "commondir",
    "gitdir",
    "locked",
    "gc.log",
    "gc.pid",
    "gitk.cache",
    "GIT_COLA_MSG",
];

/// Anchored objects, and those that others are known to have.
#[derive(Debug, Default)]
pub(super) struct Tips {
    /// Each object, with the place where its name was found.
    pub(super) own: BTreeMap<Id, String>,
    /// Remote-tracking names of remotes that are known to be elsewhere.
    pub(super) remote: BTreeSet<Id>,
    /// All names, to resolve HEAD.
    pub(super) names: BTreeMap<Vec<u8>, Id>,
    /// All objects named in a repository that stays.
    pub(super) stays: BTreeSet<Id>,
    /// When the repository was cloned, in seconds since the epoch, as its own log says.
    pub(super) cloned_at: Option<i64>,
}

impl Tips {
    fn fits(&self) -> Result<(), String> {
        let many = self.own.len().max(self.names.len());
        if many <= MOST { Ok(()) } else { Err("it has too many names to be judged".to_owned()) }
    }

    /// Separates the objects that exist elsewhere from the others, once all names were read. `lacking` finds
    /// the commits that a remote on this machine does not have.
    pub(super) fn resolve(
        &mut self,
        remotes: &[Remote],
        lacking: &dyn Fn(&Remote, &BTreeSet<Id>) -> BTreeSet<Id>,
    ) {
        // The name of one remote may be the beginning of another's.
        let remote_of = |name: &[u8]| {
            let below = &name[REMOTES.len()..];
            let names_it = |remote: &Remote| {
                below.strip_prefix(&*remote.name).is_some_and(|rest| rest.starts_with(b"/"))
            };
            let named = (0..remotes.len()).filter(|number| names_it(&remotes[*number]));
            named.max_by_key(|number| remotes[*number].name.len()).filter(|number| remotes[*number].is_proven)
        };
        let mut tracking: BTreeMap<Option<usize>, Vec<(&[u8], Id)>> = BTreeMap::new();
        for (name, id) in self.names.iter().filter(|(name, _)| name.starts_with(REMOTES)) {
            tracking.entry(remote_of(name)).or_default().push((name, *id));
        }
        let (mut proven, mut own) = (BTreeSet::<Id>::new(), Vec::new());
        for (remote, names) in tracking {
            let ids: BTreeSet<Id> = names.iter().map(|(_, id)| *id).collect();
            let lacking = remote.map_or_else(|| ids.clone(), |number| lacking(&remotes[number], &ids));
            proven.extend(ids.difference(&lacking));
            own.extend(
                names.iter().filter(|(_, id)| lacking.contains(id)).map(|(name, id)| (*id, text(name))),
            );
        }
        self.remote.extend(proven);
        own.into_iter().for_each(|(id, name)| self.add(id, name));
    }

    pub(super) fn add(&mut self, id: Id, wherefrom: impl Into<String>) {
        if id != [0; 20] {
            self.own.entry(id).or_insert_with(|| wherefrom.into());
        }
    }
}

/// Reads a small file below a folder; `None` when there is none.
pub(super) fn small(folder: BorrowedFd<'_>, name: &CStr) -> Result<Option<Vec<u8>>, String> {
    let told = |e: std::io::Error| format!("{}: {e}", name.to_string_lossy());
    let file = match open_file(folder, name) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(told(e)),
    };
    let mut bytes = Vec::new();
    let read = file.take(SMALL).read_to_end(&mut bytes).map_err(told)?;
    if read as u64 == SMALL {
        Err(format!("{} is too long", name.to_string_lossy()))
    } else {
        Ok(Some(bytes))
    }
}

pub(super) fn id_of(text: &[u8]) -> Option<Id> {
    if text.len() != 40 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut id = [0; 20];
    for (byte, pair) in id.iter_mut().zip(text.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}

pub(super) fn hex(id: &Id) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that a repository's folder has only the entries of an idle one; otherwise returns the name of
/// another entry.
pub(super) fn at_rest(folder: BorrowedFd<'_>) -> Result<(), String> {
    let mut buffer: Vec<u8> = Vec::with_capacity(8 << 10);
    let again = open_folder(folder, Path::new("")).map_err(|e| e.to_string())?;
    let mut entries = rustix::fs::RawDir::new(again.as_fd(), buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|e| e.to_string())?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !AT_REST.iter().any(|known| known.as_bytes() == name) {
            let name: String = String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).collect();
            return Err(format!("git has {name} there: an operation under way, or unknown"));
        }
    }
    Ok(())
}

/// Names in `packed-refs` and `refs/` of a repository.
pub(super) fn read_names(folder: BorrowedFd<'_>, tips: &mut Tips) -> Result<(), String> {
    let mut packed = Packed::default();
    packed.read(folder)?;
    let mut loose = Loose::default();
    walk_below(folder, c"refs", &mut loose)?;
    if let Some(why) = loose.undecodable {
        return Err(why);
    }
    packed.names.extend(loose.found);
    for (name, id) in &packed.names {
        enter(tips, name, *id);
    }
    Ok(())
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().filter(|c| !c.is_control()).collect()
}

fn enter(tips: &mut Tips, name: &[u8], id: Id) {
    tips.names.insert(name.to_vec(), id);
    // Remote-tracking names are handled when all names were read.
    if !name.starts_with(REMOTES) {
        tips.add(id, text(name));
    }
}

#[derive(Default)]
struct Packed {
    names: BTreeMap<Vec<u8>, Id>,
}

impl Packed {
    fn read(&mut self, folder: BorrowedFd<'_>) -> Result<(), String> {
        let file = match open_file(folder, c"packed-refs") {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(format!("packed-refs: {e}")),
        };
        each_line(file, "packed-refs", &mut |line| {
            let strange = || "packed-refs cannot be understood".to_owned();
            match line.first() {
                // The tag itself names its target.
                None | Some(b'#' | b'^') => {}
                Some(_) => {
                    let (id, name) = line.split_at_checked(41).ok_or_else(strange)?;
                    let id = id_of(id.trim_ascii_end()).ok_or_else(strange)?;
                    self.names.insert(name.to_vec(), id);
                    if self.names.len() > MOST {
                        return Err("packed-refs has too many names to be judged".to_owned());
                    }
                }
            }
            Ok(())
        })
    }
}

/// Reads each line of a file, one in memory at a time.
fn each_line(
    file: std::fs::File,
    name: &str,
    each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut lines = BufReader::with_capacity(64 << 10, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read =
            (&mut lines).take(SMALL).read_until(b'\n', &mut line).map_err(|e| format!("{name}: {e}"))?;
        match read as u64 {
            0 => return Ok(()),
            SMALL => return Err(format!("{name} has a line that is too long")),
            _ => each(line.strip_suffix(b"\n").unwrap_or(&line))?,
        }
    }
}

/// Walks a folder of a repository, if it exists.
pub(super) fn walk_below(
    folder: BorrowedFd<'_>,
    name: &CStr,
    visitor: &mut dyn Visitor,
) -> Result<(), String> {
    let path = Path::new(OsStr::from_bytes(name.to_bytes()));
    match open_folder(folder, path) {
        Ok(below) => walk(below.as_fd(), visitor).map_err(|e| format!("{}: {e}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// The names below `refs/`.
#[derive(Default)]
struct Loose {
    found: BTreeMap<Vec<u8>, Id>,
    undecodable: Option<String>,
}

impl Visitor for Loose {
    fn folder(&mut self, _: BorrowedFd<'_>, _: &Path) -> Result<Go, Unread> {
        Ok(Go::In)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
        let full = [b"refs/", path.as_os_str().as_bytes()].concat();
        match small(folder, name) {
            Ok(Some(content)) => match id_of(content.trim_ascii()) {
                Some(id) => {
                    self.found.insert(full, id);
                    if self.found.len() > MOST {
                        return Err(Unread::new(
                            path,
                            std::io::Error::other("there are too many names to be judged"),
                        ));
                    }
                }
                // refs/remotes/origin/HEAD points to another name, which is read itself.
                None if content.starts_with(b"ref: refs/") => {}
                None => self.undecodable = Some(format!("{} cannot be understood", text(&full))),
            },
            Ok(None) => {}
            Err(why) => self.undecodable = Some(why),
        }
        Ok(())
    }
}

/// The objects named by HEAD and its like at the top of a repository, or of a linked working tree's folder.
/// Returns the commit of HEAD; `None` before the first commit.
pub(super) fn read_heads(folder: BorrowedFd<'_>, tips: &mut Tips) -> Result<Option<Id>, String> {
    let head = small(folder, c"HEAD")?.ok_or("it has no HEAD")?;
    let head = head.trim_ascii();
    let commit = match head.strip_prefix(b"ref: ") {
        Some(name) => tips.names.get(name.trim_ascii()).copied(),
        None => Some(id_of(head).ok_or("HEAD cannot be understood")?),
    };
    if let Some(id) = commit {
        tips.add(id, "HEAD");
    }
    for name in [c"ORIG_HEAD", c"FETCH_HEAD"] {
        let Some(content) = small(folder, name)? else { continue };
        for line in content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let id = line.get(..40).and_then(id_of);
            let id = id.ok_or_else(|| format!("{} cannot be understood", name.to_string_lossy()))?;
            tips.add(id, name.to_string_lossy());
        }
    }
    Ok(commit)
}

/// The objects named by the reflogs below a repository's `logs/`, in entries from `since` (seconds since the
/// epoch) on.
pub(super) fn read_logs(folder: BorrowedFd<'_>, since: i64, tips: &mut Tips) -> Result<(), String> {
    let mut logs = Logs { since, tips, undecodable: None };
    walk_below(folder, c"logs", &mut logs)?;
    logs.undecodable.map_or(Ok(()), Err)
}

/// Returns when a repository was cloned: the first entry of HEAD's log says so, also in a copy. `None` when
/// it does not.
pub(super) fn cloned_at(folder: BorrowedFd<'_>) -> Option<i64> {
    let logs = open_folder(folder, Path::new("logs")).ok()?;
    let mut line = Vec::new();
    BufReader::new(open_file(logs.as_fd(), c"HEAD").ok()?).take(SMALL).read_until(b'\n', &mut line).ok()?;
    let told = line.iter().position(|byte| *byte == b'\t').map(|at| &line[at + 1..])?;
    if told.starts_with(b"clone: from ") { time_of(&line) } else { None }
}

struct Logs<'a> {
    since: i64,
    tips: &'a mut Tips,
    undecodable: Option<String>,
}

impl Logs<'_> {
    fn read(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), String> {
        let shown = text(path.as_os_str().as_bytes());
        let file = open_file(folder, name).map_err(|e| format!("logs/{shown}: {e}"))?;
        // A stash lives as long as its entry, whatever its age.
        let since = if path == Path::new("refs/stash") { i64::MIN } else { self.since };
        let tips = &mut *self.tips;
        each_line(file, "a reflog", &mut |line| {
            let strange = || format!("logs/{shown} cannot be understood");
            let old = line.get(..40).and_then(id_of).ok_or_else(strange)?;
            let new = line.get(41..81).and_then(id_of).ok_or_else(strange)?;
            if time_of(line).is_none_or(|at| at >= since) {
                tips.add(old, format!("the reflog of {shown}"));
                tips.add(new, format!("the reflog of {shown}"));
            }
            tips.fits()
        })
    }
}

/// Returns when a reflog entry, or a tag by its line `tagger`, was made, in seconds since the epoch.
pub(super) fn time_of(line: &[u8]) -> Option<i64> {
    let head = line.split(|byte| *byte == b'\t').next()?;
    let after_mail = head.iter().rposition(|byte| *byte == b'>')?;
    let time = head.get(after_mail + 2..)?.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(time).ok()?.parse().ok()
}

impl Visitor for Logs<'_> {
    fn folder(&mut self, _: BorrowedFd<'_>, _: &Path) -> Result<Go, Unread> {
        Ok(Go::In)
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &Path) -> Result<(), Unread> {
        if let Err(why) = self.read(folder, name, path) {
            self.undecodable = Some(why);
        }
        Ok(())
    }
}

/// Returns the folders of linked working trees of a repository.
pub(super) fn linked(folder: BorrowedFd<'_>) -> Result<Vec<CString>, String> {
    let trees = match open_folder(folder, Path::new("worktrees")) {
        Ok(trees) => trees,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("worktrees: {e}")),
    };
    let mut buffer: Vec<u8> = Vec::with_capacity(8 << 10);
    let mut names = Vec::new();
    let mut entries = rustix::fs::RawDir::new(trees.as_fd(), buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|e| format!("worktrees: {e}"))?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflog_time_with_any_name() {
        let line = |who: &str| format!("{0} {0} {who} 1700000000 +0100\tcommit: a > b", "0".repeat(40));
        for who in ["A B <a@b>", "A > B <a b@c>", "<>"] {
            assert_eq!(time_of(line(who).as_bytes()), Some(1_700_000_000), "{who}");
        }
        assert_eq!(time_of(b"nothing of the kind"), None);
    }

    #[test]
    fn id_of_accepts_only_forty_digits() {
        let text = "0123456789abcdef0123456789ABCDEF01234567";
        assert_eq!(hex(&id_of(text.as_bytes()).unwrap()), text.to_ascii_lowercase());
        for wrong in ["", "0123", &"g".repeat(40), &"a".repeat(64)] {
            assert_eq!(id_of(wrong.as_bytes()), None);
        }
    }
}
