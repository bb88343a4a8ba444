//! Which job a text names: its id, the beginning of one, `@last`, `@last-failed`.

use recovery::queue::{Job, JobId, JobStatus, QueueState};

use crate::error::{CliError, ErrorKind};

/// A shorter text is not taken for the beginning of an id.
const SHORTEST: usize = 4;
/// So many jobs are named where a text begins the ids of several.
const NAMED: usize = 3;

/// The job that a text names, to look at it.
pub(super) fn find<'a>(state: &'a QueueState, text: &str) -> Result<&'a Job, CliError> {
    look_up(state, text, |_| true)
}

/// The job that a text names, to change it: of names that users gave, the beginning is not enough. A script that has
/// `build-1` in it must not cancel `build-10` once that job is gone.
pub(super) fn find_to_change<'a>(state: &'a QueueState, text: &str) -> Result<&'a Job, CliError> {
    look_up(state, text, JobId::is_uuid)
}

/// A text that no id has is simply no job: it never becomes a path.
fn look_up<'a>(
    state: &'a QueueState,
    text: &str,
    may_be_short: impl Fn(&JobId) -> bool,
) -> Result<&'a Job, CliError> {
    let exact = text.parse::<JobId>().ok().and_then(|id| state.get(&id));
    if let Some(job) = exact {
        return Ok(job);
    }
    let is_failed =
        |job: &&Job| matches!(job.status, JobStatus::Failed | JobStatus::TimedOut | JobStatus::Crashed);
    let found = match text {
        "@last" => state.jobs().max_by_key(|job| job.place),
        "@last-failed" => state.jobs().filter(is_failed).max_by_key(|job| job.course().finished_at),
        _ if text.len() < SHORTEST => None,
        _ => {
            let begins = |job: &&Job| job.id.to_string().starts_with(text) && may_be_short(&job.id);
            let all: Vec<&Job> = state.jobs().filter(begins).collect();
            if all.len() > 1 {
                return Err(ambiguous(text, &all));
            }
            all.first().copied()
        }
    };
    found.ok_or_else(|| no_such_job(text))
}

fn ambiguous(text: &str, all: &[&Job]) -> CliError {
    let named: Vec<String> = all.iter().take(NAMED).map(|job| job.id.to_string()).collect();
    let more = all.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("'{text}' begins the ids of several jobs: {}{more}", named.join(", "));
    CliError::new(ErrorKind::NotFound, message).code("ambiguous-job").hint("give more of the id")
}

pub(super) fn no_such_job(id: &str) -> CliError {
    CliError::new(ErrorKind::NotFound, format!("there is no job '{id}'"))
        .code("no-such-job")
        .hint("recoveryctl jobs list")
}
