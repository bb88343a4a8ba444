//! Operations on jobs.

mod cancel;
mod failed;
pub mod ids;
mod list;
mod metrics;
mod output;
mod resume;
mod sentinels;
mod show;
mod status;

pub use cancel::{CancelJobs, CancelReport, CancelledJob, RefusedCancel};
pub use failed::FailedJobsRequest;
pub use list::ListJobs;
pub use metrics::JobMetricsRequest;
pub use output::{OutputReport, ShowOutput, output_withheld, printed};
pub use resume::{RefusedResume, ResumeJobs, ResumeReport};
pub use sentinels::SentinelsRequest;
pub use show::ShowJob;
pub use status::JobsStatusRequest;
