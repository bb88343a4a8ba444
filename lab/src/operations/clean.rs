//! Leftovers of jobs: cleanups, and orphans.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use recovery::cleanup::{
    Cleaner, CleanupPhaseName, CleanupRequest, CleanupSettings, Created, Source, create, retry, skip,
};
use recovery::locks::JobLiveness;
use recovery::orphans::{OrphanSettings, Request, ScanContext, empty_trash, execute, restore, scan, trashed};
use recovery::queue::{Claim, JobId, Queue};
use recovery::system::docker::EngineChoice;

use super::stage::actor;
use super::supervisor::run_job;
use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// Cleanups are asked for, one phase of one is passed over, and done: of a job with an index and with work that
/// is in no repository, and of one that never began.
pub(super) const CLEANUP: Operation = Operation { name: "cleanup", prepare: leftovers, run: clean_up };

fn leftovers(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |request| request.command = vec!["true".into()])?;
    let claim = stage.claim("a")?;
    run_job(stage, "a", claim)?;
    let dir = stage.dir()?;
    let workspace = dir.paths.job("a")?.workspace;
    std::fs::create_dir(workspace.join(".code-indexer"))?;
    std::fs::write(workspace.join(".code-indexer/index"), "words")?;
    unsaved_work(&workspace.join("checkout"))?;
    stage.submit(Some("never"), |_| {})?;
    std::fs::remove_dir(dir.paths.job("never")?.workspace)?;
    let cancel = recovery::queue::Operation::Cancel { job: "never".parse()? };
    recovery::queue::append(&dir, &actor(), &[cancel])?;
    Ok(())
}

/// A repository with a file that is in no commit.
fn unsaved_work(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir(folder)?;
    let mut git = Command::new("git");
    let status =
        git.env_clear().env("PATH", "/usr/bin:/bin").args(["init", "-q"]).current_dir(folder).status()?;
    std::fs::write(folder.join("work.txt"), "not committed")?;
    if status.success() { Ok(()) } else { Err("git init failed".into()) }
}

fn clean_up(stage: &Stage) -> Result<(), Error> {
    let (dir, actor) = (stage.dir()?, actor());
    let queue = Queue::open(&dir)?;
    let mut ids = Vec::new();
    for job in ["a", "never"] {
        let job = queue.state().get(&job.parse::<JobId>()?).ok_or("a job is gone")?;
        stage.acknowledge(Fact::job(&job.id.to_string(), 1, &["succeeded", "cancelled"]));
        let Created::New(id) = create(&dir, &CleanupRequest { job, source: Source::Asked, actor: &actor })?
        else {
            // The cleanup was begun before.
            continue;
        };
        stage.acknowledge(Fact::Cleanup { id: id.clone() });
        // When git work could not be kept because the disk failed, the cleanup reports that until its next
        // try.
        stage.acknowledge(Fact::MayBeDegraded { object: format!("cleanup:{id}") });
        ids.push(id);
    }
    let first = ids.first().ok_or("nothing is to be cleaned up")?;
    skip(&dir, first, CleanupPhaseName::Docker, &actor)?;
    retry(&dir, first)?;
    let settings = CleanupSettings { engine: EngineChoice::None, ..CleanupSettings::new(actor) };
    let pass = Cleaner::new(dir, queue, settings, &|| false).pass(true, &|_| {})?;
    if pass.worked_on.len() != ids.len()
        || !pass.worked_on.iter().all(recovery::cleanup::CleanupRecord::is_over)
    {
        return Err(format!("the cleanups are not over: {pass:?}").into());
    }
    Ok(())
}

/// Folders and files without a job are found, moved to the trash, restored, moved again, and deleted.
pub(super) const ORPHANS: Operation = Operation { name: "orphans", prepare: strays, run: remove_strays };

fn strays(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("stays"), |_| {})?;
    let paths = stage.dir()?.paths;
    // An unreadable plan of an earlier scan.
    std::fs::create_dir_all(paths.orphans())?;
    std::fs::write(paths.orphans_plan(), "{\"format\":1,\"plan")?;
    let jobs = paths.jobs();
    let stray = jobs.join("stray");
    std::fs::create_dir(&stray)?;
    unsaved_work(&stray.join("checkout"))?;
    Ok(std::fs::write(jobs.join(".tmp-aB3dE9"), "half a record")?)
}

fn remove_strays(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    stage.acknowledge(Fact::job("stays", 1, &["queued"]));
    let settings = OrphanSettings { grace: Duration::ZERO, ..OrphanSettings::new(actor()) };
    let over = |_: &JobId, _: Claim| JobLiveness::Over;
    let mut queue = Queue::open(&dir)?;
    let remove = |queue: &mut Queue| -> Result<_, Error> {
        scan(&ScanContext::look(&dir, &settings, queue)?, &over, &[], Vec::new())?;
        let done = execute(&dir, queue, &settings, &over, &Request::default(), &mut |_, _| {})?;
        if !done.failed.is_empty() {
            return Err(format!("not all could be removed: {:?}", done.failed).into());
        }
        Ok(())
    };
    remove(&mut queue)?;
    let taken = trashed(&dir)?;
    let stray = taken.iter().find(|t| t.from.ends_with("stray")).ok_or("the folder is not in the trash")?;
    restore(&dir, &stray.id, &actor())?;
    let path = Path::new("jobs/stray/checkout/work.txt").to_owned();
    stage.acknowledge(Fact::Content { path: path.clone(), any_of: vec!["not committed".into()] });
    // It is removed again, and from here on it may be gone.
    stage.acknowledge(Fact::MayBeGone { path });
    remove(&mut queue)?;
    empty_trash(&dir, &settings, &trashed(&dir)?)?;
    let archives = recovery::archive::archives(&dir)?;
    if archives.is_empty() {
        return Err("the work in the folder is not kept".into());
    }
    for archive in archives {
        recovery::archive::remove(&dir, &archive)?;
    }
    Ok(())
}
