//! What was seen on the stage, as plain data: checks and pictures use nothing else.

use std::path::Path;

use recovery::queue::{
    Claim, Job, JobStatus, Operation, Queue, QueueError, QueueState, Record, records_since,
};
use recovery::recovery::RecoveryRecord;
use recovery::state::StateDir;
use serde::Serialize;

/// All of it.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Facts {
    /// Ids that `submit` printed, in that order.
    pub(super) acknowledged: Vec<String>,
    /// The jobs right before the daemon was killed, in order of submission.
    pub(super) before: Vec<JobFact>,
    /// The waiting jobs at that moment, the next first.
    pub(super) line_before: Vec<String>,
    /// What the crash damaged.
    pub(super) damaged: Vec<String>,
    pub(super) recovery: RecoveryFact,
    /// The jobs when the recovery was over.
    pub(super) recovered: Vec<JobFact>,
    /// The waiting jobs at that moment, the next first.
    pub(super) line_after: Vec<String>,
    /// What the recovery did with the repositories' locks.
    pub(super) locks: Vec<LockFact>,
    /// The files of which something is in quarantine.
    pub(super) quarantined: Vec<String>,
    /// The jobs when everything had ended.
    pub(super) end: Vec<JobFact>,
    /// What the jobs and the crash wrote into the witness file, in the order in which it happened.
    pub(super) witness: Vec<Witness>,
    /// What the counting job wrote: the number and the attempt.
    pub(super) counted: Vec<(u32, u32)>,
}

/// One job at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct JobFact {
    pub(super) job_id: String,
    pub(super) status: JobStatus,
    pub(super) attempt: u32,
    pub(super) exit_code: Option<i32>,
    /// At the end: the sequence number of the first claim after the recovery.
    pub(super) claim: Option<Claim>,
}

/// One lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct LockFact {
    pub(super) repository: String,
    /// `kept`, `released`, `unavailable`.
    pub(super) outcome: String,
    pub(super) holder: String,
}

/// The recovery in short.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct RecoveryFact {
    pub(super) outcome: String,
    pub(super) duration_ms: u64,
    /// Phase by phase: name, status, what it says.
    pub(super) phases: Vec<(String, String, String)>,
}

/// The event in a line of the witness file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Start,
    End,
    /// Its processes were killed and are gone.
    Killed,
}

/// A line of the witness file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Witness {
    pub(super) event: Event,
    pub(super) name: String,
    pub(super) attempt: u32,
}

impl JobFact {
    fn of(job: &Job) -> JobFact {
        JobFact {
            job_id: job.id.to_string(),
            status: job.status,
            attempt: job.attempt,
            exit_code: job.run_state().exit_code,
            claim: None,
        }
    }
}

/// Returns the jobs, and those that wait.
pub(super) fn jobs_of(state: &QueueState) -> (Vec<JobFact>, Vec<String>) {
    (state.jobs().map(JobFact::of).collect(), state.queued().map(|j| j.id.to_string()).collect())
}

impl Facts {
    /// Notes how everything ended. The log shows in which order the jobs were claimed after the record
    /// `since`.
    pub(super) fn see_end(&mut self, dir: &StateDir, queue: &Queue, since: u64) -> Result<(), QueueError> {
        self.end = jobs_of(queue.state()).0;
        for (fact, job) in self.end.iter_mut().zip(queue.state().jobs()) {
            let records = records_since(dir, since, &job.id)?;
            let claim = |(seq, record): &(u64, Record)| {
                (*seq > since && matches!(record.operation, Operation::Claim { .. }))
                    .then_some(Claim::of_record(*seq))
            };
            fact.claim = records.iter().find_map(claim);
        }
        Ok(())
    }

    /// Notes what the recovery did, from its record and from the queue that it returned.
    pub(super) fn see_recovery(&mut self, dir: &StateDir, record: &RecoveryRecord, queue: Option<&Queue>) {
        let snapshot = &record.snapshot;
        let phases = snapshot.phases.iter().map(|p| {
            let status = p.status.word().to_owned();
            (p.phase.clone(), status, p.message.clone().unwrap_or_default())
        });
        self.recovery = RecoveryFact {
            outcome: snapshot.outcome.word().to_owned(),
            duration_ms: snapshot.duration_ms,
            phases: phases.collect(),
        };
        if let Some(queue) = queue {
            (self.recovered, self.line_after) = jobs_of(queue.state());
        }
        self.locks = locks_of(record);
        let notes = dir.quarantine().notes();
        self.quarantined = notes.iter().map(|n| shown(&n.from, dir.paths.root())).collect();
    }
}

/// Returns the locks from the record: the same that `locks recovered` shows.
fn locks_of(record: &RecoveryRecord) -> Vec<LockFact> {
    let listed = record.details.get("locks").and_then(|d| d.get("locks")?.as_array().cloned());
    let text = |lock: &serde_json::Value, member: &str| {
        lock.get(member).and_then(|v| v.as_str()).unwrap_or_default().to_owned()
    };
    let fact = |lock: &serde_json::Value| LockFact {
        repository: text(lock, "repository"),
        outcome: text(lock, "outcome"),
        holder: text(lock, "holder"),
    };
    listed.unwrap_or_default().iter().map(fact).collect()
}

/// A path below the state directory.
pub(super) fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

/// Parses the lines of the witness file. An invalid line is left out, and the checks miss it.
pub(super) fn read_witness(text: &str) -> Vec<Witness> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let event = match words.next()? {
            "start" => Event::Start,
            "end" => Event::End,
            "killed" => Event::Killed,
            _ => return None,
        };
        Some(Witness { event, name: words.next()?.to_owned(), attempt: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(line).collect()
}

/// The lines of the counting job: number and attempt.
pub(super) fn read_counted(text: &str) -> Vec<(u32, u32)> {
    let line = |line: &str| {
        let (number, attempt) = line.split_once(' ')?;
        Some((number.parse().ok()?, attempt.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}
