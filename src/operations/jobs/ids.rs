//! Which job a text names: its id, the beginning of one, `@last`, `@last-failed`.

use crate::findings::{Object, shell_word};
use crate::losses::Losses;
use crate::queue::{Job, JobId, JobStatus, QueueState};
use crate::state::StateDir;

use crate::operations::error::{ErrorKind, OperationError};

/// A shorter text is not taken for the beginning of an id.
const SHORTEST: usize = 4;
/// So many jobs are named where a text begins the ids of several.
const NAMED: usize = 3;

/// The job that a text names, to look at it.
pub fn find<'a>(state: &'a QueueState, text: &str) -> Result<&'a Job, OperationError> {
    look_up(state, text, |_| true)
}

/// The same; one that is on the list of losses is told as lost.
pub(crate) fn find_or_lost<'a>(
    dir: &StateDir,
    state: &'a QueueState,
    text: &str,
) -> Result<&'a Job, OperationError> {
    find(state, text).map_err(|error| {
        let object = Object::from(format!("job:{text}"));
        let known = Losses::read(dir).unwrap_or_default();
        let Some(loss) = known.losses.iter().rev().find(|loss| loss.object == object) else { return error };
        let message = format!("job '{text}' is lost: {}", loss.sentence);
        let word = shell_word(&object.to_string());
        let list = if loss.acknowledged.is_some() { " --acknowledged" } else { "" };
        OperationError::new(ErrorKind::NotFound, message)
            .code("job-lost")
            .hint(format!("recoveryctl findings --object {word}{list}"))
    })
}

/// The job that a text names, to change it: of names that users gave, the beginning is not enough. A script that has
/// `build-1` in it must not cancel `build-10` once that job is gone.
pub fn find_to_change<'a>(state: &'a QueueState, text: &str) -> Result<&'a Job, OperationError> {
    look_up(state, text, JobId::is_uuid)
}

/// A text that no id has is simply no job: it never becomes a path.
fn look_up<'a>(
    state: &'a QueueState,
    text: &str,
    may_be_short: impl Fn(&JobId) -> bool,
) -> Result<&'a Job, OperationError> {
    let exact = text.parse::<JobId>().ok().and_then(|id| state.get(&id));
    if let Some(job) = exact {
        return Ok(job);
    }
    let is_failed =
        |job: &&Job| matches!(job.status, JobStatus::Failed | JobStatus::TimedOut | JobStatus::Crashed);
    let found = match text {
        "@last" => state.jobs().max_by_key(|job| job.place),
        "@last-failed" => state.jobs().filter(is_failed).max_by_key(|job| job.run_state().finished_at),
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

fn ambiguous(text: &str, all: &[&Job]) -> OperationError {
    let named: Vec<String> = all.iter().take(NAMED).map(|job| job.id.to_string()).collect();
    let more = all.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message = format!("'{text}' begins the ids of several jobs: {}{more}", named.join(", "));
    OperationError::new(ErrorKind::NotFound, message).code("ambiguous-job").hint("give more of the id")
}

/// Why a text names nothing.
#[derive(Debug, PartialEq)]
pub(crate) enum NotUnique {
    /// No id begins so.
    Nothing,
    /// It begins these.
    Several(Vec<String>),
}

/// The id that a text is, or that alone begins so.
pub(crate) fn unique<'a>(ids: impl Iterator<Item = &'a str>, text: &str) -> Result<String, NotUnique> {
    let is_short = text.len() < SHORTEST;
    let mut all: Vec<&str> = ids.filter(|id| id.starts_with(text) && (!is_short || *id == text)).collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        _ if all.contains(&text) => Ok(text.to_owned()),
        [one] => Ok((*one).to_owned()),
        [] => Err(NotUnique::Nothing),
        several => Err(NotUnique::Several(several.iter().take(NAMED).map(|id| (*id).to_owned()).collect())),
    }
}

/// That a text begins several ids.
pub(crate) fn several(text: &str, ids: &[String]) -> OperationError {
    let message = format!("'{text}' begins several ids: {}", ids.join(", "));
    OperationError::new(ErrorKind::NotFound, message).code("ambiguous-id").hint("give more of the id")
}

/// The whole of an id that is given, or of its beginning; as it is, where nothing has it.
pub(crate) fn whole<'a>(ids: impl Iterator<Item = &'a str>, text: &str) -> Result<String, OperationError> {
    match unique(ids, text) {
        Ok(whole) => Ok(whole),
        Err(NotUnique::Nothing) => Ok(text.to_owned()),
        Err(NotUnique::Several(ids)) => Err(several(text, &ids)),
    }
}

/// That no job has this id.
pub(crate) fn no_such_job(id: &str) -> OperationError {
    OperationError::new(ErrorKind::NotFound, format!("there is no job '{id}'"))
        .code("no-such-job")
        .hint("recoveryctl jobs list")
}
