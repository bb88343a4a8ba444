//! Acts on verdicts: re-attaches, records ends and crashes, cancels, resumes.
//!
//! A process that acts on a verdict of death holds `sentinel.lock` exclusively, has judged again since it took
//! the lock, and records the result before it releases the lock: no supervisor can begin anything in between. The
//! queue refuses an end of a claim that is not the present one, so that two recoveries record it only once.

mod assume;
mod cancel;
mod ended_files;
mod lost;
mod policy;
mod reattach;
mod reconcile;
mod reconciled_job;
mod reconstruct;
mod resume;
mod unsupervised;

pub use assume::{AssumeRefused, assume_dead};
pub(crate) use cancel::remind;
pub use cancel::{CancelOutcome, Cancellation, cancel};
pub(crate) use ended_files::damaged_files;
pub use policy::RequeuePauses;
pub(crate) use policy::{after_crash, after_failed_start, given_back_for_host};
pub use reattach::{Reattachment, reattach};
pub(super) use reconcile::put_away_what_is_no_lock;
pub use reconcile::{Blame, OnUnsupervised, Reconciled, Reconciliation, RecoverError, RecoverSettings};
pub(crate) use reconcile::{lock_job, reconcile, would_reconcile};
pub(crate) use reconciled_job::ReconciledJob;
pub(crate) use reconstruct::{ReconstructedJob, jobs_with_files, reconstruct};
pub(crate) use resume::would_resume;
pub use resume::{ResumeRefused, ResumeReport, Resumed, resume};
pub(crate) use unsupervised::{UnsupervisedEnd, end_unsupervised};
