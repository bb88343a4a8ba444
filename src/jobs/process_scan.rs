//! A scan of all processes of this machine: for each, the marks of jobs that it has, what it prints into, and
//! which attempt it was called to supervise. It costs about 30 µs for each process of the machine.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::kinship::Tokens;
use super::marks;
use super::traces::{
    PrintsTo, SupervisorInvocation, in_present_layout, is_keeper, job_of_output, kept_by, outputs_of, pipes,
};
use crate::queue::{Claim, JobId};
use crate::state::{Identity, StateDir, StatePaths};
use crate::system::{ProcessIdentity, look_after_exec, pids, process_stat};

/// All processes at one moment, with indexes that lead from a job to its processes.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) processes: Vec<Seen>,
    pub(super) by_job: HashMap<Vec<u8>, Vec<usize>>,
    pub(super) by_session: HashMap<u32, Vec<usize>>,
    /// The processes that write to a file with the name of a job's output.
    pub(super) by_output: HashMap<PathBuf, Vec<usize>>,
    /// The processes that print into a pipe that is emptied into an output; the output's path is that of the
    /// present layout.
    pub(super) by_named_pipe: HashMap<PathBuf, Vec<usize>>,
    /// The processes that print into a pipe, by the pipe's number.
    pub(super) by_pipe: HashMap<u64, Vec<usize>>,
    /// The pipes that keepers empty, by the output that they are emptied into.
    pub(super) kept: HashMap<PathBuf, Vec<u64>>,
    /// Supervisors, and processes that are about to become commands.
    pub(super) invocations: Vec<(usize, SupervisorInvocation)>,
    /// Whether `/proc` shows the processes of other users.
    pub(super) shows_all: bool,
}

#[derive(Debug)]
pub(super) struct Seen {
    pub(super) identity: ProcessIdentity,
    pub(super) parent: u32,
    pub(super) session: u32,
    pub(super) marks: Marks,
}

#[derive(Debug)]
pub(super) enum Marks {
    Read {
        tokens: Tokens,
        state_dir: Option<Vec<u8>>,
        /// Incarnation and folder; `None` for processes that versions without them started.
        mark: Option<Vec<u8>>,
        repository: Option<Vec<u8>>,
        /// Whether a `lock` has started it, or one of its ancestors: then the repository is that of the lock.
        is_under_lock: bool,
    },
    Unreadable {
        uid: Option<u32>,
    },
}

/// The known data of a job whose processes are searched for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) job: &'a JobId,
    pub(crate) root: &'a Path,
    /// The id of that state directory.
    pub(crate) state_id: &'a str,
    /// Its incarnation and folder, as they are in the environment of its processes.
    pub(crate) mark: &'a str,
    /// The path of its output.
    pub(crate) output: &'a Path,
    /// The pipe that its command printed into.
    pub(crate) output_pipe: Option<u64>,
    /// The claim of its present attempt; `None` when the queue names none.
    pub(crate) claim: Option<Claim>,
    /// Whether there is any trace of its present attempt.
    pub(crate) is_begun: bool,
    /// Its supervisor led the session in which the command started.
    pub(crate) supervisor: Option<ProcessIdentity>,
    /// The user it ran as.
    pub(crate) uid: Option<u32>,
    /// When its first process started, in clock ticks since boot: no process of the job is older.
    pub(crate) since: Option<u64>,
}

/// The owner of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// This state directory's.
    Ours,
    /// The job of the same state directory at another time or in another folder: of the original, or from before
    /// a backup was put back.
    OtherIncarnation,
    /// Another job's, or no job's.
    Foreign,
}

impl Seen {
    pub(super) fn is_of_state_dir(&self, wanted: &Wanted<'_>) -> bool {
        self.owner(wanted) == Owner::Ours
    }

    /// The process's owner, by its environment; `Ours` if the environment may not be read.
    pub(super) fn owner(&self, wanted: &Wanted<'_>) -> Owner {
        self.owner_by(None, wanted.root, wanted.state_id, wanted.mark)
    }

    /// The same, where the process's arguments name the state directory `named`.
    pub(super) fn owner_by(&self, named: Option<&Path>, root: &Path, state_id: &str, mark: &str) -> Owner {
        let Marks::Read { tokens, state_dir, mark: marked, .. } = &self.marks else { return Owner::Ours };
        let id = &tokens.state_id;
        if let (Some(marked), Some(id)) = (marked, id)
            && id == state_id.as_bytes()
        {
            return if marked == mark.as_bytes() { Owner::Ours } else { Owner::OtherIncarnation };
        }
        let in_environment = state_dir.as_ref().map(|marked| Path::new(OsStr::from_bytes(marked)));
        if self.is_at(named.or(in_environment), root, state_id) { Owner::Ours } else { Owner::Foreign }
    }

    pub(super) fn repository(&self) -> Option<String> {
        let Marks::Read { repository: Some(name), .. } = &self.marks else { return None };
        String::from_utf8(name.clone()).ok()
    }

    /// Whether its environment names its job's repository, or shows that it has none.
    pub(super) fn tells_jobs_repository(&self) -> bool {
        matches!(&self.marks, Marks::Read { tokens: Tokens { job: Some(_), .. }, is_under_lock: false, .. })
    }

    pub(super) fn has_mark(&self) -> bool {
        matches!(&self.marks, Marks::Read { mark: Some(_), .. })
    }

    /// Whether the process belongs to the state directory, by the directory's name in its environment. A name
    /// that leads nowhere may be ours from before a move: then the id decides. Without a name it may be ours. The
    /// id is not compared where the name decides: a directory whose identity was lost may have a new one, and its
    /// jobs live on.
    fn is_at(&self, named: Option<&Path>, root: &Path, state_id: &str) -> bool {
        named.and_then(|named| is_same_place(named, root)).unwrap_or_else(|| match &self.marks {
            Marks::Read { tokens: Tokens { state_id: Some(id), .. }, .. } => id == state_id.as_bytes(),
            _ => true,
        })
    }

    pub(super) fn is_of(&self, named: Option<&Path>, wanted: &Wanted<'_>) -> bool {
        self.owner_by(named, wanted.root, wanted.state_id, wanted.mark) == Owner::Ours
    }

    /// Whether the process that led its session is gone.
    pub(super) fn is_without_leader(&self) -> bool {
        self.session != 0 && process_stat(self.session).map_or(true, |leader| leader.is_dead)
    }

    /// Whether it has another job's mark, or a server's mark and no job's.
    pub(super) fn is_of_another(&self, id: &str) -> bool {
        let Marks::Read { tokens, .. } = &self.marks else { return false };
        tokens.job.as_ref().map_or(tokens.is_server, |job| job != id.as_bytes())
    }

    pub(super) fn is_foreign_to(&self, wanted: &Wanted<'_>) -> bool {
        self.is_of_another(&wanted.job.to_string())
    }
}

/// Whether two names lead to the same directory. `None` when a name leads nowhere.
fn is_same_place(named: &Path, root: &Path) -> Option<bool> {
    if named == root {
        return Some(true);
    }
    Some(std::fs::canonicalize(named).ok()? == std::fs::canonicalize(root).ok()?)
}

impl Scan {
    pub(super) fn make() -> Scan {
        // With hidepid, other users' processes are hidden; process 1 is the least likely to be this user's.
        let shows_all = process_stat(1).is_ok();
        let mut scan = Scan { shows_all, ..Scan::default() };
        let own = std::process::id();
        pids().unwrap_or_default().into_iter().filter(|&pid| pid != own).for_each(|pid| scan.add(pid));
        scan
    }

    fn add(&mut self, pid: u32) {
        let Some(stat) = process_stat(pid).ok().filter(|stat| !stat.is_dead) else { return };
        if is_keeper(pid) {
            if let Some((pipe, output)) = kept_by(pid) {
                self.kept.entry(output).or_default().push(pipe);
            }
            return;
        }
        let is_hidden = |marks: &Option<Marks>| matches!(marks, Some(Marks::Unreadable { .. }));
        let Some(marks) = look_after_exec(pid, || marks_of(pid), is_hidden) else { return };
        let at = self.processes.len();
        if let Marks::Read { tokens: Tokens { job: Some(job), .. }, .. } = &marks {
            self.by_job.entry(job.clone()).or_default().push(at);
        }
        self.by_session.entry(stat.session).or_default().push(at);
        for output in outputs_of(pid) {
            let (places, path) = match output {
                PrintsTo::File(path) => (&mut self.by_output, path),
                PrintsTo::Pipe(path) => (&mut self.by_named_pipe, path),
            };
            places.entry(path).or_default().push(at);
        }
        for pipe in pipes(pid) {
            self.by_pipe.entry(pipe).or_default().push(at);
        }
        self.invocations.extend(SupervisorInvocation::of(pid).map(|invocation| (at, invocation)));
        let (identity, parent, session) = (stat.identity, stat.parent, stat.session);
        self.processes.push(Seen { identity, parent, session, marks });
    }

    /// Jobs with a process that has no mark but prints into an output of this state directory, or of one with the
    /// same id (one that was swapped). Without control groups, that is the only trace of such a process.
    pub(super) fn printing_without_marks(&self, dir: &StateDir) -> Vec<(JobId, Vec<ProcessIdentity>)> {
        if !dir.may_have_survivors() {
            return Vec::new();
        }
        let is_ours = |root: &Path| {
            let identity = Identity::read(&StatePaths::new(root.to_owned()).identity());
            identity.is_ok_and(|found| found.is_some_and(|i| i.state_id == dir.identity.state_id))
        };
        let printing = self.by_output.iter().chain(&self.by_named_pipe).filter_map(|(output, at)| {
            let job = job_of_output(output)?;
            let unmarked = at.iter().map(|&at| &self.processes[at]).filter(|seen| !seen.has_mark());
            let unmarked: Vec<_> = unmarked.map(|seen| seen.identity).collect();
            let root = output.ancestors().nth(3)?;
            (!unmarked.is_empty() && is_ours(root)).then_some((job, unmarked))
        });
        printing.collect()
    }

    pub(super) fn writing_to(&self, output: &Path) -> impl Iterator<Item = &Seen> {
        let writers = self.by_output.get(output).into_iter().flatten();
        let printers = self.by_named_pipe.get(&in_present_layout(output)).into_iter().flatten();
        writers.chain(printers).map(|&at| &self.processes[at])
    }

    pub(super) fn printing_for(&self, wanted: &Wanted<'_>) -> impl Iterator<Item = &Seen> {
        let kept = self.kept.get(wanted.output).into_iter().flatten();
        let pipes = kept.chain(&wanted.output_pipe).copied().collect::<HashSet<u64>>();
        let printing = pipes.into_iter().filter_map(|pipe| self.by_pipe.get(&pipe)).flatten();
        printing.map(|&at| &self.processes[at])
    }

    pub(super) fn in_session<'a>(&'a self, wanted: &Wanted<'_>) -> impl Iterator<Item = &'a Seen> {
        let session = wanted.supervisor.and_then(|s| Some((s, self.by_session.get(&s.pid)?)));
        let members = session.filter(|(supervisor, _)| {
            // The kernel reuses the number only after the session is empty: another leader means another session.
            process_stat(supervisor.pid).map_or(true, |now| now.identity == *supervisor)
        });
        let members = members.into_iter().flat_map(|(_, members)| members);
        members.map(|&at| &self.processes[at])
    }
}

/// `None` when the process is gone by now.
fn marks_of(pid: u32) -> Option<Marks> {
    let text = match crate::durable::plain::read(format!("/proc/{pid}/environ")) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return None,
        Err(_) => return Some(Marks::Unreadable { uid: uid_of(pid) }),
    };
    let value = |name: &str| {
        text.split(|&b| b == 0)
            .find_map(|e| e.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .map(<[u8]>::to_vec)
    };
    let tokens = Tokens::of(text.split(|&b| b == 0));
    let (state_dir, mark) = (value(marks::STATE_DIR), value(marks::STATE_INCARNATION));
    let (repository, is_under_lock) = (value(marks::REPOSITORY), value(marks::LOCK_STATE).is_some());
    Some(Marks::Read { tokens, state_dir, mark, repository, is_under_lock })
}

/// The real user. The owner of `/proc/PID` is no substitute: it is root for a process that may not be dumped.
fn uid_of(pid: u32) -> Option<u32> {
    let status = crate::durable::plain::read_text(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangling_directory_name_is_decided_by_id() {
        let job = "a".parse().unwrap();
        let there = std::env::current_dir().unwrap();
        let wanted = Wanted {
            job: &job,
            root: &there,
            state_id: "ours",
            mark: "1@8:3",
            output: Path::new("/s/jobs/a/output.log"),
            output_pipe: None,
            claim: None,
            is_begun: true,
            supervisor: None,
            uid: None,
            since: None,
        };
        let owner = |state_dir: Option<&Path>, state_id: Option<&str>, mark: Option<&str>| {
            let state_dir = state_dir.map(|path| path.as_os_str().as_bytes().to_vec());
            let state_id = state_id.map(|id| id.as_bytes().to_vec());
            let marks = Marks::Read {
                tokens: Tokens { job: Some(b"a".to_vec()), state_id, is_server: false },
                state_dir,
                mark: mark.map(|mark| mark.as_bytes().to_vec()),
                repository: None,
                is_under_lock: false,
            };
            let identity = ProcessIdentity { pid: 7, start_time: 100 };
            Seen { identity, parent: 1, session: 7, marks }.owner(&wanted)
        };
        let (gone, elsewhere) = (Path::new("/no/such/state"), Path::new("/"));
        for (named, id, ours) in [
            (Some(gone), None, true),
            (Some(gone), Some("ours"), true),
            (Some(gone), Some("another"), false),
            (None, Some("another"), false),
            (None, None, true),
            (Some(&*there), Some("another"), true), // The directory's identity may have been made anew.
            (Some(elsewhere), Some("ours"), false),
        ] {
            let expected = if ours { Owner::Ours } else { Owner::Foreign };
            assert_eq!(owner(named, id, None), expected, "{named:?} {id:?}");
        }
        // Incarnation and folder count for more than the name, which a copy or a backup may have by now.
        for (named, id, mark, expected) in [
            (Some(elsewhere), "ours", "1@8:3", Owner::Ours),
            (Some(&*there), "ours", "1@8:4", Owner::OtherIncarnation),
            (Some(&*there), "ours", "1796000000@8:3", Owner::OtherIncarnation),
            (Some(gone), "ours", "1@8:4", Owner::OtherIncarnation),
            (Some(elsewhere), "another", "1@8:3", Owner::Foreign),
            (Some(&*there), "another", "1@8:3", Owner::Ours),
        ] {
            assert_eq!(owner(named, Some(id), Some(mark)), expected, "{named:?} {id:?} {mark}");
        }
    }
}
