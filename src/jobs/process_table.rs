//! The processes with the marks of jobs, scanned once for many jobs.
//!
//! The first question that needs a scan makes it. A scan shows one moment: before acting on it, scan again while
//! holding the job's lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::process_scan::{Marks, Owner, Scan, Seen, Wanted};
use super::survivors::{Survivor, of_attempts};
use super::traces::real_name;
use crate::queue::{Claim, JobId};
use crate::state::StateDir;
use crate::system::ProcessIdentity;

/// The processes of this machine, scanned at most once, by the thread that asks first.
#[derive(Debug, Default)]
pub struct ProcessTable {
    scan: OnceLock<Scan>,
    /// The survivors by control groups, for the one state directory in question. They too are read once, so that
    /// all questions count the same ones.
    survivors: OnceLock<Vec<Survivor>>,
    /// A state directory's path, and its real name.
    real_root: OnceLock<(PathBuf, PathBuf)>,
}

/// A job with living processes, as a scan found it.
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
    /// Whether the job's processes may work on this repository.
    pub(crate) fn may_work_on(&self, repository: &str) -> bool {
        !self.tells_repository || self.repositories.contains(repository)
    }
}

impl ProcessTable {
    /// A table that scans at the first question.
    pub fn new() -> ProcessTable {
        ProcessTable::default()
    }

    /// The real name of a state directory, found once for all its jobs.
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

    /// The living processes that have the job's marks, are in the session of its supervisor, or print into its
    /// pipe or its output.
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

    /// The living processes of a job, supervisors included, that another incarnation of the state directory
    /// started.
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

    /// Every job of this state directory, in any incarnation, that has living processes by its marks or by
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
            // A supervisor's environment does not name the repository.
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

    /// The supervisors of this incarnation, each with the job and the claim that it was called for.
    pub(crate) fn supervised_claims(&self, dir: &StateDir) -> Vec<(ProcessIdentity, JobId, Claim)> {
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

    /// Whether a process namespace has no living process; `None` when not all processes can be seen from here.
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

    /// The living processes that print into this output, by its name or by the number of a pipe without a name.
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
    /// A descendant started no earlier than the command. It can run as another user only when the job was root's
    /// or had changed its user: so for a job of root, and for a job that ran as another user than this process's,
    /// every process that hides its environment counts. When the attempt left no trace, not even of when it
    /// began, only processes count whose session has lost its leader, because a job's session loses its leader
    /// with the supervisor. Otherwise a claim whose supervisor was never spawned would be in doubt for ever,
    /// because on most machines some process of the same user hides its environment.
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

    /// A process of a job and all its descendants by living parents that are the job's too.
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

fn distinct(processes: impl Iterator<Item = ProcessIdentity>) -> Vec<ProcessIdentity> {
    let mut found: Vec<ProcessIdentity> = processes.collect();
    found.sort_by_key(|p| p.pid);
    found.dedup();
    found
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
}
