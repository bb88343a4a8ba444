//! A cleanup, as its progress file stores it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::LONGEST_PAUSE;
use crate::archive::Judged;
use crate::durable::tree::TreeIdentity;
use crate::queue::JobId;
use crate::state::Timestamp;
use crate::system::docker::{DockerKind, DockerObject};

/// The version of the file's form; a file of a later version is left alone.
pub(super) const FORMAT: u32 = 1;

/// The step that renames the workspace into the trash.
pub(super) const TAKE: &str = "take";

/// The note that the engine had no container of the job any more.
pub(super) const CONTAINERS_GONE: &str = "no container of the job is left";

/// A phase of a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CleanupPhase")]
#[serde(rename_all = "snake_case")]
pub enum CleanupPhaseName {
    /// The workspace's code index.
    Cidx,
    /// Containers, networks, volumes.
    Docker,
    /// The workspace.
    Filesystem,
}

impl CleanupPhaseName {
    /// All phases, in order.
    pub(crate) const ALL: [CleanupPhaseName; 3] =
        [CleanupPhaseName::Cidx, CleanupPhaseName::Docker, CleanupPhaseName::Filesystem];

    pub const fn as_str(self) -> &'static str {
        match self {
            CleanupPhaseName::Cidx => "cidx",
            CleanupPhaseName::Docker => "docker",
            CleanupPhaseName::Filesystem => "filesystem",
        }
    }
}

/// Where a phase stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CleanupPhaseStatus")]
#[serde(rename_all = "snake_case")]
pub enum CleanupPhaseStatus {
    /// Not begun.
    Pending,
    /// Begun.
    Running,
    /// All of it is gone.
    Done,
    /// It is tried again at `next_try_at`.
    Failed,
    /// There was nothing to do it with, or an operator passed it over.
    Skipped,
    /// It is not tried again before an operator says so.
    Parked,
}

impl CleanupPhaseStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            CleanupPhaseStatus::Pending => "pending",
            CleanupPhaseStatus::Running => "running",
            CleanupPhaseStatus::Done => "done",
            CleanupPhaseStatus::Failed => "failed",
            CleanupPhaseStatus::Skipped => "skipped",
            CleanupPhaseStatus::Parked => "parked",
        }
    }

    /// Whether nothing more happens in the phase unless an operator acts.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, CleanupPhaseStatus::Done | CleanupPhaseStatus::Skipped)
    }
}

/// The act of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum StepWhat {
    /// Runs the index tool in the workspace.
    Uninstall {
        folder: PathBuf,
        /// The identity of that folder.
        identity: TreeIdentity,
    },
    /// Removes an object of the engine.
    Remove(DockerObject),
    /// Keeps uncommitted work of the workspace's repository.
    Archive {
        /// The repository's folder.
        folder: PathBuf,
        /// Where the work is kept.
        to: PathBuf,
    },
    /// Renames a folder into the trash.
    Take {
        folder: PathBuf,
        /// The identity of that folder.
        identity: TreeIdentity,
        /// Its name in the trash.
        trash: PathBuf,
    },
    /// Deletes the folder in the trash.
    Delete {
        /// Its name there.
        trash: PathBuf,
    },
}

/// One step, with its intent and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in this cleanup: `container:ID`, `take`, `delete`.
    pub step: String,
    /// What it does.
    pub what: StepWhat,
    /// When its intent was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
    /// How often its intent was written since a step last had a result.
    #[serde(default)]
    pub intents: u32,
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_at: Option<Timestamp>,
    /// Its result: `removed`, `already_gone`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Why it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The note of the judgement of the folder's git work.
    #[serde(flatten)]
    pub judged: Judged,
}

impl Step {
    pub(super) fn new(step: impl Into<String>, what: StepWhat) -> Step {
        Step {
            step: step.into(),
            what,
            begun_at: None,
            intents: 0,
            done_at: None,
            result: None,
            error: None,
            judged: Judged::default(),
        }
    }

    /// Whether a crash interrupted it.
    pub(crate) fn is_open(&self) -> bool {
        self.intents > 0 && self.done_at.is_none() && self.error.is_none()
    }
}

/// A phase with its steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupPhase {
    pub phase: CleanupPhaseName,
    /// The state of the phase.
    pub status: CleanupPhaseStatus,
    /// How often the phase was begun.
    #[serde(default)]
    pub attempts: u32,
    /// How often in a row the phase failed.
    #[serde(default)]
    pub failures: u32,
    /// How often in a row the files were in use.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waits: u32,
    /// How many things are gone: containers, entries of the workspace, …
    #[serde(default)]
    pub items_done: u64,
    /// How many things were found.
    #[serde(default)]
    pub items_total: u64,
    /// Why the phase is not done, or why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the phase is not done because git work could be lost; waiting does not change that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_work_at_risk: bool,
    /// When the phase is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    /// Remarks, and the last output of the index tool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Its steps, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl CleanupPhase {
    /// Returns when the phase is tried again, seen from `now`. A time further away than the longest pause was
    /// written while the clock was ahead: the phase is then due now.
    pub(super) fn tries_again_at(&self, now: Timestamp) -> Option<Timestamp> {
        let longest = i64::try_from(LONGEST_PAUSE.as_millis()).unwrap_or(i64::MAX);
        self.next_try_at.map(|at| if at.millis_since(now) > longest { now } else { at })
    }

    fn new(phase: CleanupPhaseName) -> CleanupPhase {
        CleanupPhase {
            phase,
            status: CleanupPhaseStatus::Pending,
            attempts: 0,
            failures: 0,
            waits: 0,
            items_done: 0,
            items_total: 0,
            error: None,
            is_work_at_risk: false,
            next_try_at: None,
            notes: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Returns the first step that is not done.
    pub(crate) fn next_step(&self) -> Option<&Step> {
        self.steps.iter().find(|s| s.done_at.is_none())
    }
}

/// Why there is a cleanup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CleanupSource")]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The job was submitted with `--auto-cleanup`.
    Auto,
    /// Somebody asked for it.
    Asked,
    /// The job was pruned: it is in the queue no more.
    Pruned,
}

/// Where a cleanup went on after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumedFrom {
    /// The phase.
    pub phase: CleanupPhaseName,
    /// The first step that was not done.
    pub step: String,
}

/// The status of a cleanup as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CleanupStatus {
    /// Not begun, or interrupted.
    Pending,
    /// Somebody works on it.
    Running,
    /// A phase failed and is tried again later.
    Waiting,
    /// The rest waits for an operator.
    Parked,
    /// Over.
    Completed,
}

impl CleanupStatus {
    pub const fn as_str(self) -> &'static str {
        match self {
            CleanupStatus::Pending => "pending",
            CleanupStatus::Running => "running",
            CleanupStatus::Waiting => "waiting",
            CleanupStatus::Parked => "parked",
            CleanupStatus::Completed => "completed",
        }
    }
}

/// A cleanup, as its file stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupRecord {
    /// The version of the file's form.
    pub format: u32,
    /// Its id: the job's, a dot, the attempt.
    pub cleanup_id: String,
    /// The job whose leftovers are removed.
    pub job_id: JobId,
    /// The attempt that the cleanup is for: a later attempt overtakes it.
    pub attempt: u32,
    /// Why the cleanup exists.
    pub source: Source,
    /// Who requested it.
    pub by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the job was submitted: an object that matches only by name must not be older.
    pub submitted_at: Timestamp,
    /// When work on it first began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
    /// Whether a process works on it, or did when it was interrupted.
    #[serde(default)]
    pub under_way: bool,
    /// Where it continued after the last crash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<ResumedFrom>,
    /// A later attempt of the job ended it early.
    #[serde(default)]
    pub overtaken: bool,
    /// Disk space given back, in bytes.
    #[serde(default)]
    pub bytes_freed: u64,
    /// The three phases.
    pub phases: Vec<CleanupPhase>,
}

impl CleanupRecord {
    pub(super) fn new(id: String, job: &crate::queue::Job, source: Source, at: Timestamp) -> CleanupRecord {
        CleanupRecord {
            format: FORMAT,
            cleanup_id: id,
            job_id: job.id.clone(),
            attempt: job.attempt,
            source,
            by: String::new(),
            why: None,
            created_at: at,
            submitted_at: job.submitted_at,
            begun_at: None,
            under_way: false,
            resumed_from: None,
            overtaken: false,
            bytes_freed: 0,
            phases: CleanupPhaseName::ALL.map(CleanupPhase::new).to_vec(),
        }
    }

    /// Returns a phase.
    pub(crate) fn phase(&self, name: CleanupPhaseName) -> Option<&CleanupPhase> {
        self.phases.iter().find(|p| p.phase == name)
    }

    /// Returns a phase to be changed. The phase is added when the file does not have it, because a later
    /// version renamed it.
    pub(super) fn phase_mut(&mut self, name: CleanupPhaseName) -> &mut CleanupPhase {
        let at = match self.phases.iter().position(|p| p.phase == name) {
            Some(at) => at,
            None => {
                self.phases.push(CleanupPhase::new(name));
                self.phases.len() - 1
            }
        };
        &mut self.phases[at]
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        self.overtaken
            || CleanupPhaseName::ALL.iter().all(|&n| self.phase(n).is_some_and(|p| p.status.is_over()))
    }

    /// Returns the cleanup's status; `runs` tells whether a process works on cleanups now.
    pub(crate) fn status(&self, runs: bool) -> CleanupStatus {
        let has = |status| self.phases.iter().any(|p| p.status == status);
        if self.is_over() {
            CleanupStatus::Completed
        } else if self.under_way && runs {
            CleanupStatus::Running
        } else if self.under_way || self.begun_at.is_none() {
            CleanupStatus::Pending
        } else if has(CleanupPhaseStatus::Failed) {
            CleanupStatus::Waiting
        } else if has(CleanupPhaseStatus::Parked) {
            CleanupStatus::Parked
        } else {
            CleanupStatus::Pending
        }
    }

    /// Returns the phase that is next, or under way.
    pub(crate) fn current_phase(&self) -> Option<CleanupPhaseName> {
        let open = |wanted: fn(CleanupPhaseStatus) -> bool| self.phases.iter().find(|p| wanted(p.status));
        let running = open(|s| s == CleanupPhaseStatus::Running);
        running.or_else(|| open(|s| !s.is_over())).map(|p| p.phase)
    }

    /// Returns the first step that is not done, for a cleanup that was interrupted.
    pub(crate) fn open_step(&self) -> Option<ResumedFrom> {
        let phase =
            self.phases.iter().find(|p| !p.status.is_over() && p.status != CleanupPhaseStatus::Parked)?;
        let step = phase.next_step().map_or_else(|| "plan".to_owned(), |s| s.step.clone());
        Some(ResumedFrom { phase: phase.phase, step })
    }

    /// Returns when its next try is due, seen from `now`; `None` when there is none. Files that wait for
    /// another phase are due with that phase.
    pub(crate) fn due_at(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = |p: &CleanupPhase| p.phase == CleanupPhaseName::Filesystem && !may_go(self);
        let open =
            self.phases.iter().filter(|p| !p.status.is_over() && p.status != CleanupPhaseStatus::Parked);
        open.filter(|p| !waits(p)).map(|p| p.tries_again_at(now).unwrap_or_default()).min()
    }

    /// Returns how many objects of a kind it has removed itself.
    pub(crate) fn removed(&self, kind: crate::system::docker::DockerKind) -> u64 {
        let steps = self.phase(CleanupPhaseName::Docker).into_iter().flat_map(|p| &p.steps);
        let of_kind = steps.filter(|s| matches!(&s.what, StepWhat::Remove(o) if o.kind == kind));
        of_kind.filter(|s| s.done_at.is_some()).count() as u64
    }
}

/// Whether the files may be removed. They wait for the index, which is in them, until it is gone, skipped or
/// parked; and for every container, which may use them, to be gone.
pub(super) fn may_go(record: &CleanupRecord) -> bool {
    let is_over = |name| record.phase(name).is_some_and(|p| p.status.is_over());
    let is_parked = |name| record.phase(name).is_some_and(|p| p.status == CleanupPhaseStatus::Parked);
    (is_over(CleanupPhaseName::Cidx) || is_parked(CleanupPhaseName::Cidx))
        && (is_over(CleanupPhaseName::Docker) || containers_are_gone(record))
}

/// Whether every container that was found is gone, and the networks were looked for after that.
pub(super) fn containers_are_gone(record: &CleanupRecord) -> bool {
    let Some(phase) = record.phase(CleanupPhaseName::Docker) else { return false };
    let is_container = |s: &&Step| matches!(&s.what, StepWhat::Remove(o) if o.kind == DockerKind::Container);
    phase.notes.iter().any(|n| n == CONTAINERS_GONE)
        && phase.steps.iter().filter(is_container).all(|s| s.done_at.is_some())
}
