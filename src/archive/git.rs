//! Asking git about objects that are not ours to trust.
//!
//! git never runs in the repository that it is asked about: it runs in an empty one of ours (`cleanup/git`), with our
//! settings only, and reads the other's objects, index and files through descriptors of ours. So nothing that the
//! other repository configures (filters, hooks, monitors, pagers, helpers, transports, other working trees) is known
//! to it. It changes nothing.
//!
//! An answer counts only when git ended by itself with status 0, said nothing else, and said all that was asked for.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::objects::{each_own, written_at};
use super::tips::{Id, MOST, Tips, hex, id_of, time_of};
use crate::durable::{Disk, DiskError, replace};
use crate::system::{ToolEnd, wait_for_tool};

/// Without what grows with the size.
const BASE_TIME: Duration = Duration::from_secs(30);
/// What a busy disk reads in a second at least.
const BYTES_PER_SECOND: u64 = 4 << 20;
/// Of so many objects git is asked at a time.
const AT_A_TIME: usize = 1_000_000;
/// What a tag is of stands in so many of the first bytes that git prints of it.
const TAG_BEGIN: u64 = 512;
/// Settings that matter for what git reads; it knows no others.
const SETTINGS: &str = "[core]
\trepositoryformatversion = 0
\tbare = false
\tfsmonitor = false
\thooksPath = /dev/null
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tuntrackedCache = false
\tpreloadIndex = false
\tcommitGraph = false
\tmultiPackIndex = false
\tbigFileThreshold = 1m
\tsafecrlf = false
\tpackedGitWindowSize = 1m
\tpackedGitLimit = 32m
\tdeltaBaseCacheLimit = 8m
[advice]
\tsparseIndexExpanded = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[protocol]
\tallow = never
[submodule]
\trecurse = false
[diff]
\tignoreSubmodules = all
\texternal =
";

/// Runs git in our own repository.
pub(super) struct Git<'a> {
    home: PathBuf,
    /// Where files without names are made: on the disk of the state directory.
    scratch: PathBuf,
    time_limit: Duration,
    /// It took too long once: it is not asked again about the same folder.
    gave_up: AtomicBool,
    stop: &'a (dyn Fn() -> bool + Sync),
}

/// What a working tree has that its index has not. Each file holds names, each with a NUL behind it.
pub(super) struct Changes {
    /// Of files that differ from the index.
    pub(super) tracked: Option<std::fs::File>,
    /// Of files that the index says not to look at.
    pub(super) hidden: Option<std::fs::File>,
    /// Of its submodules' folders: git looks into none that is not checked out.
    pub(super) submodules: Option<std::fs::File>,
    /// Of files that it does not know.
    pub(super) untracked: std::fs::File,
    /// Of those that the repository says to ignore.
    pub(super) ignored: Option<std::fs::File>,
}

impl Changes {
    /// Lists of files that the index has, each with whether it says not to look at them.
    pub(super) fn tracked(&self) -> impl Iterator<Item = (&std::fs::File, bool)> {
        let (tracked, hidden) = (self.tracked.iter(), self.hidden.iter());
        tracked.map(|list| (list, false)).chain(hidden.map(|list| (list, true)))
    }
}

/// A path by which another process of ours finds what this one has open.
pub(super) fn path_of(fd: impl AsFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), fd.as_fd().as_raw_fd())
}

impl<'a> Git<'a> {
    /// Makes our repository unless it is there.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new(
        disk: &Disk,
        home: &Path,
        scratch: &Path,
        bytes: u64,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Git<'a>, DiskError> {
        let home = std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
        disk.ensure_dirs(&[home.clone(), home.join("objects"), home.join("refs")])?;
        for (name, content) in [("HEAD", "ref: refs/heads/none\n"), ("config", SETTINGS)] {
            let path = home.join(name);
            if crate::durable::read_optional(&path)?.as_deref() != Some(content.as_bytes()) {
                replace(disk, &path, content.as_bytes())?;
            }
        }
        let time_limit = BASE_TIME + Duration::from_secs(bytes / BYTES_PER_SECOND);
        Ok(Git { home, scratch: scratch.to_owned(), time_limit, gave_up: AtomicBool::new(false), stop })
    }

    fn command(&self, objects: BorrowedFd<'_>) -> Command {
        let mut command = Command::new("git");
        let kept = |name: &OsString| matches!(name.to_str(), Some("PATH" | "LD_LIBRARY_PATH" | "TMPDIR"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| !kept(name)) {
            command.env_remove(name);
        }
        command
            .env("LC_ALL", "C")
            .env("HOME", &self.home)
            .env("GIT_DIR", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_PAGER", "cat")
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", path_of(objects))
            .current_dir(&self.home)
            .process_group(0);
        command
    }

    fn nameless(&self) -> Result<std::fs::File, String> {
        tempfile::tempfile_in(&self.scratch).map_err(|e| format!("{}: {e}", self.scratch.display()))
    }

    /// Runs it to its end; what it printed. Files, not pipes: nothing blocks, and nothing is held in memory.
    fn run(&self, mut command: Command, input: Option<std::fs::File>) -> Result<std::fs::File, String> {
        if self.gave_up.load(Ordering::Relaxed) {
            return Err(self.too_long());
        }
        let cannot = |e: std::io::Error| format!("git cannot be run: {e}");
        let (mut printed, mut said) = (self.nameless()?, self.nameless()?);
        let input = input.map_or_else(Stdio::null, Stdio::from);
        let (out, err) = (printed.try_clone().map_err(cannot)?, said.try_clone().map_err(cannot)?);
        let mut child = command.stdin(input).stdout(out).stderr(err).spawn().map_err(cannot)?;
        let end = wait_for_tool(&mut child, self.time_limit, self.stop);
        if !matches!(end, Ok(ToolEnd::Exited(_) | ToolEnd::Signaled(_))) {
            // Not reaped yet: the number is still this one's.
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait(); // It was killed: there is nothing more to learn.
        }
        // Whether it said anything is told by the length alone: a name in a warning may be of any bytes.
        let is_silent = said.metadata().map_err(cannot)?.len() == 0;
        let mut words = Vec::new();
        let _ = said.rewind().and_then(|()| (&mut said).take(2048).read_to_end(&mut words)); // Only for the message.
        let words: String =
            String::from_utf8_lossy(&words).trim().chars().filter(|c| !c.is_control()).collect();
        match end.map_err(cannot)? {
            ToolEnd::Exited(0) if is_silent => {
                printed.rewind().map_err(cannot)?;
                Ok(printed)
            }
            ToolEnd::Exited(status) => Err(format!("git ended with status {status}: {words}")),
            ToolEnd::Signaled(signal) => Err(format!("git was ended by signal {signal}")),
            ToolEnd::TimedOut => {
                self.gave_up.store(true, Ordering::Relaxed);
                Err(self.too_long())
            }
            ToolEnd::Stopped => Err("git was ended early".to_owned()),
            ToolEnd::Absent => Err("git was not found in PATH".to_owned()),
        }
    }

    fn too_long(&self) -> String {
        format!("git took longer than {} s", self.time_limit.as_secs_f64())
    }

    /// Proves that every commit that is anchored is reachable from what a remote is known to have; and, with `since`,
    /// every commit that the repository has at all, when something was written to its objects since then. Tags with
    /// messages, of which nobody is known to have another copy, are given back: they are small. The message of one that
    /// is older than the clone came with it; what it is a tag of is proven like everything else.
    ///
    /// # Errors
    /// Why that is not proven.
    pub(super) fn prove_commits(
        &self,
        objects: BorrowedFd<'_>,
        shallow: Option<&std::fs::File>,
        tips: &Tips,
        since: Option<i64>,
    ) -> Result<Option<std::fs::File>, String> {
        let mut known = self.kinds_of(objects, tips)?;
        let mut all = Commits::new(self, objects)?;
        if since.map_or(Ok(false), |since| written_at(objects).map(|at| at >= since))? {
            each_own(objects, &mut |id| all.ask(id))?;
            all.answer()?;
        }
        known.tags.append(&mut all.tags);
        let tags = self.contents_of(objects, &mut known, tips.cloned_at)?;
        let named = known.own.iter().filter(|(id, _)| !known.elsewhere.contains(id));
        let named: Vec<(Id, &str)> = named.map(|(id, what)| (*id, what.as_str())).collect();
        let nobody = |what: &str| format!("{what} has commits that no remote is known to have");
        if let Some((_, first)) = named.first() {
            let asked = self.lines(named.iter().map(|(id, _)| hex(id)))?;
            if !self.are_reachable(objects, shallow, &asked, &known.elsewhere)? {
                let is_one = named.len() == 1 || known.elsewhere.is_empty();
                return Err(nobody(if is_one { first } else { "one of its names, HEADs or reflogs" }));
            }
        }
        if all.total > 0 {
            let asked = all.found.into_inner().map_err(|e| e.to_string())?;
            if !self.are_reachable(objects, shallow, &asked, &known.elsewhere)? {
                let why = "it has commits that none of its names leads to and no remote is known to have";
                return Err(why.to_owned());
            }
        }
        Ok(tags)
    }

    /// Whether each commit of a list is reachable from some that others have.
    fn are_reachable(
        &self,
        objects: BorrowedFd<'_>,
        shallow: Option<&std::fs::File>,
        asked: &std::fs::File,
        elsewhere: &BTreeSet<Id>,
    ) -> Result<bool, String> {
        if elsewhere.is_empty() {
            return Ok(false);
        }
        let mut list = self.lines(elsewhere.iter().map(|id| format!("^{}", hex(id))))?;
        let mut asked = asked;
        let copied = list.seek(SeekFrom::End(0)).and_then(|_| asked.rewind());
        copied.and_then(|()| std::io::copy(&mut asked, &mut list)).map_err(|e| e.to_string())?;
        list.rewind().map_err(|e| e.to_string())?;
        let mut command = self.command(objects);
        if let Some(shallow) = shallow {
            command.env("GIT_SHALLOW_FILE", path_of(shallow));
        }
        command.args(["rev-list", "--count", "--max-count=1", "--stdin"]);
        let mut answer = String::new();
        let mut printed = self.run(command, Some(list))?;
        printed.read_to_string(&mut answer).map_err(|e| e.to_string())?;
        match answer.trim() {
            "0" => Ok(true),
            "1" => Ok(false),
            other => Err(format!("git answered '{other}' where it was to count")),
        }
    }

    /// Which of some objects a folder of objects lacks, with those that it borrows.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(super) fn lacking(
        &self,
        objects: BorrowedFd<'_>,
        ids: &BTreeSet<Id>,
    ) -> Result<BTreeSet<Id>, String> {
        let mut command = self.command(objects);
        command.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
        let printed = self.run(command, Some(self.lines(ids.iter().map(hex))?))?;
        let mut answers = BufReader::new(printed).lines();
        let mut lacking = BTreeSet::new();
        for id in ids {
            let answer = answers.next().and_then(Result::ok).ok_or("git did not answer all questions")?;
            match answer.strip_prefix(&hex(id)).map(str::trim) {
                Some("missing") => drop(lacking.insert(*id)),
                Some(_) => {}
                None => return Err("git did not answer what it was asked".to_owned()),
            }
        }
        Ok(lacking)
    }

    /// Of which kind everything is that is anchored, or that a remote's name says.
    fn kinds_of(&self, objects: BorrowedFd<'_>, tips: &Tips) -> Result<Known, String> {
        let mut known = Known { elsewhere: tips.stays.clone(), ..Known::default() };
        let own = tips.own.iter().filter(|(id, _)| !tips.stays.contains(*id));
        let own: Vec<(&Id, &str)> = own.map(|(id, what)| (id, what.as_str())).collect();
        let asked: Vec<_> =
            own.iter().copied().chain(tips.remote.iter().map(|id| (id, "a remote's name"))).collect();
        if asked.is_empty() {
            return Ok(known);
        }
        let mut command = self.command(objects);
        command.args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
        let printed = self.run(command, Some(self.lines(asked.iter().map(|(id, _)| hex(id)))?))?;
        let mut answers = BufReader::new(printed).lines();
        for (number, (id, what)) in asked.iter().enumerate() {
            let answer = answers.next().and_then(Result::ok).ok_or("git did not answer all questions")?;
            match answer.strip_prefix(&hex(id)).map(str::trim) {
                Some("commit") if number < own.len() => known.own.push((**id, (*what).to_owned())),
                Some("commit") => drop(known.elsewhere.insert(**id)),
                // No branch of a remote is a tag: somebody gave it that name here.
                Some("tag") => drop(known.tags.insert(**id)),
                Some("missing") => return Err(format!("{what} names an object that git does not have")),
                Some(kind) => return Err(format!("{what} names a {kind}")),
                None => return Err("git did not answer what it was asked".to_owned()),
            }
        }
        Ok(known)
    }

    /// Tags as `git cat-file --batch` writes them, with those that they are tags of, but for those whose message came
    /// with the clone; `None` when there are none. The commits that they all lead to are then among those that are
    /// anchored: of which remote a tag came, and whether the remote still has its commit, its age does not tell.
    fn contents_of(
        &self,
        objects: BorrowedFd<'_>,
        known: &mut Known,
        cloned_at: Option<i64>,
    ) -> Result<Option<std::fs::File>, String> {
        // Without a remote that is elsewhere, nothing came from one.
        let cloned_at = cloned_at.filter(|_| !known.elsewhere.is_empty());
        let (mut contents, mut is_empty) = (self.nameless()?, true);
        let mut open = known.tags.clone();
        while !open.is_empty() {
            if known.tags.len() > MOST {
                return Err("it has too many tags to be judged".to_owned());
            }
            let mut command = self.command(objects);
            command.args(["cat-file", "--batch"]);
            let mut printed = self.run(command, Some(self.lines(open.iter().map(hex))?))?;
            let mut next = BTreeSet::new();
            for tag in &open {
                let from = printed.stream_position().map_err(|e| e.to_string())?;
                let begin = printed_tag(&mut printed, tag)?;
                let (kind, target) = tag_of(&begin)?;
                match kind.as_str() {
                    "commit" => known.own.push((target, format!("the tag {}", hex(tag)))),
                    "tag" if known.tags.insert(target) => drop(next.insert(target)),
                    "tag" => {}
                    kind => return Err(format!("the tag {} is of a {kind}", hex(tag))),
                }
                // A message that was written here is not older than the clone; one with an older date is in a file of
                // its own until git packs it.
                let came = cloned_at.is_some_and(|cloned| tagged_at(&begin).is_some_and(|at| at < cloned));
                if came && !is_loose(objects, tag) {
                    continue;
                }
                copy_from(&mut printed, from, &mut contents).map_err(|e| e.to_string())?;
                is_empty = false;
            }
            open = next;
        }
        Ok((!is_empty).then_some(contents))
    }

    fn lines(&self, lines: impl Iterator<Item = String>) -> Result<std::fs::File, String> {
        let mut file = std::io::BufWriter::new(self.nameless()?);
        let cannot = |e: std::io::Error| e.to_string();
        for line in lines {
            writeln!(file, "{line}").map_err(cannot)?;
        }
        let mut file = file.into_inner().map_err(|e| e.to_string())?;
        file.seek(SeekFrom::Start(0)).map_err(cannot)?;
        Ok(file)
    }

    /// Proves that an index stages nothing that its commit has not.
    ///
    /// # Errors
    /// Why that is not proven.
    pub(super) fn prove_index(
        &self,
        objects: BorrowedFd<'_>,
        index: &std::fs::File,
        head: Option<Id>,
    ) -> Result<(), String> {
        let entries = entries_of(index)?;
        let Some(head) = head else {
            return if entries == 0 { Ok(()) } else { Err("files are staged for a first commit".to_owned()) };
        };
        let mut command = self.command(objects);
        command.env("GIT_INDEX_FILE", path_of(index));
        command.args([
            "diff-index",
            "--cached",
            "--name-only",
            "-z",
            "--ignore-submodules=none",
            &hex(&head),
        ]);
        let printed = self.run(command, None)?;
        match printed.metadata().map_err(|e| e.to_string())?.len() {
            0 => Ok(()),
            _ => Err("something is staged that is not committed".to_owned()),
        }
    }

    /// What a working tree has and its index has not.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(super) fn changes(
        &self,
        tree: BorrowedFd<'_>,
        objects: BorrowedFd<'_>,
        index: Option<&std::fs::File>,
        exclude: Option<&std::fs::File>,
        with_ignored: bool,
    ) -> Result<Changes, String> {
        let ask = |arguments: &[&str]| {
            let mut command = self.command(objects);
            command.env("GIT_WORK_TREE", ".").current_dir(path_of(tree));
            // An index that is not there is empty.
            command.env(
                "GIT_INDEX_FILE",
                index.map_or_else(
                    || self.home.join("no-index").into(),
                    |index| OsString::from(path_of(index)),
                ),
            );
            self.run(
                {
                    command.args(arguments);
                    command
                },
                None,
            )
        };
        let (mut tracked, mut hidden, mut submodules) = (None, None, None);
        if let Some(index) = index {
            // `git diff` writes the index anew, or takes files for changed that only look so.
            let status = ["status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames"];
            tracked = Some(self.changed(&ask(&[&status[..], &["--ignore-submodules=all"]].concat())?)?);
            let listed = ask(&["ls-files", "-v", "-s", "-z"])?;
            let [of_hidden, of_submodules] = self.listed(&listed, entries_of(index)?)?;
            (hidden, submodules) = (Some(of_hidden), Some(of_submodules));
        }
        let exclude = exclude.map(|file| format!("--exclude-from={}", path_of(file)));
        let mut others = vec!["ls-files", "-z", "--others", "--exclude-standard"];
        others.extend(exclude.as_deref());
        let untracked = ask(&others)?;
        others.push("--ignored");
        let ignored = if with_ignored { Some(ask(&others)?) } else { None };
        Ok(Changes { tracked, hidden, submodules, untracked, ignored })
    }

    /// The names of files that differ from the index, of what git lists: of all files, for our repository has no commit.
    fn changed(&self, status: &std::fs::File) -> Result<std::fs::File, String> {
        let mut changed = std::io::BufWriter::new(self.nameless()?);
        each_name(status, &mut |entry| match (entry.get(1), entry.get(3..)) {
            (Some(b' '), Some(_)) => Ok(()),
            (Some(_), Some(name)) => {
                changed.write_all(name).and_then(|()| changed.write_all(&[0])).map_err(|e| e.to_string())
            }
            _ => Err("git lists a file without a name".to_owned()),
        })?;
        changed.into_inner().map_err(|e| e.to_string())
    }

    /// The names that an index says not to look at, and those of submodules, of all that it has.
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
        // A sparse index has one entry for a whole folder, and git lists what is in it.
        if seen < entries {
            return Err(format!("the index has {entries} entries and git lists {seen}"));
        }
        Ok([
            hidden.into_inner().map_err(|e| e.to_string())?,
            submodules.into_inner().map_err(|e| e.to_string())?,
        ])
    }
}

/// What is known of a repository's objects.
#[derive(Default)]
struct Known {
    /// Commits that are anchored, with where their names were found.
    own: Vec<(Id, String)>,
    tags: BTreeSet<Id>,
    /// What others have.
    elsewhere: BTreeSet<Id>,
}

/// Sorts the commits and tags out of all objects, some at a time.
struct Commits<'g, 'a> {
    git: &'g Git<'a>,
    objects: BorrowedFd<'g>,
    asked: std::io::BufWriter<std::fs::File>,
    open: usize,
    /// One in each line.
    found: std::io::BufWriter<std::fs::File>,
    total: u64,
    tags: BTreeSet<Id>,
}

impl<'g, 'a> Commits<'g, 'a> {
    fn new(git: &'g Git<'a>, objects: BorrowedFd<'g>) -> Result<Commits<'g, 'a>, String> {
        let file = || git.nameless().map(std::io::BufWriter::new);
        Ok(Commits { git, objects, asked: file()?, open: 0, found: file()?, total: 0, tags: BTreeSet::new() })
    }

    fn ask(&mut self, id: Id) -> Result<(), String> {
        writeln!(self.asked, "{}", hex(&id)).map_err(|e| e.to_string())?;
        self.open += 1;
        if self.open < AT_A_TIME { Ok(()) } else { self.answer() }
    }

    fn answer(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.open) == 0 {
            return Ok(());
        }
        let next = std::io::BufWriter::new(self.git.nameless()?);
        let mut asked = std::mem::replace(&mut self.asked, next).into_inner().map_err(|e| e.to_string())?;
        asked.rewind().map_err(|e| e.to_string())?;
        let mut command = self.git.command(self.objects);
        command.args(["cat-file", "--buffer", "--batch-check=%(objectname) %(objecttype)"]);
        let printed = self.git.run(command, Some(asked))?;
        let mut lines = BufReader::with_capacity(64 << 10, printed);
        let mut line = String::new();
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(|e| e.to_string())? == 0 {
                return Ok(());
            }
            // What an index names and no pack has is not there.
            match line.trim_end().split_once(' ').ok_or("git did not answer what it was asked")? {
                (id, "commit") => {
                    self.total += 1;
                    writeln!(self.found, "{id}").map_err(|e| e.to_string())?;
                }
                (id, "tag") => {
                    let id = id_of(id.as_bytes()).ok_or("git did not answer what it was asked")?;
                    if self.tags.insert(id) && self.tags.len() > MOST {
                        return Err("it has too many tags to be judged".to_owned());
                    }
                }
                _ => {}
            }
        }
    }
}

/// The begin of a tag that git printed; the file is behind it afterwards.
fn printed_tag(printed: &mut std::fs::File, id: &Id) -> Result<Vec<u8>, String> {
    let strange = || "git did not print the tags that it was asked for".to_owned();
    let begin = printed.stream_position().map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    (&mut *printed).take(TAG_BEGIN).read_to_end(&mut head).map_err(|e| e.to_string())?;
    let end = head.iter().position(|byte| *byte == b'\n').ok_or_else(strange)?;
    let size = std::str::from_utf8(&head[..end]).ok().and_then(|line| line.strip_prefix(&hex(id)));
    let size = size.and_then(|line| line.strip_prefix(" tag ")?.parse::<u64>().ok()).ok_or_else(strange)?;
    printed.seek(SeekFrom::Start(begin + end as u64 + size + 2)).map_err(|e| e.to_string())?;
    head.drain(..=end);
    head.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(head)
}

/// Copies what lies between there and where a file is read, which stays where it was.
fn copy_from(file: &mut std::fs::File, from: u64, to: &mut std::fs::File) -> std::io::Result<()> {
    let end = file.stream_position()?;
    file.seek(SeekFrom::Start(from))?;
    std::io::copy(&mut (&mut *file).take(end - from), to)?;
    file.seek(SeekFrom::Start(end)).map(drop)
}

/// When a tag says that it was made, in seconds since the epoch.
fn tagged_at(begin: &[u8]) -> Option<i64> {
    // A line that ends beyond what was read may be cut within the number.
    let end = begin.iter().rposition(|byte| *byte == b'\n')?;
    let head = begin[..end].split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let mut tagger = head.filter(|line| line.starts_with(b"tagger "));
    tagger.next().and_then(time_of)
}

/// Whether an object lies in a file of its own, as what was made here does until git packs it.
fn is_loose(objects: BorrowedFd<'_>, id: &Id) -> bool {
    let name = hex(id);
    let path = Path::new(&name[..2]).join(&name[2..]);
    rustix::fs::statat(objects, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

/// What a tag is of.
fn tag_of(begin: &[u8]) -> Result<(String, Id), String> {
    let mut lines = begin.split(|byte| *byte == b'\n');
    let mut line = |word: &[u8]| lines.next().and_then(|line| line.strip_prefix(word).map(<[u8]>::to_vec));
    let id = line(b"object ").and_then(|id| id_of(&id));
    let kind = line(b"type ").map(|kind| String::from_utf8_lossy(&kind).into_owned());
    kind.zip(id).ok_or_else(|| "a tag cannot be understood".to_owned())
}

/// How many entries an index says that it has.
fn entries_of(index: &std::fs::File) -> Result<u64, String> {
    use std::os::unix::fs::FileExt;
    let mut head = [0; 12];
    index.read_exact_at(&mut head, 0).map_err(|e| format!("the index: {e}"))?;
    match head {
        [b'D', b'I', b'R', b'C', _, _, _, _, a, b, c, d] => Ok(u64::from(u32::from_be_bytes([a, b, c, d]))),
        _ => Err("the index cannot be understood".to_owned()),
    }
}

/// Each name of a list, one in memory at a time.
///
/// # Errors
/// What `each` says, or the system.
pub(super) fn each_name(
    list: &std::fs::File,
    each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let mut list = list;
    list.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
    let mut names = BufReader::with_capacity(64 << 10, list);
    let mut name = Vec::new();
    loop {
        name.clear();
        if names.read_until(0, &mut name).map_err(|e| e.to_string())? == 0 {
            return Ok(());
        }
        each(name.strip_suffix(&[0]).ok_or("a list of names ends too early")?)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_counts_only_when_git_ends_by_itself_and_says_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("git");
        let mut git = Git::new(&Disk::real(), &home, place.path(), 0, &|| false).unwrap();
        git.time_limit = Duration::from_millis(300);
        let run = |script: &str| {
            let mut sh = Command::new("sh");
            sh.args(["-c", script]).process_group(0);
            let printed = git.run(sh, None).map(|mut file| {
                let mut text = String::new();
                file.read_to_string(&mut text).map(|_| text)
            });
            printed.map(Result::unwrap)
        };
        assert_eq!(run("echo answer"), Ok("answer\n".to_owned()));
        for (script, why) in [
            ("echo half; exit 3", "status 3"),
            ("echo all; echo 'warning: odd' >&2", "warning: odd"),
            // Not UTF-8; cut within a character where the message ends; nothing that is shown.
            (r"echo all; printf 'warning: \377\n' >&2", "warning: "),
            ("echo all; { printf x; yes ä | head -c 3000 | tr -d '\\n'; } >&2", "xää"),
            ("echo all; echo >&2", "status 0"),
            ("kill -KILL $$", "signal 9"),
            ("sleep 600 & sleep 600", "longer than 0.3 s"),
            ("echo answer", "longer than 0.3 s"),
        ] {
            let refused = run(script).unwrap_err();
            assert!(refused.contains(why), "{script}: {refused}");
        }
    }
    #[test]
    fn time_of_a_tag_is_told_by_a_whole_line_only() {
        let head = |name: &str| {
            format!(
                "object {}\ntype commit\ntag {name}\ntagger a <a@b> 1700000000 +0000\n\nm",
                "0".repeat(40)
            )
        };
        assert_eq!(tagged_at(head("v").as_bytes()), Some(1_700_000_000));
        // Cut within the number, as a long name has it.
        let long = head(&"n".repeat(426));
        let cut = &long.as_bytes()[..usize::try_from(TAG_BEGIN).unwrap()];
        assert!(cut.ends_with(b" 170000"), "{}", String::from_utf8_lossy(&cut[480..]));
        assert_eq!(tagged_at(cut), None);
    }
}
