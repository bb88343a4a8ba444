//! The effects of a crash: processes vanish, and files are left half written.

use std::path::{Path, PathBuf};

use recovery::durable::log::SegmentFile;
use recovery::jobs::{CommandRecord, Sentinel};
use recovery::queue::SnapshotFile;
use recovery::state::StateDir;
use recovery::system::{descendants, end_process, marked_processes, process_table};

use super::facts::shown;
use super::stage::{Stage, failed};
use crate::error::CliError;

/// Ends a job with its supervisor by SIGKILL, so that nobody records its end. Returns when all are gone.
pub(super) fn kill_job(stage: &Stage, name: &str) -> Result<(), CliError> {
    let paths = stage.dir.paths.job(name).map_err(|e| failed("find a job", &e))?;
    let sentinel = Sentinel::read(&paths.sentinel())?;
    let command = CommandRecord::read(&paths.command())?;
    let (Some(sentinel), Some(command)) = (sentinel.whole(), command.whole()) else {
        return Err(failed("kill a job", &format!("{name} has no whole sentinel")));
    };
    // The supervisor is killed first: it would record the command's end.
    let tree = descendants(&process_table(), sentinel.supervisor);
    for process in tree.into_iter().chain([command.command]) {
        end_process(process, 5_000).map_err(|e| failed("kill a job", &e))?;
    }
    let marks = [
        format!("RECOVERYCTL_JOB_ID={name}"),
        format!("RECOVERYCTL_STATE_DIR={}", stage.dir.paths.root().display()),
    ];
    stage.wait_until("a killed job is gone", |_| {
        let (left, _) = marked_processes(&[&marks[0], &marks[1]], None);
        for process in &left {
            end_process(*process, 5_000).map_err(|e| failed("kill a job", &e))?;
        }
        Ok(left.is_empty().then_some(()))
    })?;
    stage.witness(&format!("killed {name} {}", sentinel.attempt))
}

/// Damages three files, one of them the record of the job `lost_record`, which has one; returns their paths
/// below the state directory.
pub(super) fn damage(stage: &Stage, lost_record: &str) -> Result<Vec<String>, CliError> {
    let dir = &stage.dir;
    let record = dir.paths.job(lost_record).map_err(|e| failed("find a job", &e))?.record;
    let damaged = [half_a_record(dir)?, overwritten_snapshot(dir)?, emptied(dir, record)?];
    Ok(damaged.iter().map(|path| shown(path, dir.paths.root())).collect())
}

/// Appends half a record to the log, as if the writer had been killed in the middle of it.
fn half_a_record(dir: &StateDir) -> Result<PathBuf, CliError> {
    let segments = SegmentFile::list(&dir.paths.queue_log())?;
    let path = segments.last().ok_or_else(|| failed("damage the log", &"it has no segment"))?.path.clone();
    let content = content_of(&path)?;
    // Zeros follow the last record: the segment was preallocated.
    let end = content.iter().rposition(|&b| b != 0).map_or(0, |at| at + 1);
    let last = content[..end].strip_suffix(b"\n").unwrap_or(&content[..end]);
    let line = last.rsplit(|&b| b == b'\n').next().unwrap_or_default();
    dir.disk.open(&path)?.write_at(&line[..line.len() / 2], end as u64)?;
    Ok(path)
}

/// Overwrites a part of the newest snapshot, as if a page had been written to the wrong place.
fn overwritten_snapshot(dir: &StateDir) -> Result<PathBuf, CliError> {
    let snapshots = SnapshotFile::list(&dir.paths.queue())?;
    let newest = snapshots.first().ok_or_else(|| failed("damage a snapshot", &"there is none"))?;
    let length = content_of(&newest.path)?.len() as u64;
    let garbage: Vec<u8> = (0..=255).collect();
    dir.disk.open(&newest.path)?.write_at(&garbage, length.saturating_sub(garbage.len() as u64))?;
    Ok(newest.path.clone())
}

/// Empties a file, as if its name had reached the disk and its content had not.
fn emptied(dir: &StateDir, path: PathBuf) -> Result<PathBuf, CliError> {
    dir.disk.open(&path)?.truncate(0)?;
    Ok(path)
}

fn content_of(path: &Path) -> Result<Vec<u8>, CliError> {
    recovery::durable::plain::read(path).map_err(|e| failed("read a file to damage", &e))
}
