//! Watches running jobs whose supervisors are not our children: re-attached ones, other schedulers',
//! taken-over ones, and unsupervised ones.
//!
//! | job | what is watched | judged |
//! | --- | --- | --- |
//! | supervised | its supervisor's end | at once when that comes; else once a minute |
//! | taken over from another server | its process's end | likewise |
//! | unsupervised | its command's end, else that of all its processes | at once; else twice a minute, or when its time is over |
//! | claimed, and no sentinel yet | | a second after the claim was seen, if its lock is free |
//! | cannot be watched | | twice a second: is its lock held? |
//!
//! Only a judgement, with the job's lock held, decides what is recorded.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::exits::{Exits, Notice};
use crate::durable::is_held;
use crate::jobs::{Reconciled, Reconciliation, Sentinel, Verdict};
use crate::queue::{Claim, Job, JobId};
use crate::state::StateDir;
use crate::system::{Presence, ProcessIdentity, presence};

/// How long a claim may have no supervisor before it is judged.
const GRACE: Duration = Duration::from_secs(1);
/// The time after which a supervised job is judged even without a notice: its lock may have been removed.
const REASSURANCE: Duration = Duration::from_secs(60);
/// The same for a job without its supervisor, of which not all processes may be known.
const ORPHAN_PAUSE: Duration = Duration::from_secs(30);
/// The pause between two judgements of a job whose end gives no notice.
const TIMED_PAUSE: Duration = Duration::from_millis(500);
/// The pause between two judgements of a job that cannot be judged, or whose processes cannot be seen.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(10);
/// The shortest pause between two looks at a job without supervisor: a look reads the table of all processes,
/// so it must not follow each child that ends.
const SHORTEST: Duration = Duration::from_millis(300);
/// How many processes of one job are watched; when they have ended, the next ones are.
const MOST_PROCESSES: usize = 16;

/// The watched processes, and the times of the next judgements.
#[derive(Debug)]
pub(super) struct Watch {
    exits: Exits,
    jobs: HashMap<JobId, Watched>,
}

#[derive(Debug)]
struct Watched {
    claim: Option<Claim>,
    tokens: Vec<u64>,
    next: Instant,
    last: Option<Instant>,
    is_unsupervised: bool,
}

impl Watched {
    fn look_no_later_than(&mut self, at: Instant) {
        self.next = self.next.min(at);
    }

    /// Returns the earliest time at which it may be looked at again.
    fn earliest(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| now.max(last + SHORTEST))
    }
}

impl Watch {
    pub(super) fn new() -> Watch {
        Watch { exits: Exits::new(), jobs: HashMap::new() }
    }

    /// Whether nothing is watched.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Notes that a supervisor that we started is gone: its job, if it still runs, is examined without delay.
    pub(super) fn lost(&mut self, job: &JobId) {
        let now = Instant::now();
        let lost = Watched { claim: None, tokens: Vec::new(), next: now, last: None, is_unsupervised: false };
        self.jobs.insert(job.clone(), lost);
    }

    /// Returns the jobs that must be judged now, out of all that run and are not our children's.
    pub(super) fn due<'a>(&mut self, dir: &StateDir, jobs: impl Iterator<Item = &'a Job>) -> Vec<JobId> {
        let now = Instant::now();
        for id in self.exits.take() {
            if let Some(watched) = self.jobs.get_mut(&id) {
                let at = watched.earliest(now);
                watched.look_no_later_than(at);
            }
        }
        let mut due = Vec::new();
        let mut running = HashSet::new();
        for job in jobs {
            running.insert(&job.id);
            if self.is_due(dir, job, now) {
                due.push(job.id.clone());
            }
        }
        let over: Vec<JobId> = self.jobs.keys().filter(|id| !running.contains(id)).cloned().collect();
        over.iter().for_each(|id| self.forget(id));
        due
    }

    fn is_due(&mut self, dir: &StateDir, job: &Job, now: Instant) -> bool {
        let claim = job.run_state().claim;
        let is_known = self.jobs.get(&job.id).is_some_and(|w| w.claim.is_none_or(|c| Some(c) == claim));
        if !is_known {
            self.forget(&job.id);
            self.begin(dir, job, now);
        }
        let Some(watched) = self.jobs.get_mut(&job.id) else { return false };
        watched.claim = claim;
        if watched.is_unsupervised && job.run_state().cancel_requested {
            let at = watched.last.map_or(now, |last| last + GRACE);
            watched.look_no_later_than(at);
        }
        if watched.next > now {
            return false;
        }
        if watched.tokens.is_empty() && !watched.is_unsupervised && seems_to_live(dir, job) {
            // The supervisor has started since, or cannot be watched.
            self.begin(dir, job, now);
            return false;
        }
        watched.last = Some(now);
        watched.next = now + TIMED_PAUSE; // Unless the judgement says otherwise.
        true
    }

    /// Watches the process that the files name.
    fn begin(&mut self, dir: &StateDir, job: &Job, now: Instant) {
        let (tokens, next) = match head_of(dir, job).map(|process| self.exits.watch(&job.id, process)) {
            Some(Notice::Coming(token)) => (vec![token], now + REASSURANCE),
            Some(Notice::Gone) => (Vec::new(), now),
            Some(Notice::Impossible) => (Vec::new(), now + TIMED_PAUSE),
            None => (Vec::new(), now + GRACE),
        };
        let watched =
            Watched { claim: job.run_state().claim, tokens, next, last: None, is_unsupervised: false };
        if let Some(before) = self.jobs.insert(job.id.clone(), watched) {
            self.exits.forget(&before.tokens);
        }
    }

    /// Notes a judgement; `time_left` is the rest of an unsupervised job's time limit.
    pub(super) fn judged(&mut self, reconciled: &Reconciled, time_left: Option<Duration>) {
        let id = &reconciled.job_id;
        let is_running =
            matches!(reconciled.reconciliation, Reconciliation::Reattached | Reconciliation::Unknown { .. });
        let Some(before) = self.jobs.remove(id) else { return };
        self.exits.forget(&before.tokens);
        if !is_running {
            return;
        }
        let (processes, pause, is_unsupervised) = match &reconciled.judgement.verdict {
            Verdict::Supervised | Verdict::Stalled => {
                let supervisor = reconciled.judgement.sentinel.whole().map(|s| s.supervisor);
                (supervisor.into_iter().collect(), REASSURANCE, false)
            }
            Verdict::Adopted { process } => (vec![*process], REASSURANCE, false),
            Verdict::OrphanedProcess { processes } => {
                // Processes that cannot be seen give no notice of their end.
                let longest = if processes.is_empty() { UNKNOWN_PAUSE } else { ORPHAN_PAUSE };
                let pause = time_left.map_or(longest, |left| left.min(longest));
                (worth_watching(processes, reconciled.judgement.command), pause, true)
            }
            Verdict::OtherIncarnation { processes } => {
                (worth_watching(processes, reconciled.judgement.command), ORPHAN_PAUSE, false)
            }
            Verdict::Unknown { .. } => (Vec::new(), UNKNOWN_PAUSE, false),
            _ => (Vec::new(), TIMED_PAUSE, false),
        };
        self.follow(id, &before, &processes, pause, is_unsupervised);
    }

    fn follow(
        &mut self,
        id: &JobId,
        before: &Watched,
        processes: &[ProcessIdentity],
        pause: Duration,
        is_unsupervised: bool,
    ) {
        let now = Instant::now();
        let mut watched =
            Watched { tokens: Vec::new(), next: now + pause, last: Some(now), is_unsupervised, ..*before };
        for process in processes {
            match self.exits.watch(id, *process) {
                Notice::Coming(token) => watched.tokens.push(token),
                Notice::Gone => watched.look_no_later_than(now + SHORTEST),
                Notice::Impossible => watched.look_no_later_than(now + TIMED_PAUSE),
            }
        }
        self.jobs.insert(id.clone(), watched);
    }

    fn forget(&mut self, id: &JobId) {
        if let Some(watched) = self.jobs.remove(id) {
            self.exits.forget(&watched.tokens);
        }
    }
}

/// Returns the processes to watch. While the command lives, it is enough: its children come and go.
fn worth_watching(processes: &[ProcessIdentity], command: Option<ProcessIdentity>) -> Vec<ProcessIdentity> {
    match command.filter(|c| processes.contains(c)) {
        Some(command) => vec![command],
        None => processes.iter().take(MOST_PROCESSES).copied().collect(),
    }
}

/// Returns the process that the job's life depends on, as far as its files name one.
fn head_of(dir: &StateDir, job: &Job) -> Option<ProcessIdentity> {
    if let Some(adopted) = &job.run_state().adopted {
        return Some(ProcessIdentity { pid: adopted.pid, start_time: adopted.start_time });
    }
    let paths = dir.paths.job(&job.id.to_string()).ok()?;
    let sentinel = Sentinel::read(&paths.sentinel()).ok()?;
    let own = sentinel.whole().filter(|s| Some(s.claim) == job.run_state().claim)?;
    crate::system::Host::this().shares_processes_with(&own.host).then_some(own.supervisor)
}

fn seems_to_live(dir: &StateDir, job: &Job) -> bool {
    if let Some(adopted) = &job.run_state().adopted {
        let process = ProcessIdentity { pid: adopted.pid, start_time: adopted.start_time };
        return presence(process) != Presence::Gone;
    }
    let Ok(paths) = dir.paths.job(&job.id.to_string()) else { return false };
    matches!(is_held(&paths.sentinel_lock()), Ok(true))
}
