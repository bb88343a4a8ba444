//! Jobs as processes: supervisors, liveness, and the recording of ends.

mod adopted;
mod cgroup_name;
mod command_record;
mod conditions;
mod evidence;
mod exit_record;
pub(crate) mod findings;
mod follow;
mod judgement;
mod keeper;
mod kinship;
mod layout_2;
mod living;
mod lock_guard;
pub mod marks;
mod output;
mod process_scan;
mod process_table;
pub mod record;
mod record_text;
mod recover;
mod restored;
#[cfg(test)]
pub(crate) mod samples;
mod sentinel;
mod starts_held;
mod stored;
mod supervise;
mod survivors;
mod traces;
pub(crate) mod trash_slots;
mod verdict;

pub use cgroup_name::leave_attempts_group;
pub(crate) use cgroup_name::{MadeFor, Populated, lock_name, populated, sweep};
pub use command_record::CommandRecord;
pub use conditions::{Condition, Withstanding};
pub use evidence::judge;
pub(crate) use evidence::judge_locked;
pub use exit_record::ExitRecord;
pub(crate) use follow::Follower;
#[cfg(test)]
pub(crate) use judgement::blank;
pub use judgement::{Evidence, JudgeContext, Judgement};
pub use keeper::{keep_output, size_of_output_pipe};
pub use layout_2::{Moved, WhyLeft, move_attempts};
pub use living::{Living, living_of};
pub(crate) use lock_guard::{JobLockGuard, lock_job_files};
pub use output::Output;
pub use process_table::{LivingJob, ProcessTable};
pub use recover::{
    AssumeRefused, Blame, CancelOutcome, Cancellation, OnUnsupervised, Reattachment, Reconciled,
    Reconciliation, RecoverError, RecoverSettings, RequeuePauses, ResumeRefused, ResumeReport, Resumed,
    assume_dead, cancel, reattach, resume,
};
pub(crate) use recover::{
    ReconciledJob, ReconstructedJob, UnsupervisedEnd, after_failed_start, damaged_files, end_unsupervised,
    given_back_for_host, jobs_with_files, lock_job, reconcile, reconstruct, remind, would_reconcile,
    would_resume,
};
pub use restored::notice_restore;
pub use sentinel::{Freshness, FreshnessLimits, Heartbeat, Sentinel};
pub use starts_held::{StartsHeld, starts_held};
pub(crate) use starts_held::{hanging_starts, has_begun};
pub use stored::Stored;
pub use supervise::{
    CommandRequest, HOST_TOO_WEAK, HeldRepository, NotStarted, RepositoryLocker, RepositoryRefused,
    RepositoryRequest, SuperviseError, SuperviseSettings, Supervised, SupervisorHooks, exec_command,
    not_begun, supervise,
};
pub(crate) use survivors::{Survivor, Users, among, of_lock, users_of};
pub(crate) use traces::serves_a_job;
pub use traces::supervisor_above;
pub use verdict::{Liveness, Verdict};
