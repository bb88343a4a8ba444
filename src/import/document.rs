//! A judged job as the queue's record of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::value::RawValue;

use super::SOURCE;
use super::evidence::Evidence;
use super::legacy::LegacyJob;
use super::outcome::{Judgement, Verdict};
use super::template::{CommandTemplate, Values};
use crate::queue::{
    Adopted, CrashPolicy, DEFAULT_MAX_ATTEMPTS, EndedAttempt, JobDocument, JobId, JobSpec, JobStatus,
    QueuePosition, RunState, Transition,
};
use crate::state::{Timestamp, names};

/// Everything that a record is made from.
pub(super) struct Source<'a> {
    pub(super) id: &'a JobId,
    pub(super) job: &'a LegacyJob,
    pub(super) evidence: &'a Evidence,
    pub(super) judgement: &'a Judgement,
    pub(super) template: &'a CommandTemplate,
    /// When the job file, or else the folder, was last written.
    pub(super) recorded_at: Timestamp,
    pub(super) boot_id: &'a str,
    /// Where the running script writes its output.
    pub(super) output_path: PathBuf,
    pub(super) is_reconstructed: bool,
    /// The job's process could not be killed: it goes on, and its end is requested.
    pub(super) withstood: bool,
}

impl Source<'_> {
    pub(super) fn status(&self) -> JobStatus {
        match self.judgement.verdict {
            Verdict::Queued { .. } => JobStatus::Queued,
            Verdict::Running(_) => JobStatus::Running,
            Verdict::Cancelled { .. } if self.withstood => JobStatus::Running,
            Verdict::Cancelled { .. } => JobStatus::Cancelled,
            Verdict::Over { status, .. } => status,
            // A job with this verdict never becomes a record.
            Verdict::LeftOut => JobStatus::Crashed,
        }
    }

    /// Makes the record.
    pub(super) fn document(&self) -> Result<JobDocument, serde_json::Error> {
        let spec = serde_json::value::to_raw_value(&self.spec())?;
        Ok(self.document_with(spec))
    }

    fn document_with(&self, spec: Box<RawValue>) -> JobDocument {
        JobDocument {
            job_id: self.id.clone(),
            status: self.status(),
            attempt: 1,
            place: QueuePosition { seq: 0, index: 0 },
            priority: 0,
            repository: self.repository().map(Arc::from),
            submitted_at: self.submitted_at(),
            not_before: None,
            run_state: Some(Box::new(self.run_state())),
            spec,
        }
    }

    pub(super) fn repository(&self) -> Option<&str> {
        self.job.repository.as_deref().filter(|name| names::encode(name).is_ok())
    }

    fn submitted_at(&self) -> Timestamp {
        let known = self.job.created_at.or(self.job.started_at);
        known.map_or_else(|| self.evidence.last_sign.unwrap_or(self.recorded_at), millis)
    }

    fn spec(&self) -> JobSpec {
        let folder = self.working_folder();
        JobSpec {
            command: self.command(folder.as_deref()),
            env: self.job.environment.clone(),
            cwd: folder,
            timeout_ms: self.job.timeout_ms,
            on_crash: CrashPolicy::Hold,
            max_attempts: DEFAULT_MAX_ATTEMPTS,
            // A cleanup would remove the former server's folder, which is not ours.
            auto_cleanup: false,
            title: self.job.title.clone(),
            ..JobSpec::default()
        }
    }

    /// Returns the job's own copy of the repository: in this workspace if it is there, or else where its
    /// record says.
    fn working_folder(&self) -> Option<PathBuf> {
        let recorded = || self.job.cow_path.clone().filter(|path| path.is_absolute() && path.is_dir());
        self.evidence.folder.clone().or_else(recorded)
    }

    /// Makes the command from the template. When the prompt is lost but the script exists, the command is
    /// that script again.
    fn command(&self, folder: Option<&Path>) -> Vec<String> {
        if let (None, Some(script)) = (&self.job.prompt, &self.evidence.script)
            && self.is_reconstructed
        {
            return vec!["/bin/sh".to_owned(), script.to_string_lossy().into_owned()];
        }
        let id = self.id.to_string();
        let folder = folder.map(Path::to_string_lossy).unwrap_or_default();
        self.template.command(&Values {
            prompt: self.job.prompt.as_deref().unwrap_or_default(),
            title: self.job.title.as_deref().unwrap_or_default(),
            repository: self.job.repository.as_deref().unwrap_or_default(),
            workspace: &folder,
            id: &id,
        })
    }

    fn run_state(&self) -> RunState {
        let status = self.status();
        let started_at = self.started_at();
        let finished_at = status.is_over().then(|| self.finished_at());
        let has_output = started_at.is_some() || status == JobStatus::Running;
        let adopted = self.adopted();
        RunState {
            started_at,
            finished_at,
            exit_code: self.exit_code(),
            reason: self.judgement.reason.clone(),
            cancel_requested: self.withstood,
            reconstructed: self.is_reconstructed.then(|| self.sources()),
            source: Some(SOURCE.to_owned()),
            output: self.evidence.output_path.clone().filter(|_| has_output && self.has_text()),
            history: self.history(started_at, finished_at),
            attempts: self.attempts(started_at, finished_at),
            adopted,
            ..RunState::default()
        }
    }

    /// Whether the output file has text. An empty file says less than the record, if that holds some output.
    fn has_text(&self) -> bool {
        use super::evidence::OutputTail;
        self.job.output.is_none() || self.evidence.output != OutputTail::Unfinished(0)
    }

    /// Returns the output that only the record holds.
    pub(super) fn recorded_output(&self) -> Option<&str> {
        let text = self.job.output.as_deref()?;
        let elsewhere = self.evidence.output_path.is_some() && self.has_text();
        (self.status().is_over() && !elsewhere).then_some(text)
    }

    fn sources(&self) -> Vec<String> {
        let mut sources = self.evidence.sources();
        if *self.job != LegacyJob::default() {
            sources.push("job file up to the damage".to_owned());
        }
        sources
    }

    fn exit_code(&self) -> Option<i32> {
        match self.judgement.verdict {
            Verdict::Over { exit_code, .. } => exit_code,
            _ => None,
        }
    }

    /// Returns when the job started. A job that had not begun has no start, whatever its record says.
    fn started_at(&self) -> Option<Timestamp> {
        if self.status() == JobStatus::Queued {
            return None;
        }
        let by_evidence = || self.evidence.was_started().then(|| self.submitted_at());
        self.job.started_at.map(millis).or_else(by_evidence)
    }

    fn finished_at(&self) -> Timestamp {
        let known = match self.status() {
            JobStatus::Cancelled => self.job.cancelled_at.or(self.job.completed_at),
            JobStatus::Crashed => None,
            _ => self.job.completed_at,
        };
        known.map(millis).or(self.evidence.last_sign).unwrap_or(self.recorded_at)
    }

    fn adopted(&self) -> Option<Adopted> {
        let process = match self.judgement.verdict {
            Verdict::Running(process) => process,
            Verdict::Cancelled { process } if self.withstood => process?,
            _ => return None,
        };
        Some(Adopted {
            pid: process.pid,
            start_time: process.start_time,
            boot_id: self.boot_id.to_owned(),
            booted_at: crate::system::Host::this().booted_at,
            output: self.output_path.clone(),
        })
    }

    fn history(&self, started: Option<Timestamp>, finished: Option<Timestamp>) -> Vec<Transition> {
        let by = Some(SOURCE.to_owned());
        let step = |at, status, reason| Transition { at, status, attempt: 1, reason, by: by.clone() };
        let mut history: Vec<Transition> =
            started.map(|at| step(at, JobStatus::Running, None)).into_iter().collect();
        history.extend(finished.map(|at| step(at, self.status(), self.judgement.reason.clone())));
        history
    }

    fn attempts(&self, started: Option<Timestamp>, finished: Option<Timestamp>) -> Vec<EndedAttempt> {
        let (Some(started), Some(finished_at)) = (started, finished) else { return Vec::new() };
        vec![EndedAttempt {
            attempt: 1,
            status: self.status(),
            started_at: Some(started),
            finished_at,
            exit_code: self.exit_code(),
            signal: None,
            reason: self.judgement.reason.clone(),
            ended_by: None,
            evidence: Vec::new(),
        }]
    }
}

/// Rounds a time to milliseconds: anything finer matters only for the order.
pub(super) fn millis(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millisecond())
}
