//! Ends an unsupervised job, and records its end.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::policy::{RequeuePauses, after_crash};
use super::reconcile::{RecoverError, RecoverSettings, lock_job};
use crate::jobs::cgroup_name;
use crate::jobs::evidence::judge_locked;
use crate::jobs::judgement::{JudgeContext, Judgement};
use crate::jobs::process_table::ProcessTable;
use crate::jobs::verdict::{Liveness, Verdict};
use crate::queue::{AttemptOutcome, Claim, End, Job, Operation, Queue};
use crate::state::StateDir;
use crate::system::{
    Cgroup, Hindrance, Host, Presence, ProcessIdentity, end_process, hindrance_of, presence, signal_process,
};

/// How often the processes of a job are searched for while they are ended.
const ROUNDS: u32 = 5;
/// How long processes that cannot be seen may take to end after SIGKILL.
const UNSEEN_GO_WITHIN: Duration = Duration::from_secs(5);

/// Why an unsupervised job is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnsupervisedEnd {
    /// It was cancelled.
    Cancelled,
    /// Its time is over.
    TimedOut,
    /// The configuration says that a job that has lost its supervisor must not go on (`jobs.on_orphan`).
    Policy,
}

/// Ends all processes of an unsupervised job, and records its end; false when a process may be left, or when the
/// job has a supervisor after all.
pub(crate) fn end_unsupervised(
    dir: &StateDir,
    queue: &mut Queue,
    job: &Job,
    why: UnsupervisedEnd,
    settings: &RecoverSettings,
) -> Result<bool, RecoverError> {
    let Ok(_lock) = lock_job(dir, &job.id) else { return Ok(false) };
    let host = Host::this();
    for _ in 0..ROUNDS {
        let table = ProcessTable::new();
        let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
        let judgement = judge_locked(&look, job);
        let processes = match &judgement.verdict {
            Verdict::OrphanedProcess { processes } => processes.clone(),
            Verdict::Adopted { process } => table.tree_of(*process, &job.id),
            _ if judgement.liveness() == Liveness::Dead => {
                record_end(dir, queue, job, &judgement.verdict, why, settings)?;
                // A group that is left is empty, and costs nothing.
                let _ = group_of(dir, &judgement).map(|group| group.remove());
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let trees: Vec<ProcessIdentity> = processes.iter().flat_map(|p| table.tree_of(*p, &job.id)).collect();
        end_all(&trees, group_of(dir, &judgement).as_ref(), settings.kill_grace);
        if only_hindered_are_left(&trees) {
            // More rounds would only keep other processes from the job's lock.
            return Ok(false);
        }
    }
    Ok(false)
}

/// Whether processes are left, and a visible hindrance keeps this process from ending each of them.
fn only_hindered_are_left(processes: &[ProcessIdentity]) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let left: Vec<_> = processes.iter().filter(|p| presence(**p) != Presence::Gone).collect();
    !left.is_empty() && left.iter().all(|p| hindrance_of(p.pid, own) != Hindrance::Unknown)
}

fn group_of(dir: &StateDir, judgement: &Judgement) -> Option<Cgroup> {
    let sentinel = judgement.sentinel.whole()?;
    cgroup_name::recorded(dir, sentinel.claim, sentinel.cgroup.as_deref())
}

/// Sends SIGTERM to all; after the grace, sends SIGKILL to the remaining ones and to the whole group. Processes
/// of a group that cannot be seen from here get the same time, in which their own namespace may end them.
fn end_all(processes: &[ProcessIdentity], group: Option<&Cgroup>, grace: Duration) {
    for process in processes {
        // A process that may not be signalled is found again by the next round.
        let _ = signal_process(*process, Signal::TERM);
        // A stopped process handles a signal only once it continues.
        let _ = signal_process(*process, Signal::CONT);
    }
    let begun = Instant::now();
    let lives = |p: &&ProcessIdentity| presence(**p) != Presence::Gone;
    let is_populated = || group.is_some_and(|group| matches!(group.is_populated(), Ok(true)));
    let is_unseen_left = || processes.is_empty() && is_populated();
    while begun.elapsed() < grace && (processes.iter().any(|p| lives(&p)) || is_unseen_left()) {
        std::thread::sleep(Duration::from_millis(10));
    }
    if let Some(group) = group {
        let _ = group.kill();
    }
    let killed = Instant::now();
    while killed.elapsed() < UNSEEN_GO_WITHIN && is_unseen_left() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for process in processes.iter().filter(lives) {
        let _ = end_process(*process, 5_000);
    }
}

fn record_end(
    dir: &StateDir,
    queue: &mut Queue,
    job: &Job,
    verdict: &Verdict,
    why: UnsupervisedEnd,
    settings: &RecoverSettings,
) -> Result<(), RecoverError> {
    let claim = job.run_state().claim.unwrap_or_default();
    let end = match verdict {
        Verdict::Ended(exit) => End { claim, attempt: job.attempt, ..exit.to_end() },
        _ => end_of(dir, job, claim, why, settings.requeue),
    };
    queue.transact(&settings.actor, |state| {
        let is_unchanged = state.get(&job.id).is_some_and(|now| now.run_state().claim == Some(claim));
        (is_unchanged.then_some(Operation::End(end)).into_iter().collect(), ())
    })?;
    Ok(())
}

fn end_of(dir: &StateDir, job: &Job, claim: Claim, why: UnsupervisedEnd, requeue: RequeuePauses) -> End {
    let (outcome, signal, reason) = match why {
        UnsupervisedEnd::Cancelled => {
            let signal = Some(Signal::TERM.as_raw());
            (AttemptOutcome::Signaled, signal, "ended on request; it had no supervisor")
        }
        UnsupervisedEnd::TimedOut => {
            (AttemptOutcome::TimedOut, None, "it exceeded its time limit; it had no supervisor")
        }
        UnsupervisedEnd::Policy => {
            (AttemptOutcome::Crashed, None, "its supervisor was killed, and what it left was ended by policy")
        }
    };
    End {
        job: job.id.clone(),
        attempt: job.attempt,
        claim,
        outcome,
        exit_code: None,
        signal,
        ended_at: None,
        reason: Some(reason.to_owned()),
        after_crash: (why == UnsupervisedEnd::Policy).then(|| after_crash(job, dir.clock.now(), requeue)),
        started_at: None,
        ended_by: None,
        by_itself: false,
        evidence: Vec::new(),
    }
}
