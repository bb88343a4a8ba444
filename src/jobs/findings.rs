//! Findings about jobs: about running jobs, from their judgements, and about jobs that cannot be started.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::findings::{Finding, Object, catalogue};
use crate::jobs::{
    Condition, FreshnessLimits, JudgeContext, Judgement, Liveness, LivingJob, ProcessTable, Verdict,
    Withstanding, judge,
};
use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::state::{StateDir, Timestamp, human};
use crate::system::{Host, ProcessIdentity};

/// How many jobs are named one by one.
const NAMED: usize = 20;

/// From this many failed starts in a row on, the cause is not just a server that crashed between claim and start.
const FAILING: u32 = 2;
/// How many processes are named.
const PIDS: usize = 8;
/// How many processes are described.
const SHOWN: usize = 3;

/// Codes of findings that hold only while a judgement shows them.
const OF_THE_MOMENT: [&catalogue::Entry; 15] = [
    &catalogue::JOB_PROCESSES_GONE,
    &catalogue::JOB_LIVENESS_UNKNOWN,
    &catalogue::JOB_ORPHANED_PROCESS,
    &catalogue::JOB_HEARTBEAT_STALE,
    &catalogue::JOB_HUNG,
    &catalogue::CLOCK_SKEW,
    &catalogue::JOB_STOPPED,
    &catalogue::JOB_ZOMBIE,
    &catalogue::JOB_OTHER_USER,
    &catalogue::BOOT_IDENTITY_DIFFERS,
    &catalogue::JOB_OF_OTHER_INCARNATION,
    &catalogue::UNKNOWN_JOB_LIVES,
    &catalogue::LOCK_OF_OTHER_INCARNATION,
    &catalogue::JOB_CANCEL_PENDING,
    &catalogue::JOB_CANNOT_END,
];

/// One thing that is not as it should be with a running job.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConditionReport {
    /// Its stable name: `cannot_end`, `hung`, `supervisor_stopped`…
    pub condition: String,
    /// The processes that it is about.
    pub pids: Vec<u32>,
    /// In words.
    pub detail: String,
}

/// Whether a new judgement would report the same, if it still holds.
pub(crate) fn is_of_the_moment(finding: &Finding) -> bool {
    OF_THE_MOMENT.iter().any(|entry| entry.code == finding.code)
}

/// Findings about the running jobs, by judging each of them.
pub(crate) fn of_running(dir: &StateDir, state: &QueueState, limits: FreshnessLimits) -> Vec<Finding> {
    let (host, table) = (Host::this(), ProcessTable::new());
    let look = JudgeContext { dir, host: &host, table: &table, limits };
    state.running().flat_map(|job| of_look(&judge(&look, job))).collect()
}

/// The finding about a job that is not in the queue, because it was submitted after the restored backup was made.
pub(crate) fn unknown_to_the_queue(id: &JobId, living: &LivingJob) -> Option<Finding> {
    let names: Vec<String> = living.repositories.iter().map(|name| format!("'{name}'")).collect();
    let closes = match (living.tells_repository, names.is_empty()) {
        (true, true) => return None,
        (true, false) => format!("no job of repository {} is started", names.join(", ")),
        (false, _) => {
            "which repository it works on is not known, so no job that has one is started".to_owned()
        }
    };
    let sentence =
        left_running(&living.processes, &format!("job {id}, which the queue does not know,"), &closes);
    Some(Finding::new(&catalogue::UNKNOWN_JOB_LIVES, Object::job(id), sentence))
}

/// A sentence about surviving processes: `whose` they are, and what stays closed while they live.
pub(crate) fn left_running(processes: &[ProcessIdentity], whose: &str, closes: &str) -> String {
    let (run, them) = if processes.len() == 1 { ("runs", "it has") } else { ("run", "they have") };
    let since = format!("of {whose} {run} since before a backup was put back: {closes} until {them} ended");
    match processes {
        [] => format!("processes that cannot be seen from here {since}"),
        _ => {
            let pids: Vec<String> = processes.iter().map(|p| p.pid.to_string()).collect();
            format!("{} {since}. Wait, or: kill {}", processes_of(processes), pids.join(" "))
        }
    }
}

pub(crate) fn of_other_incarnation(object: &Object, processes: &[ProcessIdentity]) -> Finding {
    let live = if processes.len() == 1 { "lives" } else { "live" };
    let sentence = format!(
        "{} of it {live}, started before a backup of this state directory was put back",
        processes_of(processes)
    );
    Finding::new(&catalogue::JOB_OF_OTHER_INCARNATION, object.clone(), sentence)
}

/// Findings about a job that the queue calls running, from its judgement; among them that the job does not run
/// any more, which a recovery would reconcile.
pub(crate) fn of_look(judgement: &Judgement) -> Vec<Finding> {
    let gone = || processes_gone(&Object::job(&judgement.job_id), judgement.attempt, &judgement.verdict);
    let gone = (judgement.liveness() == Liveness::Dead).then(gone);
    gone.into_iter().chain(of_judgement(judgement)).collect()
}

/// Findings about a running job, from its judgement.
pub(crate) fn of_judgement(judgement: &Judgement) -> Vec<Finding> {
    let object = Object::job(&judgement.job_id);
    let attempt = judgement.attempt;
    let mut found: Vec<Finding> = match &judgement.verdict {
        Verdict::Unknown { why } => {
            vec![Finding::new(&catalogue::JOB_LIVENESS_UNKNOWN, object.clone(), why.clone())]
        }
        Verdict::OtherIncarnation { processes } => {
            vec![of_other_incarnation(&object, processes)]
        }
        Verdict::OrphanedProcess { processes } => {
            let sentence =
                format!("attempt {attempt} goes on without its supervisor: {}", processes_of(processes));
            vec![Finding::new(&catalogue::JOB_ORPHANED_PROCESS, object.clone(), sentence)]
        }
        _ => Vec::new(),
    };
    found.extend(judgement.conditions.iter().map(|condition| of_condition(&object, attempt, condition)));
    found
}

/// The finding that the queue calls a job running that does not run.
fn processes_gone(object: &Object, attempt: u32, verdict: &Verdict) -> Finding {
    let sentence = match verdict {
        Verdict::Ended(exit) => match (exit.exit_code, exit.signal) {
            (Some(code), _) => format!("attempt {attempt} has ended with exit status {code}"),
            (None, Some(signal)) => format!("attempt {attempt} was ended by signal {signal}"),
            (None, None) => format!("attempt {attempt} has ended"),
        },
        Verdict::DeadByReboot => format!("attempt {attempt} ended with an earlier boot of this machine"),
        Verdict::NeverStarted => format!("attempt {attempt} was claimed and never begun"),
        _ => format!("attempt {attempt} has no process any more, and no record of its end"),
    };
    Finding::new(
        &catalogue::JOB_PROCESSES_GONE,
        object.clone(),
        format!("{sentence}; it still counts as running"),
    )
}

/// Findings about a running job, for `jobs show`.
pub(crate) fn conditions_of(judgement: &Judgement) -> Vec<ConditionReport> {
    let object = Object::job(&judgement.job_id);
    let report = |condition: &Condition| {
        let finding = of_condition(&object, judgement.attempt, condition);
        let pids = condition.processes().iter().map(|p| p.pid).collect();
        ConditionReport { condition: condition.as_str().to_owned(), pids, detail: finding.sentence }
    };
    let gone = (judgement.liveness() == Liveness::Dead).then(|| ConditionReport {
        condition: "processes_gone".to_owned(),
        pids: Vec::new(),
        detail: processes_gone(&object, judgement.attempt, &judgement.verdict).sentence,
    });
    gone.into_iter().chain(judgement.conditions.iter().map(report)).collect()
}

fn of_condition(object: &Object, attempt: u32, condition: &Condition) -> Finding {
    let (entry, sentence) = match condition {
        Condition::HeartbeatStale { age_ms } => (
            &catalogue::JOB_HEARTBEAT_STALE,
            format!("its last heartbeat is {} old", human::duration(age_ms.unsigned_abs())),
        ),
        Condition::Hung { age_ms } => (
            &catalogue::JOB_HUNG,
            format!(
                "attempt {attempt} is alive, but its last heartbeat is {} old",
                human::duration(age_ms.unsigned_abs())
            ),
        ),
        Condition::ClockSkew { ahead_ms } => (
            &catalogue::CLOCK_SKEW,
            format!("its heartbeat lies {} in the future", human::duration(ahead_ms.unsigned_abs())),
        ),
        Condition::SupervisorStopped { process } => {
            (&catalogue::JOB_STOPPED, format!("its supervisor, process {}, is stopped", process.pid))
        }
        Condition::CommandStopped { process } => {
            (&catalogue::JOB_STOPPED, format!("its command, process {}, is stopped", process.pid))
        }
        Condition::Zombie { process } => (
            &catalogue::JOB_ZOMBIE,
            format!("its command, process {}, has ended, and its supervisor has not taken note", process.pid),
        ),
        Condition::BootIdentityDiffers => (
            &catalogue::BOOT_IDENTITY_DIFFERS,
            format!("attempt {attempt} lives, and was recorded under another boot id than this process sees"),
        ),
        Condition::OtherUser { process, uid, started_as } => (
            &catalogue::JOB_OTHER_USER,
            format!(
                "its command, process {}, acts as user {uid} and was started as {started_as}",
                process.pid
            ),
        ),
        Condition::CannotEnd { processes } => (&catalogue::JOB_CANNOT_END, cannot_end(attempt, processes)),
        Condition::CancelPending { age_ms } => (
            &catalogue::JOB_CANCEL_PENDING,
            format!(
                "attempt {attempt} still runs {} after its cancel was recorded",
                human::duration(age_ms.unsigned_abs())
            ),
        ),
    };
    let finding = Finding::new(entry, object.clone(), sentence);
    match condition {
        Condition::SupervisorStopped { process } | Condition::CommandStopped { process } => {
            finding.with_next(format!("kill -CONT {}", process.pid))
        }
        _ => finding,
    }
}

fn cannot_end(attempt: u32, processes: &[Withstanding]) -> String {
    let shown: Vec<String> = processes.iter().take(SHOWN).map(described).collect();
    let more = processes.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let pids: Vec<String> = processes.iter().map(|w| w.process.pid.to_string()).collect();
    format!(
        "attempt {attempt} is to be over, but {}{more}; as a user who may: kill -KILL {}",
        shown.join("; "),
        pids.join(" ")
    )
}

fn described(withstanding: &Withstanding) -> String {
    let Withstanding { process, program, why } = withstanding;
    let program = if program.is_empty() { String::new() } else { format!(" ({program})") };
    format!("process {}{program} {why}", process.pid)
}

fn processes_of(processes: &[ProcessIdentity]) -> String {
    let pids: Vec<String> = processes.iter().take(PIDS).map(|process| process.pid.to_string()).collect();
    match (pids.as_slice(), processes.len().saturating_sub(PIDS)) {
        ([], _) => "processes that cannot be seen".to_owned(),
        ([one], _) => format!("process {one}"),
        ([first @ .., last], 0) => format!("processes {} and {last}", first.join(", ")),
        (many, more) => format!("processes {} and {more} more", many.join(", ")),
    }
}

/// Findings on why queued jobs cannot be started, or why crashed ones could not be.
pub(crate) fn of_failed_starts(state: &QueueState) -> Vec<Finding> {
    state.jobs().filter_map(of_failed_start).collect()
}

/// The same for one job.
pub(crate) fn of_failed_start(job: &Job) -> Option<Finding> {
    let is_failing = job.status == JobStatus::Queued && job.run_state().failed_starts >= FAILING;
    is_failing.then(|| start_failing(job)).or_else(|| is_not_started(job).then(|| not_started(job)))
}

/// Whether the job was given up because no supervisor could be started for it.
pub(crate) fn is_not_started(job: &Job) -> bool {
    job.status == JobStatus::Crashed && job.run_state().failed_starts > 0
}

/// The finding about queued jobs whose pause a clock that was ahead has set; the first of them by name.
pub(crate) fn of_clock(state: &QueueState, now: Timestamp) -> Vec<Finding> {
    let mut ahead = state.queued().filter_map(|job| Some((job, job.clock_was_ahead(now)?)));
    let named = ahead.by_ref().take(NAMED).map(|(job, by_ms)| {
        let until = job.not_before.unwrap_or(now);
        let sentence = format!(
            "its pause until {until} is {} longer than it was made for",
            human::duration(by_ms.unsigned_abs())
        );
        Finding::new(&catalogue::CLOCK_WAS_AHEAD, Object::job(&job.id), sentence)
    });
    let mut found: Vec<Finding> = named.collect();
    let more = ahead.count();
    if more > 0 {
        let sentence =
            format!("{} with a pause that is longer than it was made for", human::count(more, "more job"));
        let rest = Finding::new(&catalogue::CLOCK_WAS_AHEAD, Object::Jobs, sentence);
        found.push(rest.with_next("recoveryctl jobs list"));
    }
    found
}

fn start_failing(job: &Job) -> Finding {
    let last =
        job.run_state().history.iter().rev().find_map(|t| t.reason.as_deref()).unwrap_or("no reason known");
    let sentence = format!("it failed to start {} times in a row: {last}", job.run_state().failed_starts);
    Finding::new(&catalogue::JOB_START_FAILING, Object::job(&job.id), sentence)
}

fn not_started(job: &Job) -> Finding {
    let reason = job.run_state().reason.as_deref().unwrap_or("its supervisor did not come up");
    Finding::new(&catalogue::JOB_NOT_STARTED, Object::job(&job.id), reason.to_owned())
}
