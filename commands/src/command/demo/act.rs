//! The acts, in their order: before the crash, the crash, the recovery, the rest, the verdict.

use clap::Args;
use recovery::operations::interrupt::cancellable;
use recovery::queue::{Queue, SnapshotFile};
use recovery::recovery::{Recovery, RunOptions};
use recovery::startup::StartedBy;
use recovery_tui::Directory;

use super::cast::{CAST, COUNTED_BEFORE, Fate, WORKERS};
use super::check::check_all;
use super::crash::{damage, kill_job};
use super::facts::{Facts, jobs_of, read_counted, read_witness};
use super::render::render;
use super::report::DemoReport;
use super::stage::Stage;
use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::progress;
use crate::settings::recovery_settings;
use crate::tui_recovery::{self, FullScreen};

/// See a real crash and a real recovery, in a temporary directory that is removed afterwards
///
/// Starts a daemon, submits jobs, kills the daemon and some of the jobs with SIGKILL, damages files,
/// recovers, lets everything finish, and checks that nothing acknowledged was lost and that nothing ran
/// twice at once. Exits with 1 when a check fails. Needs no preparation, no root and no network.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the directory and say where it is
    #[arg(long)]
    keep: bool,
    /// Watch the recovery in the dashboard, when standard output is a terminal
    #[arg(long)]
    tui: bool,
}

pub(crate) fn cmd_demo(context: &mut Context, args: &DemoArgs) -> Result<Ending, CliError> {
    context.interruption.catch();
    let mut stage = Stage::set(&context.interruption)?;
    let played = play(context, &mut stage, args.tui);
    let kept = args.keep.then(|| stage.keep().join("state").display().to_string());
    let duration_ms = stage.elapsed_ms();
    drop(stage);
    let facts = played.map_err(|e| match &kept {
        Some(path) => e.hint(format!("the state directory was kept: {path}")),
        None => e,
    })?;
    let checks = check_all(&facts);
    let ok = checks.iter().all(|c| c.held);
    let report = DemoReport { ok, checks, facts, duration_ms, state_dir: kept };
    context.output.report(&report, |text| render(text, &report));
    if ok { Ok(Ending::Done) } else { Err(not_held(&report)) }
}

fn not_held(report: &DemoReport) -> CliError {
    let wrong: Vec<&str> = report.checks.iter().filter(|c| !c.held).map(|c| c.promise).collect();
    CliError::new(ErrorKind::Failed, format!("these promises were not kept: {}", wrong.join("; ")))
        .code("demo-failed")
        .hint("recoveryctl demo --keep leaves the directory for a closer look")
}

fn play(context: &mut Context, stage: &mut Stage, tui: bool) -> Result<Facts, CliError> {
    let mut facts = Facts::default();
    before(context, stage, &mut facts)?;
    crash(context, stage, &mut facts)?;
    recover(context, stage, &mut facts, tui)?;
    finish(context, stage, &mut facts)?;
    Ok(facts)
}

fn before(context: &mut Context, stage: &mut Stage, facts: &mut Facts) -> Result<(), CliError> {
    let pid = stage.start_daemon()?;
    context.output.note(&format!("a daemon runs (process {pid}); submitting {} jobs", CAST.len()));
    stage.start_lock_holder()?;
    let (running, waiting) = CAST.split_at(WORKERS);
    for role in running {
        facts.acknowledged.push(stage.submit(role)?);
    }
    // All of these must start before the others are submitted: one of the others with a higher priority would
    // take the place of a slow starter.
    stage.wait_until("all workers are at work", |stage| {
        let all = running.iter().all(|r| stage.has_begun(r.name));
        // The checkpoint decides, not what was counted: a job that was killed between the two counts a number
        // again.
        let saved = running.iter().find(|r| r.counts).and_then(|r| stage.checkpoint_of(r.name));
        Ok((all && saved == Some(COUNTED_BEFORE)).then_some(()))
    })?;
    for role in waiting {
        facts.acknowledged.push(stage.submit(role)?);
    }
    stage.wait_until("there are snapshots of the queue", |stage| {
        Ok((SnapshotFile::list(&stage.dir.paths.queue())?.len() >= 2).then_some(()))
    })
}

fn crash(context: &mut Context, stage: &mut Stage, facts: &mut Facts) -> Result<(), CliError> {
    let queue = Queue::open(&stage.dir)?;
    (facts.before, facts.line_before) = jobs_of(queue.state());
    let (running, waiting) = (queue.state().running().len(), facts.line_before.len());
    drop(queue);
    stage.kill_daemon()?;
    let dying: Vec<&str> = CAST.iter().filter(|r| r.dies()).map(|r| r.name).collect();
    for name in &dying {
        kill_job(stage, name)?;
    }
    let died = dying.len();
    context.output.note(&format!(
        "killed the daemon with SIGKILL while {running} jobs ran and {waiting} waited, and {died} of the jobs with it"
    ));
    for role in CAST.iter().filter(|r| r.fate == Fate::EndsAlone) {
        stage.open_gate(role.name)?;
        let what = format!("{} has ended alone", role.name);
        stage.wait_for_queue(&what, |queue| is_over(queue, role.name))?;
    }
    facts.damaged = damage(stage, CAST[0].name)?;
    context.output.note(&format!("damaged {}", facts.damaged.join(", ")));
    Ok(())
}

fn is_over(queue: &Queue, name: &str) -> bool {
    let job = name.parse().ok().and_then(|id| queue.state().get(&id));
    job.is_some_and(|j| j.status.is_over())
}

fn recover(context: &mut Context, stage: &Stage, facts: &mut Facts, tui: bool) -> Result<(), CliError> {
    context.output.note("recovering");
    let actor = context.actor();
    let recovery = Recovery::new(&stage.dir, recovery_settings(&actor, StartedBy::Recover))
        .map_err(|e| CliError::new(ErrorKind::Failed, e))?;
    let options = RunOptions { purpose: "demo".to_owned(), by: actor.by.clone(), ..RunOptions::default() };
    let (cancel, interruption) = (options.cancel.clone(), context.interruption.clone());
    let dir = &stage.dir;
    interruption.catch();
    let (record, queue) = cancellable(&interruption, &cancel, || {
        if !tui || !tui_recovery::is_possible(&context.output) {
            let options = RunOptions { observer: progress::observer(&context.output), ..options };
            return Ok(recovery.run(&options)?);
        }
        let (directory, theme) =
            (Directory::with_defaults(dir.clone()), tui_recovery::theme_of(&mut context.output));
        let interruption = interruption.clone();
        tui_recovery::run(dir, recovery, options, FullScreen { directory, interruption, theme })
    })?;
    if let Some(interrupted) = interruption.requested() {
        return Err(interrupted);
    }
    facts.see_recovery(&stage.dir, &record, queue.as_ref());
    Ok(())
}

fn finish(context: &mut Context, stage: &mut Stage, facts: &mut Facts) -> Result<(), CliError> {
    context.output.note("a new daemon lets everything finish");
    let since = Queue::open(&stage.dir)?.state().last_seq();
    stage.keep_the_log()?;
    stage.start_daemon()?;
    for role in CAST.iter().filter(|r| r.runs_at_the_crash()) {
        stage.open_gate(role.name)?;
    }
    stage.end_lock_holder()?;
    let queue = stage
        .wait_for_queue("all jobs are over", |queue| queue.state().jobs().all(|job| job.status.is_over()))?;
    facts.see_end(&stage.dir, &queue, since)?;
    stage.stop_daemon()?;
    facts.witness = read_witness(&stage.read("witness"));
    facts.counted = read_counted(&stage.read("counted"));
    Ok(())
}
