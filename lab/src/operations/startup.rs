//! Startups: one after an aborted one, with its cleaning; safe mode and its end; an earlier layout; requests
//! of other processes.

use recovery::durable::replace;
use recovery::recovery::{Asking, request_retry_of_daemon, request_skip, withdraw_retry};
use recovery::startup::{
    StartOptions, StartedBy, Startup, StartupOutcome, clean_up, clear, history, remove_half_made,
};
use recovery::state::StateDir;

use super::{Operation, Stage};
use crate::Error;
use crate::facts::Fact;

/// A startup after one that died in its second phase and left a temporary file and a half-made workspace.
pub(super) const STARTUP: Operation = Operation { name: "startup", prepare: one_that_died, run: startup };

fn one_that_died(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |_| {})?;
    let dir = stage.dir()?;
    let (died, _) = Startup::begin(&dir, StartedBy::Daemon)?;
    died.enter("queue")?;
    let half_made = dir.paths.job("half-made")?;
    dir.disk.create_dir(&half_made.workspace)?;
    // A process that had locked the job was killed.
    dir.disk.create_dir(&half_made.attempts)?;
    dir.disk.create_new(&half_made.sentinel_lock(), 0o600)?;
    let temporary = dir.disk.create_new(&dir.paths.queue().join(".tmp-aB3dE9"), 0o600)?;
    Ok(temporary.write_at(b"half a snapshot", 0)?)
}

fn startup(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let (startup, met) = Startup::begin_in(&dir, StartedBy::Recover, StartOptions::default())?;
    if !met.detection.is_aborted() {
        return Err("the startup before was not seen to have died".into());
    }
    acknowledge_history(stage, &dir)?;
    startup.enter("startup")?;
    clean_up(&startup, &mut |_, _| true)?;
    startup.done("startup");
    startup.enter("queue")?;
    remove_half_made(&startup, &mut |ids| ids.into_iter().filter(|id| id.to_string() != "a").collect())?;
    startup.done("queue");
    let entry = startup.finish(StartupOutcome::Completed, 1)?;
    stage.acknowledge(Fact::Startup { id: entry.startup_id });
    Ok(())
}

fn acknowledge_history(stage: &Stage, dir: &StateDir) -> Result<(), Error> {
    for entry in history(dir)? {
        stage.acknowledge(Fact::Startup { id: entry.startup_id });
    }
    Ok(())
}

/// A daemon comes up in safe mode, and an operator clears the startups.
pub(super) const SAFE_MODE: Operation =
    Operation { name: "safe-mode", prepare: three_that_died, run: safe_mode };

fn three_that_died(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    for _ in 0..3 {
        Startup::begin(&dir, StartedBy::Daemon)?.0.enter("queue")?;
    }
    Ok(())
}

fn safe_mode(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let (startup, met) = Startup::begin_in(&dir, StartedBy::Daemon, StartOptions::default())?;
    acknowledge_history(stage, &dir)?;
    let safe = met.safe_mode.ok_or("three that died are no crash loop")?;
    startup.enter_safe_mode(&safe)?;
    let entry = startup.finish_in_safe_mode()?;
    stage.acknowledge(Fact::Startup { id: entry.startup_id });
    clear(&dir, "laboratory", None)?;
    Ok(())
}

/// A state directory of layout 1 is brought up to date.
pub(super) const MIGRATE: Operation = Operation { name: "migrate", prepare: layout_1, run: migrate };

fn layout_1(stage: &Stage) -> Result<(), Error> {
    stage.submit(Some("a"), |_| {})?;
    let dir = stage.dir()?;
    let identity = format!(
        "{{\"layout\":1,\"state_id\":\"{}\",\"created_at\":\"{}\"}}\n",
        dir.identity.state_id, dir.identity.created_at
    );
    let startup = |n: u32| {
        format!(
            "{{\"startup_id\":\"old-{n}\",\"by\":\"daemon\",\"started_at\":\"2026-03-01T09:30:0{n}.000Z\",\
             \"ended_at\":null,\"outcome\":\"completed\",\"phase\":null,\"phases_done\":[\"queue\"],\
             \"duration_ms\":null,\"findings_total\":0}}"
        )
    };
    let act = "{\"at\":\"2026-03-01T09:30:00.000Z\",\"startup_id\":\"old-0\",\"action\":\"remove_temporary_file\",\
               \"object\":\"jobs/.tmp-abcdef\",\"result\":\"done\",\"detail\":\"\"}";
    let startups: Vec<String> = (0..3).map(startup).collect();
    let history = format!("{{\"version\":1,\"entries\":[{}]}}\n", startups.join(","));
    let acts = format!("{{\"version\":1,\"entries\":[{act}]}}\n");
    replace(&dir.disk, &dir.paths.startup_history_1(), history.as_bytes())?;
    replace(&dir.disk, &dir.paths.startup_cleanup_log_1(), acts.as_bytes())?;
    Ok(replace(&dir.disk, &dir.paths.identity(), identity.as_bytes())?)
}

fn migrate(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    // The records existed before, so they must exist at every moment.
    acknowledge_history(stage, &dir)?;
    let (startup, met) = Startup::begin_in(&dir, StartedBy::Recover, StartOptions::default())?;
    let migrated = met.migrated.ok_or("nothing was migrated")?;
    if (migrated.from, migrated.records) != (1, 4) {
        return Err(format!("{migrated:?}").into());
    }
    let entry = startup.finish(StartupOutcome::Completed, 0)?;
    stage.acknowledge(Fact::Startup { id: entry.startup_id });
    Ok(())
}

/// As above, with a history that cannot be read.
pub(super) const MIGRATE_DAMAGED: Operation =
    Operation { name: "migrate-damaged", prepare: damaged_layout_1, run: migrate_damaged };

fn damaged_layout_1(stage: &Stage) -> Result<(), Error> {
    layout_1(stage)?;
    Ok(std::fs::write(stage.dir()?.paths.startup_history_1(), "{\"version\":1,\"entries\":[{\"start")?)
}

fn migrate_damaged(stage: &Stage) -> Result<(), Error> {
    stage.acknowledge(Fact::job("a", 1, &["queued"]));
    let dir = stage.dir()?;
    let (startup, _) = Startup::begin_in(&dir, StartedBy::Recover, StartOptions::default())?;
    let entry = startup.finish(StartupOutcome::Completed, 0)?;
    stage.acknowledge(Fact::Startup { id: entry.startup_id });
    Ok(())
}

/// One phase is to be skipped, another one tried again by the daemon; a third request is withdrawn.
pub(super) const REQUESTS: Operation = Operation { name: "requests", prepare: super::nothing, run: requests };

fn requests(stage: &Stage) -> Result<(), Error> {
    let dir = stage.dir()?;
    let known: &[&str] = &["startup", "queue", "jobs", "locks"];
    request_skip(&dir, known, "locks", "laboratory", Some("it hangs"))?;
    let asking = |phase| Asking { known, phase, by: "laboratory", why: None };
    let (id, _) = request_retry_of_daemon(&dir, asking("queue"))?;
    withdraw_retry(&dir, "queue", id)?;
    request_retry_of_daemon(&dir, asking("jobs"))?;
    let path = dir.paths.recovery_requests().join("again-jobs.json");
    let text = std::fs::read_to_string(&path)?;
    let path = path.strip_prefix(dir.paths.root())?.to_owned();
    stage.acknowledge(Fact::Content { path, any_of: vec![text] });
    Ok(())
}
