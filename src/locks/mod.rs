//! Repository locks: the right of one holder at a time to work on a named repository.
//!
//! Each repository has two files in `locks/`: `<repository>.lock`, the flock target, which also keeps the fencing
//! number, and `<repository>.lock.json`, the holder and its operation. The flock serialises; the metadata
//! survives a crash; [`verdict::judge`] decides by both. A third file, `.<repository>.writing`, is locked for the
//! moment in which the metadata is replaced.
//!
//! A lock of a job belongs to the job. The caller says whether a job is alive, as a [`JobLivenessOf`] function:
//! this module knows nothing of supervisors and sentinels.

mod acquire;
mod availability;
mod caller;
mod command;
mod fencing;
mod fencing_number;
mod findings;
mod folder;
mod grant;
mod held_by;
mod inspector;
mod line;
mod list;
mod marks;
mod metadata;
mod probe;
mod recover;
mod release;
mod repair;
mod request;
mod run_under;
mod scan;
mod stale;
mod verdict;

pub use acquire::{acquire, acquire_for_job, try_acquire};
pub(crate) use availability::{Availability, availability};
pub use caller::Caller;
pub use fencing_number::FencingNumber;
pub(crate) use findings::of_other_incarnations;
pub use grant::{GiveBackError, LockGrant};
pub use held_by::HeldBy;
pub(crate) use line::{Waiter, first_ticket, job_goes_first, waiters};
pub use list::{GrantCopy, LockInfo, inspect, list};
pub(crate) use list::{grant_copy, undecided};
pub use marks::{LOCK_ID_VARIABLE, mark_variable};
pub use metadata::{LockHolder, LockMetadata, LockState, MetadataRead, ReleaseNote, read_metadata};
pub use recover::{LockOutcome, LocksRecovered, RecoveredLock, recover_all, recover_one};
pub(crate) use release::would_release;
pub use release::{Effective, ReleaseRefused, Released, release};
pub(crate) use repair::plan_one;
pub use repair::{JobWitness, LockAct, LockRepair, RunningHolder, plan_repair, repair};
pub use request::{LockRefused, LockRequest, QueuedJobs};
pub use run_under::{RanUnder, RunUnderError, UnderLock, run_under, run_with_lock};
pub(crate) use scan::{OtherTimes, lock_names};
pub use stale::{StaleLock, StaleLocks, UnknownLock, detect_stale, release_stale};
pub(crate) use verdict::JobLivenessOf;
pub use verdict::{Evidence, Flock, HolderEvidence, JobLiveness, Judgement, LockVerdict, Origin, Survivors};
