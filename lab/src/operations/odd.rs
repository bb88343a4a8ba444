//! Rare cases: missing folders, folders in place of files, a decision of an operator, an interrupted removal,
//! a log with a failed sync and a damaged end, a rehearsal.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use recovery::audit;
use recovery::durable::{Disk, Effect, Observer};
use recovery::jobs::{RecoverSettings, assume_dead};
use recovery::prune::{JobRetention, prune};
use recovery::queue::{Queue, Submitter};
use recovery::recovery::{RunOptions, rehearse};
use recovery::state::StateDir;

use super::recover::recover_whatever_is_there;
use super::repair::grant;
use super::small::another;
use super::stage::actor;
use super::supervisor::{endless, kill_at_work, run_job};
use super::{Operation, Stage, nothing};
use crate::Error;
use crate::facts::Fact;
use crate::recovering::{open, sequence, settings};

/// Folders of the state directory are gone: each is made when it is needed.
pub(super) const FOLDERS_GONE: Operation =
    Operation { name: "folders-gone", prepare: folders_gone, run: all_the_same };

fn folders_gone(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("claimed"), |_| {})?;
    stage.claim("claimed")?;
    let paths = stage.dir()?.paths;
    std::fs::remove_dir_all(paths.jobs())?;
    std::fs::remove_dir_all(paths.audit_log())?;
    Ok(())
}

fn all_the_same(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("claimed", 1, &["queued"]));
    stage.acknowledge(Fact::MayHaveBegun { id: "claimed".to_owned() });
    let dir = stage.dir()?;
    // Opening the state directory makes them; they are removed once more, empty.
    remove_if_empty(&dir, &dir.paths.audit_log())?;
    remove_if_empty(&dir, &dir.paths.locks())?;
    grant(stage, &dir, "web")?.release()?;
    let object = another("lock");
    audit::record(
        &dir,
        &audit::Entry::done(dir.clock.now(), &actor(), "release", object.clone(), String::new()),
    )?;
    stage.acknowledge(Fact::Audit { object });
    sequence(&dir)?;
    Ok(())
}

/// Removes a folder with nothing in it; one that went already is no error.
pub(super) fn remove_if_empty(dir: &StateDir, folder: &Path) -> Result<(), Error> {
    if folder.is_dir() && std::fs::read_dir(folder)?.next().is_none() {
        dir.disk.remove_dir(folder)?;
    }
    Ok(())
}

/// As above: a name is reserved in, and a record written to, a folder that was removed after the state
/// directory was opened.
pub(super) const SUBMIT_FOLDER_GONE: Operation =
    Operation { name: "submit-folder-gone", prepare: nothing, run: submit_named };

fn submit_named(stage: &Stage) -> Result<(), Error> {
    let (dir, actor) = (stage.dir()?, actor());
    for folder in [dir.paths.jobs(), dir.paths.queue_log()] {
        remove_if_empty(&dir, &folder)?;
    }
    let entered =
        Submitter::new(&dir, &actor).enter(vec![stage.request(Some("named"), |_| {})?])?.remove(0)?;
    stage.acknowledge(Fact::job(&entered.job.to_string(), 1, &["queued"]));
    Ok(())
}

/// A folder in place of a file.
pub(super) const MISPLACED: Operation =
    Operation { name: "misplaced", prepare: a_folder_for_a_file, run: put_away };

fn a_folder_for_a_file(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |_| {})?;
    let place = stage.dir()?.paths.recovery_history();
    std::fs::create_dir_all(&place)?;
    Ok(std::fs::write(place.join("inside"), "somebody's")?)
}

fn put_away(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("a", 1, &["queued"]));
    recover_whatever_is_there(stage)
}

/// Of a job of another machine neither life nor death can be proven: an operator decides.
pub(super) const ASSUME_DEAD: Operation =
    Operation { name: "assume-dead", prepare: from_elsewhere, run: declare_dead };

fn from_elsewhere(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| request.command = endless())?;
    let claim = stage.claim("a")?;
    kill_at_work(stage, "a", claim)?;
    let paths = stage.dir()?.paths.job("a")?;
    for path in [paths.sentinel(), paths.command()] {
        let mut document: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        for member in ["boot_id", "machine_id"] {
            // A machine without an id cannot be told from another one either.
            document["host"][member] = "00000000-0000-0000-0000-000000000000".into();
        }
        std::fs::write(&path, document.to_string())?;
    }
    Ok(())
}

fn declare_dead(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::MayBeDegraded { object: "job:a".into() });
    stage.acknowledge(Fact::job("a", 1, &["running", "crashed"]));
    let dir = stage.dir()?;
    let mut queue = Queue::open(&dir)?;
    let settled = assume_dead(&dir, &mut queue, &"a".parse()?, &RecoverSettings::new(actor()), false)?;
    settled.map_err(|refused| format!("refused: {refused}"))?;
    stage.acknowledge(Fact::job("a", 1, &["crashed"]));
    Ok(())
}

/// A removal that was cut short between its two halves, with both names of the workspace left.
pub(super) const PRUNE_CUT_SHORT: Operation =
    Operation { name: "prune-cut-short", prepare: half_pruned, run: finish };

/// Ends its process before a job's record is removed.
struct EndsThere {
    workspace: PathBuf,
}

impl Observer for EndsThere {
    fn before(&self, effect: &Effect<'_>) -> std::io::Result<()> {
        match effect {
            Effect::RemoveFile { path } if path.to_string_lossy().ends_with(".job.json") => {
                std::fs::create_dir(&self.workspace)?;
                std::process::exit(0);
            }
            _ => Ok(()),
        }
    }

    fn after(&self, _: &Effect<'_>) {}
}

fn half_pruned(stage: &Stage) -> Result<(), Error> {
    for id in ["goes", "stays"] {
        stage.submit(Some(id), |_| {})?;
    }
    let claim = stage.claim("goes")?;
    run_job(stage, "goes", claim)?;
    sequence(&stage.dir()?)?;
    let workspace = stage.dir()?.paths.job("goes")?.workspace;
    let dir = open(stage.world(), Disk::observed(Arc::new(EndsThere { workspace })))?;
    let everything = JobRetention { keep_days: None, keep_last: Some(0), crashed: true };
    prune(&dir, &mut Queue::open(&dir)?, &everything, &|_| None, &RecoverSettings::new(actor()))?;
    Err("no record was removed".into())
}

fn finish(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("stays", 1, &["queued"]));
    stage.acknowledge(Fact::Removal { id: "goes".into(), file: None, is_done: true });
    sequence(&stage.dir()?)?;
    Ok(())
}

/// A sync of the queue's log has failed, and the log's end is damaged as well.
pub(super) const FAILED_AND_DAMAGED: Operation =
    Operation { name: "log-failed-and-damaged", prepare: failed_and_damaged, run: submit_after };

/// Refuses the first sync of a segment.
#[derive(Default)]
struct FailsOnce {
    failed: std::sync::atomic::AtomicBool,
}

impl Observer for FailsOnce {
    fn before(&self, effect: &Effect<'_>) -> std::io::Result<()> {
        let is_log = |path: &std::path::Path| path.parent().is_some_and(|p| p.ends_with("queue/log"));
        match effect {
            Effect::Sync { path, .. }
                if is_log(path) && !self.failed.swap(true, std::sync::atomic::Ordering::SeqCst) =>
            {
                Err(std::io::Error::from_raw_os_error(5))
            }
            _ => Ok(()),
        }
    }

    fn after(&self, _: &Effect<'_>) {}
}

fn failed_and_damaged(stage: &Stage) -> Result<(), Error> {
    use std::os::unix::fs::FileExt;
    stage.submit(Some("before"), |_| {})?;
    let dir = open(stage.world(), Disk::observed(Arc::new(FailsOnce::default())))?;
    let (actor, request) = (actor(), stage.request(None, |_| {})?);
    if Submitter::new(&dir, &actor).enter(vec![request]).is_ok() {
        return Err("the sync should have failed".into());
    }
    let folder = dir.paths.queue_log();
    let logs = std::fs::read_dir(&folder)?.flatten().map(|e| e.path());
    let log = logs.filter(|p| p.extension().is_some_and(|e| e == "log")).max().ok_or("there is no log")?;
    let content = std::fs::read(&log)?;
    let used = content.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
    let file = std::fs::OpenOptions::new().write(true).open(&log)?;
    Ok(file.write_all_at(b"this was a record once\n", used as u64)?)
}

fn submit_after(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("before", 1, &["queued"]));
    stage.submit(Some("after"), |_| {}).map(drop)
}

/// A recovery is rehearsed on a copy, beside the state directory.
pub(super) const REHEARSE: Operation =
    Operation { name: "rehearse", prepare: something_to_rehearse, run: rehearsed };

fn something_to_rehearse(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| request.command = endless())?;
    let claim = stage.claim("a")?;
    kill_at_work(stage, "a", claim)?;
    let own = stage.dir()?.paths.job("a")?.workspace.join("own");
    std::fs::create_dir(&own)?;
    std::fs::write(own.join("file"), "of the job")?;
    Ok(std::fs::write(own.with_file_name("result"), "of the job")?)
}

fn rehearsed(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("a", 1, &["crashed"]));
    let settings = settings();
    let options = RunOptions { pauses: Vec::new(), ..RunOptions::default() };
    let rehearsal = rehearse(&stage.dir()?, stage.world(), settings, &options)?;
    if rehearsal.changes.is_empty() || !rehearsal.proof.unchanged {
        return Err(format!("{rehearsal:?}").into());
    }
    Ok(())
}
