//! What can be asked of the product: one file an operation, the public face of the library.
//!
//! An operation is a request, a report and what leads from one to the other ([`Operation`]). It gathers, checks, acts
//! and writes the audit entry, and knows dry runs, confirmations and what a repeated request must not do twice. Front
//! ends only carry: the command line parses into a request and renders the report, HTTP deserialises and serialises,
//! the dashboards ask for the same reports.
//!
//! To add one: a file with the request (its fields are arguments, query parameters and members of the body at once),
//! the report and `impl Operation`, and a line in [`TABLE`].

mod absent;
pub mod arguments;
pub mod cleanup;
mod context;
mod entry;
mod error;
pub mod findings;
pub mod health;
pub mod history;
mod inside;
pub mod interrupt;
pub mod jobs;
pub mod locks;
pub mod orphans;
mod page;
mod prelude;
pub mod queue;
pub mod recovery;
pub mod settings;
pub mod startup;
pub mod state;
pub mod status;
pub mod tokens;
pub mod trail;
pub mod webhooks;
pub mod why;

use entry::row;

pub use context::{Call, Context, FrontEnd, Interrupt, Site, Ticker};
pub use entry::{Answered, Done, Entry, Method, Offer, Operation, Requested, Row, run};
pub use error::{
    Ending, ErrorDocument, ErrorKind, OperationError, PATH_EXPOSED, Partial, exposed, quoted, remedies,
    status_table,
};
pub use inside::Inside;
pub use page::PageRequest;

/// Every operation. Those without a path have no endpoint: a daemon is asked for them by a command line's front end.
pub static TABLE: &[Row] = &[
    row::<queue::QueueStatusRequest>(),
    row::<queue::QueueMetricsRequest>(),
    row::<queue::QueueSnapshotRequest>(),
    row::<queue::RepairQueue>(),
    row::<queue::RepairRequest>(),
    row::<queue::WalStatusRequest>(),
    row::<jobs::JobsStatusRequest>(),
    row::<jobs::SentinelsRequest>(),
    row::<jobs::JobMetricsRequest>(),
    row::<jobs::FailedJobsRequest>(),
    row::<jobs::ResumeJobs>(),
    row::<jobs::SubmitJob>(),
    row::<jobs::SubmitJobs>(),
    row::<jobs::ListJobs>(),
    row::<jobs::ShowJob>(),
    row::<jobs::ShowOutput>(),
    row::<jobs::PrintOutput>(),
    row::<jobs::JobLogRequest>(),
    row::<jobs::PruneJobs>(),
    row::<jobs::CancelJobs>(),
    row::<locks::ActiveLocksRequest>(),
    row::<locks::RecoveredLocksRequest>(),
    row::<locks::InspectLocks>(),
    row::<locks::DetectStaleLocks>(),
    row::<locks::ReleaseLock>(),
    row::<orphans::ScanOrphans>(),
    row::<orphans::OrphanCandidates>(),
    row::<orphans::CleanupOrphans>(),
    row::<orphans::OrphansLogRequest>(),
    row::<orphans::RestoreOrphans>(),
    row::<orphans::EmptyTrash>(),
    row::<cleanup::CleanupStateRequest>(),
    row::<cleanup::QueuedCleanups>(),
    row::<cleanup::ResumingCleanups>(),
    row::<cleanup::CompletedCleanups>(),
    row::<cleanup::ArchiveListRequest>(),
    row::<cleanup::ShowArchive>(),
    row::<cleanup::RestoreArchive>(),
    row::<cleanup::PruneArchives>(),
    row::<cleanup::StartCleanups>(),
    row::<cleanup::RetryCleanup>(),
    row::<cleanup::RunCleanups>(),
    row::<cleanup::SkipCleanupPhase>(),
    row::<startup::StartupDetectionRequest>(),
    row::<startup::CleanupLogRequest>(),
    row::<startup::StartupHistoryRequest>(),
    row::<startup::StartupLogRequest>(),
    row::<startup::ClearStartup>(),
    row::<state::StateRequest>(),
    row::<state::AdoptState>(),
    row::<recovery::PhasesRequest>(),
    row::<recovery::DashboardRequest>(),
    row::<recovery::RecoveryMetricsRequest>(),
    row::<recovery::RecoveryHistoryRequest>(),
    row::<recovery::SkipPhase>(),
    row::<recovery::RetryPhase>(),
    row::<recovery::Recover>(),
    row::<status::StatusRequest>(),
    row::<health::HealthRequest>(),
    row::<findings::ListFindings>(),
    row::<findings::AckFindings>(),
    row::<findings::MuteFindings>(),
    row::<findings::UnmuteFindings>(),
    row::<webhooks::PendingRequest>(),
    row::<webhooks::RecoveredRequest>(),
    row::<webhooks::DeliveryLogRequest>(),
    row::<webhooks::RetryDeliveries>(),
    row::<webhooks::DiscardDeliveries>(),
    row::<webhooks::DeliverWebhooks>(),
    row::<webhooks::TestWebhook>(),
    row::<trail::AuditRequest>(),
    row::<why::WhyRequest>(),
    row::<tokens::RotateTokens>(),
];
