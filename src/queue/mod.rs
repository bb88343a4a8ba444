//! The queue: jobs in order, as an append-only log and the snapshots of it.

mod id;
mod job;
mod record;
mod spec;

pub use id::JobId;
pub use job::{Adopted, Attempt, Course, Job, JobDocument, JobStatus, Place, Transition};
pub use record::{Actor, AfterCrash, End, Operation, Outcome, Record, Submission};
pub use spec::{Callback, CrashPolicy, DEFAULT_MAX_ATTEMPTS, JobSpec};
