//! All processes of this machine with the marks of jobs, read once for many jobs.
//!
//! A scan costs about 30 µs a process of the machine and is made on the first question that needs it. It
//! shows one moment: before acting on it, scan again while holding the job's lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::kinship::Tokens;
use super::marks;
use super::survivors::{Survivor, of_attempts};
use super::traces::{
    PrintsTo, SupervisorInvocation, in_present_layout, is_keeper, job_of_output, kept_by, outputs_of, pipes,
    real_name,
};
use crate::queue::JobId;
use crate::state::{Identity, StateDir, StatePaths};
use crate::system::{ProcessIdentity, look_after_exec, process_stat};

/// The processes of this machine, scanned at most once, by whichever thread asks first.
#[derive(Debug, Default)]
pub struct ProcessTable {
    scan: OnceLock<Scan>,
    /// The survivors by control groups, for the one state directory in question: read once too, so that all
    /// questions count the same ones.
    survivors: OnceLock<Vec<Survivor>>,
    /// A state directory, and its real name.
    real_root: OnceLock<(PathBuf, PathBuf)>,
}

#[derive(Debug, Default)]
struct Scan {
    processes: Vec<Seen>,
    by_job: HashMap<Vec<u8>, Vec<usize>>,
    by_session: HashMap<u32, Vec<usize>>,
    /// Those that write to a file of the name that a job's output has.
    by_output: HashMap<PathBuf, Vec<usize>>,
    /// Those that print into the pipe that is emptied into an output, as that is named in the present layout.
    by_named_pipe: HashMap<PathBuf, Vec<usize>>,
    /// Those that print into a pipe.
    by_pipe: HashMap<u64, Vec<usize>>,
    /// The pipes that are emptied into an output.
    kept: HashMap<PathBuf, Vec<u64>>,
    /// Supervisors, and processes that are about to become commands.
    invocations: Vec<(usize, SupervisorInvocation)>,
    /// Whether `/proc` shows the processes of other users.
    shows_all: bool,
}

#[derive(Debug)]
struct Seen {
    identity: ProcessIdentity,
    parent: u32,
    session: u32,
    marks: Marks,
}

#[derive(Debug)]
enum Marks {
    Read {
        tokens: Tokens,
        state_dir: Option<Vec<u8>>,
        /// Incarnation and folder; `None` for what versions without them started.
        mark: Option<Vec<u8>>,
        repository: Option<Vec<u8>>,
        /// Whether a `lock` has started it, or one of its ancestors: then the repository is the lock's.
        is_under_lock: bool,
    },
    Unreadable {
        uid: Option<u32>,
    },
}

/// The known data of a job whose processes are searched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) job: &'a JobId,
    pub(crate) root: &'a Path,
    /// The id of that state directory.
    pub(crate) state_id: &'a str,
    /// Its incarnation and folder, as they are in the environment of its processes.
    pub(crate) mark: &'a str,
    /// Where its output goes.
    pub(crate) output: &'a Path,
    /// The pipe that its command printed into.
    pub(crate) output_pipe: Option<u64>,
    /// The claim of its present attempt; `None` when the queue names none.
    pub(crate) claim: Option<u64>,
    /// Whether there is any trace of its present attempt.
    pub(crate) is_begun: bool,
    /// Its supervisor led the session in which the command started.
    pub(crate) supervisor: Option<ProcessIdentity>,
    /// The user it ran as.
    pub(crate) uid: Option<u32>,
    /// When its first process started, in clock ticks since boot: nothing of it is older.
    pub(crate) since: Option<u64>,
}

/// The owner of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// This state directory's.
    Ours,
    /// That of the same state directory at another time or in another folder: an original, or what ran before
    /// a backup was put back.
    OtherIncarnation,
    /// Another job's, or no job's.
    Foreign,
}

/// A job with living processes, by a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LivingJob {
    /// Its processes.
    pub processes: Vec<ProcessIdentity>,
    /// Whether any of them is of another incarnation of the state directory.
    pub is_of_other_incarnation: bool,
    /// The repositories that they were given.
    pub repositories: BTreeSet<String>,
    /// Whether one of them names the job's repository, or shows that it has none.
    pub tells_repository: bool,
}

impl LivingJob {
    /// Whether it may work on this repository, by its processes.
    pub fn may_work_on(&self, repository: &str) -> bool {
        !self.tells_repository || self.repositories.contains(repository)
    }
}

impl ProcessTable {
    /// A table that scans when it is first asked.
    pub fn new() -> ProcessTable {
        ProcessTable::default()
    }

    /// The real name of a state directory; found out once for all its jobs.
    pub(crate) fn real_root(&self, root: &Path) -> PathBuf {
        let (named, real) = self.real_root.get_or_init(|| (root.to_owned(), real_name(root)));
        if named == root { real.clone() } else { real_name(root) }
    }

    fn scan(&self) -> &Scan {
        self.scan.get_or_init(Scan::make)
    }

    fn survivors(&self, dir: &StateDir) -> &[Survivor] {
        self.survivors.get_or_init(|| of_attempts(dir))
    }

    /// The living processes that bear the job's marks, are in the session of its supervisor, or print into
    /// its pipe or its output.
    pub(crate) fn of_job(&self, wanted: &Wanted<'_>) -> Vec<ProcessIdentity> {
        let scan = self.scan();
        let id = wanted.job.to_string();
        let marked = scan.by_job.get(id.as_bytes()).into_iter().flatten();
        let marked = marked.map(|&at| &scan.processes[at]).filter(|seen| seen.is_of_state_dir(wanted));
        let by_trace = scan.in_session(wanted).chain(scan.writing_to(wanted.output));
        let by_trace = by_trace.chain(scan.printing_for(wanted));
        let ours = marked.chain(by_trace.filter(|seen| seen.owner(wanted) != Owner::OtherIncarnation));
        let ours = ours.filter(|seen| !seen.is_foreign_to(wanted));
        distinct(ours.map(|seen| seen.identity))
    }

    /// The living processes of a job that another incarnation of the state directory started: supervisors too.
    pub(crate) fn of_other_incarnations(&self, wanted: &Wanted<'_>) -> Vec<ProcessIdentity> {
        let scan = self.scan();
        let id = wanted.job.to_string();
        let marked = scan.by_job.get(id.as_bytes()).into_iter().flatten().copied();
        let invocations = scan
            .invocations
            .iter()
            .filter(|(_, invocation)| invocation.job == id.as_bytes())
            .map(|(at, _)| *at);
        let others = marked.chain(invocations).map(|at| &scan.processes[at]);
        distinct(
            others.filter(|seen| seen.owner(wanted) == Owner::OtherIncarnation).map(|seen| seen.identity),
        )
    }

    /// Every job of this state directory, in any incarnation, with living processes; by its marks and by
    /// supervisors, whatever the queue says of it.
    pub fn living_jobs(&self, dir: &StateDir) -> BTreeMap<JobId, LivingJob> {
        let scan = self.scan();
        let (state_id, mark) = (dir.identity.state_id.to_string(), dir.mark());
        let root = dir.paths.as_known(dir.paths.root());
        let named = scan.by_job.iter().flat_map(|(job, at)| at.iter().map(move |at| (job.as_slice(), *at)));
        let invocations = scan.invocations.iter().map(|(at, invocation)| (invocation.job.as_slice(), *at));
        let mut found: BTreeMap<JobId, LivingJob> = BTreeMap::new();
        for (name, at) in named.chain(invocations) {
            let Some(job) = std::str::from_utf8(name).ok().and_then(|name| name.parse::<JobId>().ok()) else {
                continue;
            };
            let seen = &scan.processes[at];
            let invocation =
                scan.invocations.iter().find(|(of, _)| *of == at).map(|(_, invocation)| invocation);
            let named = invocation.map(|invocation| invocation.state_dir.as_path());
            let owner = seen.owner_by(named, &root, &state_id, &mark);
            if owner == Owner::Foreign {
                continue;
            }
            let living = found.entry(job).or_default();
            living.is_of_other_incarnation |= owner == Owner::OtherIncarnation;
            living.repositories.extend(seen.repository());
            // A supervisor is not told of it by its environment.
            living.tells_repository |= invocation.is_none() && seen.tells_jobs_repository();
            if !living.processes.contains(&seen.identity) {
                living.processes.push(seen.identity);
            }
        }
        let mut add = |job: JobId, processes: &[ProcessIdentity]| {
            let living = found.entry(job).or_default();
            living.is_of_other_incarnation = true;
            let new: Vec<_> = processes.iter().filter(|p| !living.processes.contains(p)).copied().collect();
            living.processes.extend(new);
        };
        let by_group = || self.survivors(dir).iter().filter_map(|s| Some((s.job()?.clone(), s)));
        by_group().for_each(|(job, survivor)| add(job, &survivor.processes));
        scan.printing_without_marks(dir).into_iter().for_each(|(job, processes)| add(job, &processes));
        for (job, survivor) in by_group() {
            let living = found.entry(job).or_default();
            living.repositories.extend(survivor.repositories.iter().cloned());
            living.tells_repository |= survivor.tells_repository;
        }
        found
    }

    /// The processes of another incarnation's attempts whose job is unknown; `None` when there are none.
    pub fn unnamed_survivors(&self, dir: &StateDir) -> Option<Vec<ProcessIdentity>> {
        let mut unnamed = self.survivors(dir).iter().filter(|s| s.is_unnamed()).peekable();
        unnamed.peek()?;
        Some(unnamed.flat_map(|s| s.processes.iter().copied()).collect())
    }

    /// The supervisors of this very incarnation: for which job and claim each was called.
    pub(crate) fn supervised_claims(&self, dir: &StateDir) -> Vec<(ProcessIdentity, JobId, u64)> {
        let scan = self.scan();
        let (state_id, mark) = (dir.identity.state_id.to_string(), dir.mark());
        let ours = scan.invocations.iter().filter_map(|(at, invocation)| {
            let seen = &scan.processes[*at];
            let owner = seen.owner_by(Some(&invocation.state_dir), dir.paths.root(), &state_id, &mark);
            let job = std::str::from_utf8(&invocation.job).ok()?.parse().ok()?;
            (owner == Owner::Ours && seen.has_mark()).then_some((seen.identity, job, invocation.claim))
        });
        ours.collect()
    }

    /// Whether a process namespace has a living process; `None` when not all processes are seen from here.
    pub(crate) fn is_namespace_empty(&self, namespace: u64) -> Option<bool> {
        use std::os::unix::fs::MetadataExt;
        let scan = self.scan();
        if !scan.shows_all || rustix::process::geteuid().as_raw() != 0 {
            return None;
        }
        let is_in_it = |seen: &Seen| {
            let found = std::fs::metadata(format!("/proc/{}/ns/pid", seen.identity.pid));
            found.is_ok_and(|found| found.ino() == namespace)
        };
        Some(!scan.processes.iter().any(is_in_it))
    }

    /// The living processes that print into this output, by name or by the number of a pipe without one.
    pub(crate) fn printing_into(&self, output: &Path, pipe: u64) -> Vec<ProcessIdentity> {
        let scan = self.scan();
        let unnamed = scan.by_pipe.get(&pipe).into_iter().flatten().map(|&at| &scan.processes[at]);
        scan.writing_to(output).chain(unnamed).map(|seen| seen.identity).collect()
    }

    /// The living processes that were called to supervise this very attempt, or to become its command.
    pub(crate) fn attendants(&self, wanted: &Wanted<'_>) -> Vec<ProcessIdentity> {
        let scan = self.scan();
        let id = wanted.job.to_string();
        let ours = scan.invocations.iter().filter(|(at, invocation)| {
            invocation.job == id.as_bytes()
                && wanted.claim.is_none_or(|claim| claim == invocation.claim)
                && scan.processes[*at].is_of(Some(&invocation.state_dir), wanted)
        });
        ours.map(|&(at, _)| scan.processes[at].identity).collect()
    }

    /// A hidden process that could be the job's; `None` when there is none.
    ///
    /// A descendant started no earlier than the command. It can run as another user only when the job was
    /// root's or had changed its user: so for a job of root, and for a job that ran as another user than this
    /// process's, every process that hides its environment counts. When the attempt left no trace, not even
    /// of when it began, only processes count whose session has lost its leader, as a job's has with its
    /// supervisor: on most machines some process of the same user hides its environment, and a claim whose
    /// supervisor was never spawned would be in doubt for ever.
    pub(crate) fn doubt(&self, wanted: &Wanted<'_>) -> Option<String> {
        let scan = self.scan();
        let own = rustix::process::geteuid().as_raw();
        let same_user = wanted.uid == Some(own);
        if !scan.shows_all && !same_user {
            return Some("processes of other users are hidden here".to_owned());
        }
        let earliest = wanted.since.or(wanted.supervisor.map(|s| s.start_time)).unwrap_or(0);
        let could_be = |uid: &Option<u32>| !same_user || own == 0 || uid.is_none() || *uid == wanted.uid;
        let seen = scan.processes.iter().find(|seen| {
            matches!(&seen.marks, Marks::Unreadable { uid } if could_be(uid))
                && seen.identity.start_time >= earliest
                && seen.identity.pid != 1
                && (wanted.is_begun || seen.is_without_leader())
        })?;
        Some(format!("the environment of process {}, which could be the job's, is hidden", seen.identity.pid))
    }

    /// A process of a job and all that descend from it by living parents and are the job's too.
    pub(crate) fn tree_of(&self, top: ProcessIdentity, job: &JobId) -> Vec<ProcessIdentity> {
        let id = job.to_string();
        let scan = self.scan();
        let mut tree = vec![top];
        let mut next = 0;
        while let Some(parent) = tree.get(next).copied() {
            next += 1;
            let children = scan.processes.iter().filter(|s| s.parent == parent.pid && !s.is_of_another(&id));
            for child in children.map(|s| s.identity) {
                if !tree.contains(&child) {
                    tree.push(child);
                }
            }
        }
        tree
    }
}

impl Seen {
    fn is_of_state_dir(&self, wanted: &Wanted<'_>) -> bool {
        self.owner(wanted) == Owner::Ours
    }

    /// Its owner, by its environment; ours as long as that may not be read.
    fn owner(&self, wanted: &Wanted<'_>) -> Owner {
        self.owner_by(None, wanted.root, wanted.state_id, wanted.mark)
    }

    /// The same; `named` is the state directory that its arguments name.
    fn owner_by(&self, named: Option<&Path>, root: &Path, state_id: &str, mark: &str) -> Owner {
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

    fn repository(&self) -> Option<String> {
        let Marks::Read { repository: Some(name), .. } = &self.marks else { return None };
        String::from_utf8(name.clone()).ok()
    }

    /// Whether its environment names its job's repository, or shows that it has none.
    fn tells_jobs_repository(&self) -> bool {
        matches!(&self.marks, Marks::Read { tokens: Tokens { job: Some(_), .. }, is_under_lock: false, .. })
    }

    fn has_mark(&self) -> bool {
        matches!(&self.marks, Marks::Read { mark: Some(_), .. })
    }

    /// Whether it belongs to the state directory, by the directory's name in its environment. A name that
    /// leads nowhere may be ours from before a move: then the id decides. Without a name it may be ours. The
    /// id is not compared where the name decides: a directory whose identity was lost may have a new one, and
    /// its jobs live on.
    fn is_at(&self, named: Option<&Path>, root: &Path, state_id: &str) -> bool {
        named.and_then(|named| is_same_place(named, root)).unwrap_or_else(|| match &self.marks {
            Marks::Read { tokens: Tokens { state_id: Some(id), .. }, .. } => id == state_id.as_bytes(),
            _ => true,
        })
    }

    fn is_of(&self, named: Option<&Path>, wanted: &Wanted<'_>) -> bool {
        self.owner_by(named, wanted.root, wanted.state_id, wanted.mark) == Owner::Ours
    }

    /// Whether the process that led its session is gone.
    fn is_without_leader(&self) -> bool {
        self.session != 0 && process_stat(self.session).map_or(true, |leader| leader.is_dead)
    }

    /// Whether it bears another job's mark, or a server's and no job's.
    fn is_of_another(&self, id: &str) -> bool {
        let Marks::Read { tokens, .. } = &self.marks else { return false };
        tokens.job.as_ref().map_or(tokens.is_server, |job| job != id.as_bytes())
    }

    fn is_foreign_to(&self, wanted: &Wanted<'_>) -> bool {
        self.is_of_another(&wanted.job.to_string())
    }
}

fn distinct(processes: impl Iterator<Item = ProcessIdentity>) -> Vec<ProcessIdentity> {
    let mut found: Vec<ProcessIdentity> = processes.collect();
    found.sort_by_key(|p| p.pid);
    found.dedup();
    found
}

/// One directory may have two names. `None` when a name leads nowhere.
fn is_same_place(named: &Path, root: &Path) -> Option<bool> {
    if named == root {
        return Some(true);
    }
    Some(std::fs::canonicalize(named).ok()? == std::fs::canonicalize(root).ok()?)
}

impl Scan {
    fn make() -> Scan {
        // With hidepid, the first process is the surest one not to be ours.
        let shows_all = process_stat(1).is_ok();
        let mut scan = Scan { shows_all, ..Scan::default() };
        let own = std::process::id();
        pids().filter(|&pid| pid != own).for_each(|pid| scan.add(pid));
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

    /// Jobs with a process that prints into an output of this state directory, or of one with the same id
    /// (one that was swapped), and bears no mark: without control groups, that is the only trace.
    fn printing_without_marks(&self, dir: &StateDir) -> Vec<(JobId, Vec<ProcessIdentity>)> {
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

    fn writing_to(&self, output: &Path) -> impl Iterator<Item = &Seen> {
        let writers = self.by_output.get(output).into_iter().flatten();
        let printers = self.by_named_pipe.get(&in_present_layout(output)).into_iter().flatten();
        writers.chain(printers).map(|&at| &self.processes[at])
    }

    fn printing_for(&self, wanted: &Wanted<'_>) -> impl Iterator<Item = &Seen> {
        let kept = self.kept.get(wanted.output).into_iter().flatten();
        let pipes = kept.chain(&wanted.output_pipe).copied().collect::<HashSet<u64>>();
        let printing = pipes.into_iter().filter_map(|pipe| self.by_pipe.get(&pipe)).flatten();
        printing.map(|&at| &self.processes[at])
    }

    fn in_session<'a>(&'a self, wanted: &Wanted<'_>) -> impl Iterator<Item = &'a Seen> {
        let session = wanted.supervisor.and_then(|s| Some((s, self.by_session.get(&s.pid)?)));
        let members = session.filter(|(supervisor, _)| {
            // The number is given again only after the session is empty: another leader, another session.
            process_stat(supervisor.pid).map_or(true, |now| now.identity == *supervisor)
        });
        let members = members.into_iter().flat_map(|(_, members)| members);
        members.map(|&at| &self.processes[at])
    }
}

fn pids() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
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

/// The real user; the owner of `/proc/PID` is root for a process that may not be dumped.
fn uid_of(pid: u32) -> Option<u32> {
    let status = crate::durable::plain::read_text(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(session: u32) -> ProcessTable {
        let uid = Some(rustix::process::geteuid().as_raw());
        let identity = ProcessIdentity { pid: 7, start_time: 100 };
        let seen = Seen { identity, parent: 1, session, marks: Marks::Unreadable { uid } };
        let scan = Scan { processes: vec![seen], shows_all: true, ..Scan::default() };
        ProcessTable { scan: OnceLock::from(scan), ..ProcessTable::default() }
    }

    #[test]
    fn doubt_needs_leaderless_session_without_trace() {
        let job = "a".parse().unwrap();
        let (root, output) = (Path::new("/s"), Path::new("/s/jobs/a/output.log"));
        let uid = Some(rustix::process::geteuid().as_raw());
        let begun = Wanted {
            job: &job,
            root,
            state_id: "s",
            mark: "1@8:3",
            output,
            output_pipe: None,
            claim: None,
            is_begun: true,
            supervisor: None,
            uid,
            since: None,
        };
        let claimed = Wanted { is_begun: false, ..begun };
        let (led, leaderless) = (table(std::process::id()), table(u32::MAX / 4));
        assert!(led.doubt(&begun).is_some() && led.doubt(&claimed).is_none());
        assert!(leaderless.doubt(&begun).is_some() && leaderless.doubt(&claimed).is_some());
        let later = Wanted { since: Some(101), ..begun };
        assert!(led.doubt(&later).is_none());
    }

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
            (Some(&*there), Some("another"), true), // Its identity may have been made anew.
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
