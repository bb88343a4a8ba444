//! Notices, by a living supervisor, that the files of a state directory went back in time.
//!
//! A backup that was restored *into* the folder leaves the folder's identity as it was. But a supervisor that was
//! called for a claim which the log does not have yet belongs to a time that this log does not know. The
//! exception is a supervisor whose sentinel is there: then only the log lost its end, which the attempt's files
//! repair. The same is true of a control group with processes that was made for such a claim: its supervisor may
//! be gone.

use std::collections::HashSet;

use super::cgroup_name;
use super::process_table::ProcessTable;
use super::sentinel::Sentinel;
use crate::queue::Claim;
use crate::state::names::decode;
use crate::state::{StateDir, StateError};

/// Begins a new incarnation when living processes show that the files went back in time; returns whether it did.
///
/// # Errors
/// When the identity cannot be written, or when a restore that the folder itself shows could not be recorded.
/// Then the directory still belongs to the lost time, in which nothing may be judged or started.
pub fn notice_restore(dir: &mut StateDir) -> Result<bool, StateError> {
    if dir.is_copy() {
        return Ok(false);
    }
    dir.record_restore()?;
    let supervised = ProcessTable::new().supervised_claims(dir);
    let fenced = cgroup_name::living_claims(dir);
    if supervised.is_empty() && fenced.is_empty() {
        return Ok(false);
    }
    // The log is only read: a torn end is left for the recovery to find and report.
    let end = dir.end_of_the_log();
    let unknown = supervised.into_iter().find(|(process, job, claim)| {
        let sentinel = dir.paths.job(&job.to_string()).ok().map(|paths| Sentinel::read(&paths.sentinel()));
        let is_named =
            matches!(&sentinel, Some(Ok(found)) if found.whole().is_some_and(|s| s.supervisor == *process));
        *claim > Claim::of_record(end) && !is_named
    });
    let Some((process, job, claim)) = unknown else { return notice_by_group(dir, &fenced, end) };
    dir.note_restored(&format!(
        "process {} supervises job {job} by claim {claim}, and the queue ends with record {end}: files of an \
         earlier time were put back",
        process.pid
    ))?;
    Ok(true)
}

fn notice_by_group(dir: &mut StateDir, fenced: &[Claim], end: u64) -> Result<bool, StateError> {
    let ahead: Vec<Claim> = fenced.iter().copied().filter(|claim| *claim > Claim::of_record(end)).collect();
    if ahead.is_empty() {
        return Ok(false);
    }
    let listed = |folder| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = listed(dir.paths.jobs()).chain(listed(dir.paths.attempts()));
    let names = folders.filter_map(|entry| decode(entry.file_name().to_str()?));
    let sentinels = names.filter_map(|name| Sentinel::read(&dir.paths.job(&name).ok()?.sentinel()).ok());
    let named: HashSet<Claim> = sentinels.filter_map(|found| Some(found.whole()?.claim)).collect();
    let Some(claim) = ahead.into_iter().find(|claim| !named.contains(claim)) else { return Ok(false) };
    dir.note_restored(&format!(
        "a control group that was made for claim {claim} has processes, and the queue ends with record {end}: files \
         of an earlier time were put back"
    ))?;
    Ok(true)
}
