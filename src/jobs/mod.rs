//! Jobs as processes: their supervisors, whether they live, and what became of them.

mod adopted;
mod command_record;
mod conditions;
mod evidence;
mod exit_record;
mod fence;
mod follow;
mod grip;
mod keeper;
mod kinship;
mod layout_2;
pub mod marks;
mod output;
mod process_table;
mod prune;
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
mod verdict;

pub use command_record::CommandRecord;
pub use conditions::{Condition, Withstanding};
#[cfg(test)]
pub(crate) use evidence::blank;
pub use evidence::{Evidence, Judgement, Look, judge};
pub use exit_record::ExitRecord;
pub use fence::leave_attempts_group;
pub(crate) use fence::{MadeFor, Populated, lock_name, populated, sweep};
pub use follow::Follower;
pub use grip::{Grip, Life, grip, life_of};
pub use keeper::{keep_output, size_of_output_pipe};
pub use layout_2::{Moved, WhyLeft, move_attempts};
pub use output::{Output, exit_line};
pub use process_table::{LivingJob, ProcessTable};
pub use prune::{
    KeptJob, PruneError, PruneReport, Pruned, Retention, StillNeeded, TrashEmptied, delete_slots,
    finish_removals, prune, prune_some, slots_without_job, trash_slots, would_prune, would_prune_these,
};
pub use recover::{
    AssumeRefused, Blame, CancelOutcome, Cancellation, DamagedFile, OnOrphan, OrphanEnd, Reattachment,
    RecoverError, RecoverSettings, Remains, RequeuePauses, ResumeRefused, ResumeReport, Resumed, Settled,
    SettledJob, Settlement, after_crash, assume_dead, cancel, damaged_files, end_orphan, reattach, remains,
    remind, resume, settle, would_resume, would_settle,
};
pub(crate) use recover::{after_failed_start, given_back_for_host, jobs_with_files};
pub use restored::notice_restore;
pub use sentinel::{Freshness, FreshnessLimits, Heartbeat, Sentinel};
pub(crate) use starts_held::has_begun;
pub use starts_held::{StartsHeld, hanging_starts, starts_held};
pub use stored::Stored;
pub use supervise::{
    CommandRequest, HOST_TOO_WEAK, HeldRepository, NotStarted, RepositoryGate, RepositoryRefused,
    SuperviseError, SuperviseSettings, Supervised, Surroundings, Visit, exec_command, not_begun, supervise,
};
pub(crate) use survivors::{Survivor, Users, among, of_lock, users_of};
pub(crate) use traces::serves_a_job;
pub use traces::supervisor_above;
pub use verdict::{Liveness, Verdict};
