//! Records the end of an attempt so that no exit status is ever lost.
//!
//! `exit.json` comes first, then the `end` record. When the disk refuses (full, read-only), the supervisor tries
//! again with growing pauses, still holding the lock and renewing the heartbeat: for other processes the job is
//! not over.

use std::time::Duration;

use super::heartbeat_writer::HeartbeatWriter;
use super::settings::{SuperviseError, SupervisorHooks};
use super::signals::Signals;
use super::watch::wait_for;
use crate::durable::{Backoff, DiskError, error_chain};
use crate::jobs::exit_record::ExitRecord;
use crate::queue::{Actor, End, JobLog, Operation, append};
use crate::state::{JobPaths, StateDir};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The actor of a supervisor's records.
pub(super) fn actor() -> Actor {
    Actor { by: "supervisor".to_owned(), why: None }
}

/// Records the end, however long that takes.
pub(super) fn record_end(
    dir: &StateDir,
    exit: &ExitRecord,
    end: &End,
    log: &JobLog,
    heartbeat: &mut HeartbeatWriter<'_>,
    signals: &Signals,
    hooks: &SupervisorHooks<'_>,
) -> Result<(), SuperviseError> {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut is_written = false;
    let ended = [Operation::End(end.clone())];
    loop {
        // The directory may have been moved, and another one may have its path.
        let followed = dir.followed();
        let dir = followed.as_ref().unwrap_or(dir);
        let paths = dir.paths.job(&exit.job_id.to_string())?;
        if !dir.is_still_itself() {
            let (job, path) = (exit.job_id.clone(), dir.paths.root().to_owned());
            return Err(SuperviseError::OtherTime { job, path, how: how_it_ended(exit) });
        }
        is_written = is_written || write_exit(dir, &paths, exit, hooks.notice);
        // The log is authoritative: with the end in it, exit.json is not needed any more.
        let recorded = match &followed {
            None => log.append(&actor(), &ended).or_else(|_| append(dir, &actor(), &ended).map(drop)),
            Some(_) => append(dir, &actor(), &ended).map(drop),
        };
        match recorded {
            Ok(_) => return Ok(()),
            // The exit record is on disk, so a process that finds the sentinel's lock free records the end by it.
            // That is better than holding the lock for ever in this process, which cannot record the end.
            Err(e) if is_written && e.disk().is_some_and(DiskError::is_out_of_descriptors) => {
                (hooks.notice)(&format!("the end is left to others to record: {}", error_chain(&e)));
                return Ok(());
            }
            Err(e) => (hooks.notice)(&format!("the end cannot be recorded yet: {}", error_chain(&e))),
        }
        if !dir.paths.identity().exists() && !dir.paths.root().exists() {
            let path = dir.paths.root().to_owned();
            return Err(SuperviseError::StateGone { job: exit.job_id.clone(), path });
        }
        rest(backoff.pause(), heartbeat, signals, hooks.notice);
    }
}

pub(super) fn how_it_ended(exit: &ExitRecord) -> String {
    match (exit.exit_code, exit.signal) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit status".to_owned(),
    }
}

fn write_exit(dir: &StateDir, paths: &JobPaths, exit: &ExitRecord, notice: &dyn Fn(&str)) -> bool {
    // A job of the server's user may have removed the folder.
    let written = dir
        .ensure_attempts_for_this_boot(paths)
        .and_then(|()| exit.write_until_recorded(&dir.disk, &paths.exit()));
    match written {
        Ok(()) => true,
        Err(e) => {
            notice(&format!("the exit record cannot be written yet: {e}: {}", e.source));
            false
        }
    }
}

fn rest(pause: Duration, heartbeat: &mut HeartbeatWriter<'_>, signals: &Signals, notice: &dyn Fn(&str)) {
    let begun = std::time::Instant::now();
    while let Some(left) = pause.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        wait_for(signals, &[], heartbeat, notice, left);
    }
}
