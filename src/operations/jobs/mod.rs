//! Operations on jobs.

mod cancel;
mod failed;
pub mod ids;
mod lines;
mod list;
mod log;
mod metrics;
mod output;
mod print;
mod prune;
mod resume;
mod sentinels;
mod show;
mod status;
mod submit;
mod submit_many;

pub use cancel::{CancelJobs, CancelReport, CancelledJob, RefusedCancel};
pub use failed::FailedJobsRequest;
pub use list::ListJobs;
pub use log::JobLogRequest;
pub use metrics::JobMetricsRequest;
pub use output::{OutputReport, ShowOutput, output_withheld};
pub use print::{PrintOutput, Printed};
pub use prune::{JobsPruned, PruneJobs};
pub use resume::{RefusedResume, ResumeJobs, ResumeReport};
pub use sentinels::SentinelsRequest;
pub use show::ShowJob;
pub use status::JobsStatusRequest;
pub use submit::{SubmitJob, SubmitReport};
pub use submit_many::{LineError, SubmitJobs, SubmitManyReport, SubmittedLine};
