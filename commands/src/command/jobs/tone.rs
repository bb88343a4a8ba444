//! How the status of a job looks.

use recovery::queue::JobStatus;

use crate::paint::Tone;

/// The tone of a status.
pub(crate) fn tone_of(status: JobStatus) -> Tone {
    match status {
        JobStatus::Queued => Tone::Plain,
        JobStatus::Running => Tone::Strong,
        JobStatus::Succeeded => Tone::Good,
        JobStatus::Cancelled => Tone::Faint,
        JobStatus::Failed | JobStatus::TimedOut => Tone::Bad,
        JobStatus::Crashed => Tone::Warning,
    }
}
