//! What becomes of a job: one total function of its record and the evidence.
//!
//! An exit line is the strongest evidence: the script writes it as its last act, so the job has ended even
//! when the PID names a living process. Next comes a living process that is provably the job's script. When
//! the record says that the job had not begun, but its folder shows that it had, the evidence decides, so
//! that nothing runs twice.

use super::evidence::{Evidence, OutputTail, PidFile, ProcessEvidence};
use super::legacy::{LegacyJob, LegacyStatus};
use crate::queue::JobStatus;
use crate::system::ProcessIdentity;

/// What a job becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It waits for its turn.
    Queued {
        /// Whether it comes before the jobs that had only waited, because its preparation was interrupted.
        ahead: bool,
    },
    /// Its process lives and is watched from now on.
    Running(ProcessIdentity),
    /// The job is over.
    Over {
        /// Its status.
        status: JobStatus,
        /// Its exit status, if it had one.
        exit_code: Option<i32>,
    },
    /// The job is over at a user's request, when this process has ended.
    Cancelled {
        /// The job's script, if it lives.
        process: Option<ProcessIdentity>,
    },
    /// It cannot be determined whether the job runs: nothing is changed.
    LeftOut,
}

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for the job's record.
    pub reason: Option<String>,
    /// All evidence, for people.
    pub evidence: Vec<String>,
}

/// Judges a job. Without a record (its file is damaged) the evidence alone decides.
pub(super) fn judge(record: Option<&LegacyJob>, evidence: &Evidence) -> Judgement {
    let status = record.and_then(|job| job.status);
    let (verdict, reason) = match (status, record) {
        (Some(status), Some(job)) => by_record(status, job, evidence),
        _ => by_evidence(evidence),
    };
    let mut told = Vec::new();
    told.push(match status {
        Some(status) => format!("its record says {} ({})", status.name(), status as i32),
        None => "its record cannot be used".to_owned(),
    });
    told.extend(evidence.sentences());
    Judgement { verdict, reason, evidence: told }
}

fn by_record(status: LegacyStatus, job: &LegacyJob, evidence: &Evidence) -> (Verdict, Option<String>) {
    use LegacyStatus as S;
    let ended = |status, reason: Option<String>| {
        let line = if let OutputTail::Ended(code) = evidence.output { Some(code) } else { None };
        (Verdict::Over { status, exit_code: job.exit_code.or(line) }, reason)
    };
    match status {
        S::Created | S::Queued | S::GitPulling | S::CidxIndexing | S::CidxReady if evidence.was_started() => {
            by_evidence(evidence)
        }
        S::Created => crashed("its server crashed before it could start it"),
        S::Queued => (Verdict::Queued { ahead: false }, None),
        S::GitPulling | S::CidxIndexing | S::CidxReady => {
            let reason = format!("interrupted while {}, before its process was started", doing(status));
            (Verdict::Queued { ahead: true }, Some(reason))
        }
        S::Running => by_evidence(evidence),
        S::Completed => ended(JobStatus::Succeeded, None),
        S::Failed => ended(JobStatus::Failed, None),
        S::Timeout => ended(JobStatus::TimedOut, Some("it exceeded its time limit".to_owned())),
        S::Terminated => ended(JobStatus::Failed, Some("terminated".to_owned())),
        S::GitFailed => {
            let pull = job.git_pull_status.as_deref().unwrap_or("unknown");
            ended(JobStatus::Failed, Some(format!("bringing its repository up to date failed ({pull})")))
        }
        S::Cancelling => cancelling(job, evidence),
        S::Cancelled => ended(JobStatus::Cancelled, job.cancel_reason.clone()),
    }
}

fn doing(status: LegacyStatus) -> &'static str {
    match status {
        LegacyStatus::GitPulling => "its repository was brought up to date",
        LegacyStatus::CidxIndexing => "its copy was indexed",
        _ => "it was about to start",
    }
}

fn cancelling(job: &LegacyJob, evidence: &Evidence) -> (Verdict, Option<String>) {
    let reason = job.cancel_reason.clone();
    match &evidence.process {
        ProcessEvidence::Script { process, .. } => (Verdict::Cancelled { process: Some(*process) }, reason),
        ProcessEvidence::Hidden(_) => (Verdict::LeftOut, None),
        _ => (Verdict::Cancelled { process: None }, reason),
    }
}

/// Judges by the evidence, as for a job whose record says that it runs.
fn by_evidence(evidence: &Evidence) -> (Verdict, Option<String>) {
    match (&evidence.output, &evidence.process) {
        (OutputTail::Ended(0), _) => {
            (Verdict::Over { status: JobStatus::Succeeded, exit_code: Some(0) }, None)
        }
        (OutputTail::Ended(code), _) => {
            (Verdict::Over { status: JobStatus::Failed, exit_code: Some(*code) }, None)
        }
        (_, ProcessEvidence::Script { process, .. }) => (Verdict::Running(*process), None),
        (_, ProcessEvidence::Hidden(_)) | (OutputTail::Unreadable(_), _) => (Verdict::LeftOut, None),
        (_, ProcessEvidence::Stranger { pid, .. }) => {
            crashed(&format!("its process is gone; PID {pid} belongs to another process now"))
        }
        (_, ProcessEvidence::Gone(_)) => crashed("its process is gone and left no exit line"),
        (_, ProcessEvidence::None) => match evidence.pid_file {
            PidFile::Absent => crashed("its process was never started"),
            _ => crashed("its PID file names no process and its output has no exit line"),
        },
    }
}

fn crashed(reason: &str) -> (Verdict, Option<String>) {
    (Verdict::Over { status: JobStatus::Crashed, exit_code: None }, Some(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const LIVE: ProcessIdentity = ProcessIdentity { pid: 4711, start_time: 9 };

    fn evidence(pid_file: PidFile, output: OutputTail, process: ProcessEvidence) -> Evidence {
        let folder = Some(PathBuf::from("/w/jobs/7"));
        Evidence { folder, pid_file, output, process, ..Evidence::nothing() }
    }

    fn script() -> ProcessEvidence {
        ProcessEvidence::Script { process: LIVE, found_by: "the PID file" }
    }

    fn stranger() -> ProcessEvidence {
        ProcessEvidence::Stranger { pid: 1, command: "init".to_owned() }
    }

    fn record(status: LegacyStatus) -> LegacyJob {
        LegacyJob { status: Some(status), ..LegacyJob::default() }
    }

    fn over(status: JobStatus, exit_code: Option<i32>) -> Verdict {
        Verdict::Over { status, exit_code }
    }

    #[test]
    fn outcome_of_running_by_evidence() {
        use OutputTail::{Absent, Ended, Unfinished, Unreadable};
        let crashed = over(JobStatus::Crashed, None);
        let cases = [
            (PidFile::Pid(9), Ended(0), ProcessEvidence::None, over(JobStatus::Succeeded, Some(0))),
            (PidFile::Pid(9), Ended(3), ProcessEvidence::None, over(JobStatus::Failed, Some(3))),
            (PidFile::Pid(9), Ended(-1), script(), over(JobStatus::Failed, Some(-1))),
            (PidFile::Pid(4711), Unfinished(7), script(), Verdict::Running(LIVE)),
            (PidFile::Absent, Absent, script(), Verdict::Running(LIVE)),
            (PidFile::Pid(4711), Unreadable("no".into()), script(), Verdict::Running(LIVE)),
            (PidFile::Pid(1), Unfinished(7), stranger(), crashed),
            (PidFile::Pid(9), Unfinished(7), ProcessEvidence::Gone(9), crashed),
            (PidFile::Absent, Absent, ProcessEvidence::None, crashed),
            (PidFile::NoPid("is empty".into()), Absent, ProcessEvidence::None, crashed),
            (PidFile::Pid(9), Unfinished(7), ProcessEvidence::Hidden(9), Verdict::LeftOut),
            (PidFile::Pid(9), Unreadable("no".into()), ProcessEvidence::Gone(9), Verdict::LeftOut),
        ];
        for (pid_file, output, process, want) in cases {
            let evidence = evidence(pid_file, output, process);
            assert_eq!(judge(Some(&record(LegacyStatus::Running)), &evidence).verdict, want, "{evidence:?}");
            assert_eq!(judge(None, &evidence).verdict, want, "damaged: {evidence:?}");
        }
    }

    #[test]
    fn outcome_of_not_begun() {
        let nothing = Evidence::nothing();
        for (status, want) in [
            (LegacyStatus::Created, over(JobStatus::Crashed, None)),
            (LegacyStatus::Queued, Verdict::Queued { ahead: false }),
            (LegacyStatus::GitPulling, Verdict::Queued { ahead: true }),
            (LegacyStatus::CidxIndexing, Verdict::Queued { ahead: true }),
            (LegacyStatus::CidxReady, Verdict::Queued { ahead: true }),
        ] {
            assert_eq!(judge(Some(&record(status)), &nothing).verdict, want);
            let copied = evidence(PidFile::Absent, OutputTail::Absent, ProcessEvidence::None);
            assert_eq!(judge(Some(&record(status)), &copied).verdict, want);
            // The folder is right against a record that was not updated.
            let live = evidence(PidFile::Pid(4711), OutputTail::Unfinished(1), script());
            assert_eq!(judge(Some(&record(status)), &live).verdict, Verdict::Running(LIVE));
            let ended = evidence(PidFile::Pid(9), OutputTail::Ended(0), ProcessEvidence::None);
            assert_eq!(judge(Some(&record(status)), &ended).verdict, over(JobStatus::Succeeded, Some(0)));
            let gone = evidence(PidFile::Pid(9), OutputTail::Absent, ProcessEvidence::Gone(9));
            assert_eq!(judge(Some(&record(status)), &gone).verdict, over(JobStatus::Crashed, None));
        }
    }

    #[test]
    fn outcome_of_ended_is_kept() {
        let line = evidence(PidFile::Pid(9), OutputTail::Ended(5), ProcessEvidence::None);
        for (status, want) in [
            (LegacyStatus::GitFailed, JobStatus::Failed),
            (LegacyStatus::Completed, JobStatus::Succeeded),
            (LegacyStatus::Failed, JobStatus::Failed),
            (LegacyStatus::Timeout, JobStatus::TimedOut),
            (LegacyStatus::Terminated, JobStatus::Failed),
            (LegacyStatus::Cancelled, JobStatus::Cancelled),
        ] {
            assert_eq!(judge(Some(&record(status)), &Evidence::nothing()).verdict, over(want, None));
            assert_eq!(judge(Some(&record(status)), &line).verdict, over(want, Some(5)));
            let job = LegacyJob { exit_code: Some(-1), ..record(status) };
            assert_eq!(judge(Some(&job), &line).verdict, over(want, Some(-1)));
        }
        let terminated = judge(Some(&record(LegacyStatus::Terminated)), &line);
        assert_eq!(terminated.reason.as_deref(), Some("terminated"));
    }

    #[test]
    fn outcome_of_cancelling_ends_own_process() {
        let job = record(LegacyStatus::Cancelling);
        let verdict = |process| {
            judge(Some(&job), &evidence(PidFile::Pid(4711), OutputTail::Unfinished(1), process)).verdict
        };
        assert_eq!(verdict(script()), Verdict::Cancelled { process: Some(LIVE) });
        assert_eq!(verdict(stranger()), Verdict::Cancelled { process: None });
        assert_eq!(verdict(ProcessEvidence::Gone(4711)), Verdict::Cancelled { process: None });
        assert_eq!(verdict(ProcessEvidence::Hidden(4711)), Verdict::LeftOut);
    }
}
