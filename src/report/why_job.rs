//! All evidence behind the verdict on a job, and why the job has its status.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::waiting::waiting_for;
use crate::durable::is_held;
use crate::findings::{Finding, Object};
use crate::jobs::findings::{of_failed_start, of_look};
use crate::jobs::{
    Evidence, JudgeContext, Judgement, Liveness, LivingJob, ProcessTable, RecoverSettings, Verdict, judge,
};
use crate::locks::of_other_incarnations;
use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::startup::origin;
use crate::state::{StateDir, Timestamp, Word, human};
use crate::system::{Host, Presence, ProcessIdentity, command_line, probe_process, user_of};

/// Why a job is where it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct WhyJob {
    /// `job:ID`.
    pub object: Object,
    pub status: JobStatus,
    pub attempt: u32,
    /// What keeps it there, in one sentence.
    pub because: String,
    /// What became of its present attempt; `null` when it is not running.
    pub verdict: Option<Word>,
    pub liveness: Option<Liveness>,
    /// What the verdict rests on, in the order in which it was looked at. Of a job that is over: what proved the end of
    /// its last attempt, where nobody saw it end.
    pub evidence: Vec<Evidence>,
    /// When that was proven; null where the evidence is of now.
    #[serde(default)]
    pub proven_at: Option<Timestamp>,
    /// The supervisor, the command, and what else of it lives.
    pub processes: Vec<JobProcess>,
    pub findings: Vec<Finding>,
}

/// A process of a job, as it is now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct JobProcess {
    /// `supervisor`, `command` or `other`.
    pub role: Word,
    pub pid: u32,
    /// In clock ticks since boot.
    pub start_time: u64,
    /// `alive`, `stopped`, `zombie`, `gone` or `hidden`.
    pub state: Word,
    /// The user it acts as.
    pub uid: Option<u32>,
    pub command_line: Vec<String>,
}

impl WhyJob {
    /// Explains one job; a running job is judged now.
    pub(crate) fn of(dir: &StateDir, state: &QueueState, job: &Job, settings: &RecoverSettings) -> WhyJob {
        let (host, table) = (Host::this(), ProcessTable::new());
        let look = JudgeContext { dir, host: &host, table: &table, limits: settings.limits };
        let judgement = (job.status == JobStatus::Running).then(|| judge(&look, job));
        let judged = judgement.as_ref();
        let mut findings: Vec<Finding> = match dir.is_copy() {
            true => origin::findings(dir),
            false => judged.map(of_look).unwrap_or_default(),
        };
        findings.extend(of_failed_start(job));
        let waits = job.status == JobStatus::Queued && !dir.is_copy();
        let mut living = if waits { table.living_jobs(dir) } else { BTreeMap::new() };
        living.retain(|_, living| living.is_of_other_incarnation);
        let in_the_way = if waits { kept_by_other_times(dir, state, job, &living) } else { Vec::new() };
        let because = match in_the_way.first() {
            Some(finding) => finding.sentence.clone(),
            None => because(dir, state, job, judged),
        };
        findings.extend(in_the_way);
        let of_other_times = living.remove(&job.id).into_iter().flat_map(|living| living.processes);
        WhyJob {
            object: Object::job(&job.id),
            status: job.status,
            attempt: job.attempt,
            because,
            verdict: judged.map(|j| j.verdict.as_str().into()),
            liveness: judged.map(Judgement::liveness),
            evidence: judged.map_or_else(|| of_the_last_end(job), |j| j.evidence.clone()),
            proven_at: judged.is_none().then(|| proven_at(job)).flatten(),
            processes: match judged {
                Some(judgement) => processes(judgement),
                None => of_other_times.map(|process| shown("other", process)).collect(),
            },
            findings,
        }
    }
}

/// Returns the evidence that proved the end of its last attempt, which nobody saw.
fn of_the_last_end(job: &Job) -> Vec<Evidence> {
    let pieces = job.run_state().attempts.last().into_iter().flat_map(|attempt| &attempt.evidence);
    pieces.map(|piece| Evidence { kind: "proof".into(), detail: piece.clone() }).collect()
}

/// Returns when the end of its last attempt was proven; `None` when there is no such evidence.
fn proven_at(job: &Job) -> Option<Timestamp> {
    job.run_state().attempts.last().filter(|a| !a.evidence.is_empty()).map(|a| a.finished_at)
}

/// Returns the processes from before a restored backup that keep this waiting job from starting.
fn kept_by_other_times(
    dir: &StateDir,
    state: &QueueState,
    job: &Job,
    living: &BTreeMap<JobId, LivingJob>,
) -> Vec<Finding> {
    let lock = job.repository.as_ref().map(|name| Object::lock(name));
    let closes = |id: &JobId| {
        let unknown = living.get(id).filter(|_| state.get(id).is_none());
        job.repository.as_deref().zip(unknown).is_some_and(|(name, unknown)| unknown.may_work_on(name))
    };
    let is_of_it = |finding: &Finding| match &finding.object {
        Object::Jobs => true,
        Object::Job(id) => *id == job.id || closes(id),
        object => Some(object) == lock.as_ref(),
    };
    of_other_incarnations(dir, state).into_iter().filter(is_of_it).collect()
}

fn because(dir: &StateDir, state: &QueueState, job: &Job, judgement: Option<&Judgement>) -> String {
    match (job.status, judgement) {
        (_, Some(judgement)) => of_running(judgement).to_owned(),
        (JobStatus::Queued, _) => of_queued(dir, state, job),
        _ => job.run_state().reason.clone().unwrap_or_else(|| of_ended(job)),
    }
}

fn of_running(judgement: &Judgement) -> &'static str {
    match (&judgement.verdict, judgement.liveness()) {
        (Verdict::OrphanedProcess { .. }, _) => "its supervisor is gone, and processes of it live",
        (Verdict::OtherIncarnation { .. }, _) => {
            "processes of it live that another incarnation of this state directory started"
        }
        (Verdict::Adopted { .. }, _) => "the process that was taken over lives",
        (_, Liveness::Alive) => "its supervisor lives",
        (_, Liveness::Unknown) => "neither its life nor its death can be proven",
        (Verdict::Ended(_), _) => "it has ended, and no daemon has recorded that yet",
        (Verdict::NeverStarted, _) => "it was claimed and never begun, and no daemon has given it back yet",
        (_, Liveness::Dead) => "it has vanished, and no daemon has recorded that yet",
    }
}

fn of_queued(dir: &StateDir, state: &QueueState, job: &Job) -> String {
    if let Some(until) = job.pauses_until(dir.clock.now()) {
        let last = job.run_state().history.iter().rev().find_map(|t| t.reason.as_deref());
        let why = last.map_or_else(String::new, |why| format!(": {why}"));
        return format!("it waits until {until}{why}");
    }
    let held: BTreeSet<String> = super::held_repositories(dir, state).unwrap_or_default();
    let what = waiting_for(state, &held, job).unwrap_or_else(|| "a free worker".to_owned());
    let ahead: Vec<&Job> = state.queued().take_while(|other| other.id != job.id).collect();
    let ahead = match ahead.as_slice() {
        [] => String::new(),
        [one] => format!("; job {} is ahead of it", one.id),
        [first, ..] => {
            format!("; {} are ahead of it, job {} first", human::count(ahead.len(), "job"), first.id)
        }
    };
    // Nobody holds a lock that does not exist.
    let starts_jobs = |path| is_held(path).unwrap_or_else(|e| !e.is_not_found());
    let has_starter =
        [dir.paths.daemon_lock(), dir.paths.scheduling_lock()].iter().any(|path| starts_jobs(path));
    let nobody = if has_starter { "" } else { "; no daemon runs that would start it" };
    format!("it waits for {what}{ahead}{nobody}")
}

fn of_ended(job: &Job) -> String {
    match (job.run_state().exit_code, job.run_state().signal) {
        (Some(code), _) => format!("its command ended with exit status {code}"),
        (None, Some(signal)) => format!("signal {signal} ended its command"),
        (None, None) => "its attempt has ended".to_owned(),
    }
}

fn processes(judgement: &Judgement) -> Vec<JobProcess> {
    let supervisor = judgement.sentinel.whole().map(|s| s.supervisor);
    let others: &[ProcessIdentity] = match &judgement.verdict {
        Verdict::OrphanedProcess { processes } | Verdict::OtherIncarnation { processes } => processes,
        _ => &[],
    };
    let named = [("supervisor", supervisor), ("command", judgement.command)];
    let named = named.into_iter().filter_map(|(role, process)| Some((role, process?)));
    let known = |p: &&ProcessIdentity| Some(**p) != supervisor && Some(**p) != judgement.command;
    let others = others.iter().filter(known).map(|p| ("other", *p));
    named.chain(others).map(|(role, process)| shown(role, process)).collect()
}

fn shown(role: &'static str, process: ProcessIdentity) -> JobProcess {
    let sighting = probe_process(process);
    let state = match sighting.presence {
        Presence::Alive if sighting.is_stopped => "stopped",
        Presence::Alive => "alive",
        Presence::Hidden => "hidden",
        Presence::Gone if sighting.is_zombie => "zombie",
        Presence::Gone => "gone",
    };
    let is_alive = sighting.presence == Presence::Alive;
    JobProcess {
        role: role.into(),
        pid: process.pid,
        start_time: process.start_time,
        state: state.into(),
        uid: is_alive.then(|| user_of(process.pid)).flatten(),
        command_line: if is_alive { command_line(process.pid) } else { Vec::new() },
    }
}
