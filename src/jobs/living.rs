//! Finds the living processes of a job, of any attempt, whatever the queue says of the job.

use super::process_scan::Wanted;
use super::process_table::ProcessTable;
use crate::queue::JobId;
use crate::state::StateDir;
use crate::system::ProcessIdentity;

/// The living processes of a job, whatever the queue says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Living {
    /// Processes that have its mark, write to its output, or were called to supervise it.
    pub processes: Vec<ProcessIdentity>,
    /// Why a process may have been missed.
    pub doubt: Option<String>,
}

/// Finds living processes of a job, of any attempt. `table` shows one moment: to act on the result, make a new
/// one.
pub fn living_of(dir: &StateDir, id: &JobId, table: &ProcessTable) -> Living {
    let Ok(paths) = dir.paths.job(&id.to_string()) else { return Living::default() };
    let output = paths.output();
    let (state_id, mark) = (dir.identity.state_id.to_string(), dir.mark());
    let wanted = Wanted {
        job: id,
        root: dir.paths.root(),
        state_id: &state_id,
        mark: &mark,
        output: &output,
        output_pipe: None,
        claim: None,
        is_begun: false,
        supervisor: None,
        uid: Some(rustix::process::geteuid().as_raw()),
        since: None,
    };
    let mut processes = table.of_job(&wanted);
    processes.extend(table.attendants(&wanted));
    processes.extend(table.of_other_incarnations(&wanted));
    let mut doubt = table.doubt(&wanted);
    // Processes without marks are found by their control groups and by the output that they print into.
    if dir.may_have_survivors()
        && let Some(living) =
            table.living_jobs(dir).remove(id).filter(|living| living.is_of_other_incarnation)
    {
        if living.processes.is_empty() {
            doubt =
                Some("it has processes, from before a backup was put back, that cannot be seen".to_owned());
        }
        processes.extend(living.processes);
    }
    if table.unnamed_survivors(dir).is_some() {
        doubt = Some(
            "processes of an unknown job, which may be this one, live from before a backup was put back"
                .to_owned(),
        );
    }
    processes.sort_by_key(|p| p.pid);
    processes.dedup();
    Living { processes, doubt }
}
