//! Staged changes of an index, and files of a working tree that its index lacks.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;

use super::Git;
use crate::archive::open::{Objects, Opened};
use crate::archive::tips::{Id, hex};
use crate::system::Author;

/// An index can hold names of any length; no file system has longer ones.
const LONGEST_NAME: u64 = 1 << 20;

/// Files of a working tree that its index lacks. Each list is a file of names that end with NUL.
pub(in crate::archive) struct Changes {
    /// Files that differ from the index.
    pub(in crate::archive) tracked: Option<std::fs::File>,
    /// Files that the index marks as not to be looked at.
    pub(in crate::archive) hidden: Option<std::fs::File>,
    /// Files in its submodules' folders: git does not look into those that are not checked out.
    pub(in crate::archive) submodules: Option<std::fs::File>,
    /// Files that the index does not know.
    pub(in crate::archive) untracked: std::fs::File,
    /// Files that the repository ignores.
    pub(in crate::archive) ignored: Option<std::fs::File>,
}

impl Changes {
    /// Lists of files that the index has, each with whether it says not to look at them.
    pub(in crate::archive) fn tracked(&self) -> impl Iterator<Item = (&std::fs::File, bool)> {
        let (tracked, hidden) = (self.tracked.iter(), self.hidden.iter());
        tracked.map(|list| (list, false)).chain(hidden.map(|list| (list, true)))
    }
}

impl Git<'_> {
    /// Proves that an index stages nothing that its commit has not.
    pub(in crate::archive) fn prove_index(
        &self,
        objects: &Objects,
        index: &std::fs::File,
        head: Option<Id>,
    ) -> Result<(), String> {
        let staged = self.staged(objects, index, head)?;
        match (staged.metadata().map_err(|e| e.to_string())?.len(), head) {
            (0, _) => Ok(()),
            (_, None) => Err("files are staged for a first commit".to_owned()),
            (_, Some(_)) => Err("something is staged that is not committed".to_owned()),
        }
    }

    /// Returns the names of staged entries: those that differ from the commit, or all before the first
    /// commit.
    pub(in crate::archive) fn staged(
        &self,
        objects: &Objects,
        index: &std::fs::File,
        head: Option<Id>,
    ) -> Result<std::fs::File, String> {
        entries_of(index)?;
        let mut command = self.command(objects, Author::Ourselves)?;
        let path = command.hand(index.as_fd());
        command.env("GIT_INDEX_FILE", path);
        match head {
            None => command.args(["ls-files", "-z"]),
            Some(head) => command
                .args(["diff-index", "--cached", "--name-only", "-z", "--ignore-submodules=none"])
                .args([hex(&head)]),
        };
        self.run(command, None)
    }

    /// Returns the files of a working tree that its index lacks.
    pub(in crate::archive) fn changes(
        &self,
        tree: &Opened,
        objects: &Objects,
        index: Option<&std::fs::File>,
        exclude: Option<&std::fs::File>,
        with_ignored: bool,
    ) -> Result<Changes, String> {
        let ask = |arguments: &[&str], exclude: Option<&std::fs::File>| {
            let mut command = self.command(objects, tree.author)?;
            command.env("GIT_WORK_TREE", ".").folder(tree.as_fd());
            let path = match index {
                Some(index) => command.hand(index.as_fd()),
                // A missing index counts as an empty one.
                None => format!("{}/no-index", command.hand(self.home()?)),
            };
            command.env("GIT_INDEX_FILE", path).args(arguments);
            if let Some(exclude) = exclude {
                let path = command.hand(exclude.as_fd());
                command.args([format!("--exclude-from={path}")]);
            }
            self.run(command, None)
        };
        let (mut tracked, mut hidden, mut submodules) = (None, None, None);
        if let Some(index) = index {
            let entries = entries_of(index)?;
            // `git diff` writes the index anew, or takes files for changed that only look so. It enters the tree by
            // its path, as `git status` does, which may lead through folders that are closed to its author.
            tracked = Some(ask(&["ls-files", "-z", "--modified", "--deleted"], None)?);
            let listed = ask(&["ls-files", "-v", "-s", "-z"], None)?;
            let [of_hidden, of_submodules] = self.listed(&listed, entries)?;
            (hidden, submodules) = (Some(of_hidden), Some(of_submodules));
        }
        let mut others = vec!["ls-files", "-z", "--others", "--exclude-standard"];
        let untracked = ask(&others, exclude)?;
        others.push("--ignored");
        let ignored = if with_ignored { Some(ask(&others, exclude)?) } else { None };
        Ok(Changes { tracked, hidden, submodules, untracked, ignored })
    }

    /// Returns the names that an index marks as not to be looked at, and those of submodules, among all its
    /// names.
    fn listed(&self, listed: &std::fs::File, entries: u64) -> Result<[std::fs::File; 2], String> {
        let mut hidden = std::io::BufWriter::new(self.nameless()?);
        let mut submodules = std::io::BufWriter::new(self.nameless()?);
        let mut seen = 0;
        each_name(listed, &mut |entry| {
            seen += 1;
            let tab =
                entry.iter().position(|byte| *byte == b'\t').ok_or("git lists an entry without a name")?;
            let (mark, name) = (entry.first().copied().unwrap_or_default(), &entry[tab + 1..]);
            let list = match entry.get(2..).unwrap_or_default() {
                rest if rest.starts_with(b"160000 ") => &mut submodules,
                _ if mark.is_ascii_lowercase() || mark == b'S' => &mut hidden,
                _ => return Ok(()),
            };
            list.write_all(name).and_then(|()| list.write_all(&[0])).map_err(|e| e.to_string())
        })?;
        // A sparse index has one entry for a whole folder, and git lists that folder's files.
        if seen < entries {
            return Err(format!("the index has {entries} entries and git lists {seen}"));
        }
        Ok([
            hidden.into_inner().map_err(|e| e.to_string())?,
            submodules.into_inner().map_err(|e| e.to_string())?,
        ])
    }
}

/// Returns how many entries an index claims to have.
fn entries_of(index: &std::fs::File) -> Result<u64, String> {
    use std::os::unix::fs::FileExt;
    let mut head = [0; 12];
    index.read_exact_at(&mut head, 0).map_err(|e| format!("the index: {e}"))?;
    match head {
        [b'D', b'I', b'R', b'C', _, _, _, _, a, b, c, d] => Ok(u64::from(u32::from_be_bytes([a, b, c, d]))),
        _ => Err("the index cannot be understood".to_owned()),
    }
}

/// Calls `each` with each name of a list, one in memory at a time.
///
/// # Errors
/// The error of `each` or of the system.
pub(in crate::archive) fn each_name(
    list: &std::fs::File,
    each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut list = list;
    list.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
    let mut names = BufReader::with_capacity(64 << 10, list);
    let mut name = Vec::new();
    loop {
        name.clear();
        if (&mut names).take(LONGEST_NAME).read_until(0, &mut name).map_err(|e| e.to_string())? == 0 {
            return Ok(());
        }
        each(name.strip_suffix(&[0]).ok_or("a list of names ends too early, or has one that is too long")?)?;
    }
}
