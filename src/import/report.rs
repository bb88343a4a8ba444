//! What an import found and did, as a report.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::findings::Finding;
use crate::queue::{JobId, JobStatus};

/// The report of one import. Paths are texts: names in the workspace need not be valid UTF-8.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImportReport {
    /// The workspace, without links.
    pub workspace: String,
    /// Whether nothing was changed and the report says what would be.
    pub dry_run: bool,
    /// Every job of the workspace that is in the queue now (or would be), in the order of the records.
    pub jobs: Vec<ImportedJob>,
    /// How many jobs were taken over.
    pub imported: usize,
    /// How many were in the queue already and were left alone.
    pub unchanged: usize,
    /// The jobs by status.
    #[serde(flatten)]
    pub counts: ImportCounts,
    /// Job files that are damaged or could not be used.
    pub quarantined: Vec<QuarantinedFile>,
    /// Folders that no job owns, as far as the workspace shows. They are untouched.
    pub orphans: Vec<OrphanCandidate>,
    /// Findings for the operator.
    pub findings: Vec<Finding>,
}

/// How many jobs have each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs)] // The members are the statuses.
pub struct ImportCounts {
    pub queued: usize,
    pub running: usize,
    pub succeeded: usize,
    pub failed: usize,
    pub timed_out: usize,
    pub crashed: usize,
    pub cancelled: usize,
}

impl ImportCounts {
    /// Counts a job with this status.
    pub(crate) fn add(&mut self, status: JobStatus) {
        *match status {
            JobStatus::Queued => &mut self.queued,
            JobStatus::Running => &mut self.running,
            JobStatus::Succeeded => &mut self.succeeded,
            JobStatus::Failed => &mut self.failed,
            JobStatus::TimedOut => &mut self.timed_out,
            JobStatus::Crashed => &mut self.crashed,
            JobStatus::Cancelled => &mut self.cancelled,
        } += 1;
    }
}

/// Whether a job was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobAction {
    /// The job was taken over now (or would be, in a dry run).
    Imported,
    /// It was in the queue before.
    Unchanged,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedJob {
    /// Its id.
    pub job_id: JobId,
    /// Whether it was taken over now.
    pub action: JobAction,
    /// Its status.
    pub status: JobStatus,
    /// For queued jobs: the place among this workspace's queued jobs, 1 for the next.
    pub position: Option<usize>,
    /// Its exit status.
    pub exit_code: Option<i32>,
    /// The living process of a running job.
    pub pid: Option<u32>,
    /// Why it has this status.
    pub reason: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// The repository it works on.
    pub repository: Option<String>,
    /// All evidence; empty for an unchanged job.
    pub evidence: Vec<String>,
    /// The files from which its record was rebuilt; null for an undamaged one.
    pub reconstructed: Option<Vec<String>>,
    /// Where its staged uploads are.
    pub staging: Option<String>,
}

/// A file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedFile {
    /// The file in the workspace; it is still there.
    pub path: String,
    /// The id in its name, when that is one.
    pub job_id: Option<String>,
    /// The copy in the state directory's quarantine; null in a dry run, or when nothing could be copied.
    pub kept_as: Option<String>,
    /// What is damaged in it.
    pub reason: String,
}

/// The kind of a folder that no job owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanKind {
    /// A job's folder without a job file.
    JobDirectory,
    /// Uploads of a job that is unknown or over.
    StagingDirectory,
}

/// A folder that may be removed after somebody has looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanCandidate {
    /// What it is.
    pub kind: OrphanKind,
    /// Where it is.
    pub path: String,
    /// The id in its name.
    pub id: String,
    /// A living process that works for it: the folder must not be removed then.
    pub live_pid: Option<u32>,
}

/// A path as text; what is not valid UTF-8 is replaced.
pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
