//! The queue: jobs in order, as an append-only log with snapshots.
//!
//! `queue/log/` and the newest snapshot are authoritative; the last two snapshots, `queue/snapshot-….log`, are
//! kept. Jobs that wait for a repository are simply queued: the waiting line is the queue, so it survives too.
//!
//! - [`JobRequest`] is a request as given; once checked, a [`Submitter`] enters it.
//! - [`append`] enters jobs without reading anything.
//! - [`Queue`] reads, follows and changes it; [`Queue::transact`] decides while no other process can append.
//! - [`QueueState::apply`] is the only place where a job's status changes.

mod bad_request;
mod callback;
mod callback_url;
mod claim;
mod ended_by;
mod ends;
mod export;
mod finish;
mod job;
mod job_log;
mod lines;
mod open;
mod operators;
mod raw_submission;
mod record;
mod repair;
mod request;
mod request_json;
mod request_schema;
mod shared;
mod snapshot;
mod spec;
mod state;
mod store;
mod submit;
mod wire;

pub use crate::audit::Actor;
pub use crate::state::JobId;
pub use bad_request::BadRequest;
pub use callback::Callback;
pub use callback_url::masked_url;
pub use claim::Claim;
pub use ended_by::EndedBy;
pub(crate) use ends::JobEnd;
pub(crate) use export::{Exported, exported};
pub use job::{Adopted, EndedAttempt, Job, JobDocument, JobStatus, QueuePosition, RunState, Transition};
pub use job_log::records_since;
pub(crate) use job_log::{JobLog, RecordsBehind};
pub use open::{Method, Replayed};
pub use operators::{entries_of, is_by_operator, operator_records};
pub(crate) use record::INTERRUPTED;
pub use record::{AfterCrash, AttemptOutcome, End, Operation, Record, Submission};
pub(crate) use repair::{Examined, examine};
pub use repair::{RecoveredQueue, Repaired, recover, repair_files};
pub use request::{CheckedRequest, JobRequest, RequestDefaults};
pub use request_schema::job_request_schema;
pub use shared::{QueueView, SharedQueue};
pub use snapshot::{SnapshotError, SnapshotFile, SnapshotHeader};
pub use spec::{CrashPolicy, DEFAULT_MAX_ATTEMPTS, JobSpec};
pub use state::{Counts, QueueRefusal, QueueState, Step, Totals};
pub(crate) use store::with_jobs_removed_since;
pub use store::{Queue, QueueCheckpoint, QueueError, append, open_log};
pub use submit::{Entered, JobExists, SubmitError, Submitter, Together};
pub use wire::BadRecord;
