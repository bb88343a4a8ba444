//! The environment of a job: the variables it gets, and the marks by which its processes are recognised.

use std::ffi::OsString;

use crate::queue::JobId;
use crate::state::names::encode;
use crate::state::{JobPaths, StateDir};
use crate::system::docker::{LABEL_JOB, LABEL_STATE};

/// Names the job; inherited by its descendants.
pub const JOB_ID: &str = "RECOVERYCTL_JOB_ID";
/// Names the state directory: the same job id may exist in another one.
pub const STATE_DIR: &str = "RECOVERYCTL_STATE_DIR";
/// The state directory's id: it identifies a process when the directory's name no longer leads anywhere.
/// Supervisors have it too.
pub const STATE_ID: &str = "RECOVERYCTL_STATE_ID";
/// The incarnation and the folder of the state directory: a copy, and a backup that was put back, have the id of
/// the original but differ in these.
pub const STATE_INCARNATION: &str = "RECOVERYCTL_STATE_INCARNATION";
/// The role of a server that was started from inside a job, and of its supervisors: `daemon`, `work`, `lock`,
/// `supervisor`. Jobs do not have it, so a process that descends from a job and has it is not the job's.
pub const ROLE: &str = "RECOVERYCTL_ROLE";
/// The number of the attempt, from 1.
pub(crate) const ATTEMPT: &str = "RECOVERYCTL_ATTEMPT";
/// The job's own folder.
pub(crate) const WORKSPACE: &str = "RECOVERYCTL_WORKSPACE";
/// The file that the job may replace to save its progress.
pub(crate) const CHECKPOINT: &str = "RECOVERYCTL_CHECKPOINT";
/// `1` when the attempt continues from a checkpoint.
pub(crate) const RESUMED: &str = "RECOVERYCTL_RESUMED";

/// Options for `docker run`, `docker network create`, `docker volume create` (to be split at blanks): objects
/// with these labels are found and removed with the job.
pub(crate) const DOCKER_LABELS: &str = "RECOVERYCTL_DOCKER_LABELS";
/// The id of the lock on its repository that the job holds.
pub(crate) const LOCK_ID: &str = "RECOVERYCTL_LOCK_ID";
/// That lock's fencing number, for tools that refuse a holder whose number is not the last.
pub(crate) const LOCK_TOKEN: &str = "RECOVERYCTL_LOCK_TOKEN";
/// The state directory that granted the lock, with incarnation and folder; only `lock` sets it.
pub(crate) const LOCK_STATE: &str = "RECOVERYCTL_LOCK_STATE";
pub const REPOSITORY: &str = "RECOVERYCTL_REPOSITORY";

/// The variables of a job that has a repository.
pub(crate) fn of_repository(repository: &str, lock_id: &str, token: u64) -> [(&'static str, String); 3] {
    [(REPOSITORY, repository.to_owned()), (LOCK_ID, lock_id.to_owned()), (LOCK_TOKEN, token.to_string())]
}

/// The variables of a job's command.
pub(crate) fn environment(
    dir: &StateDir,
    paths: &JobPaths,
    job: &JobId,
    attempt: u32,
    resumed: bool,
) -> Vec<(&'static str, OsString)> {
    let mut variables = vec![
        (JOB_ID, job.to_string().into()),
        (ATTEMPT, attempt.to_string().into()),
        (STATE_DIR, dir.paths.root().as_os_str().to_owned()),
        (STATE_ID, dir.identity.state_id.to_string().into()),
        (STATE_INCARNATION, dir.mark().into()),
        (WORKSPACE, paths.workspace.as_os_str().to_owned()),
        (CHECKPOINT, paths.checkpoint().into_os_string()),
        (DOCKER_LABELS, docker_labels(dir, job).into()),
    ];
    if resumed {
        variables.push((RESUMED, "1".into()));
    }
    variables
}

/// The labels as options. Names with blanks are encoded as in file names, so that splitting does no harm.
fn docker_labels(dir: &StateDir, job: &JobId) -> String {
    let job = encode(&job.to_string()).unwrap_or_default();
    format!("--label {LABEL_JOB}={job} --label {LABEL_STATE}={}", dir.identity.state_id)
}

/// All variables about a job except the state directory's path, which servers need too. A server that leaves the
/// job removes these.
pub const OF_JOB: [&str; 11] = [
    JOB_ID,
    STATE_ID,
    STATE_INCARNATION,
    ATTEMPT,
    WORKSPACE,
    CHECKPOINT,
    RESUMED,
    DOCKER_LABELS,
    LOCK_ID,
    LOCK_TOKEN,
    REPOSITORY,
];
