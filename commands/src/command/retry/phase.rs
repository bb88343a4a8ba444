//! `retry phase NAME`: tries a phase of the recovery again, and what waits for it.
//!
//! Who does it: the recovery that is under way, if the phase waits there for its next try; else the daemon,
//! if one runs; else this process.

use std::time::Duration;

use clap::Args;
use recovery::audit::{Entry, Trail};
use recovery::daemon::{DaemonInfo, running_daemon};
use recovery::findings::Object;
use recovery::recovery::{
    Asking, PhaseStatus, Recovery, RecoveryOutcome, RequestError, RunOptions, Snapshot, is_retry_wanted,
    read_current, read_last, request_retry, request_retry_of_daemon, withdraw_retry, withdraw_skip,
};
use recovery::report::recovery::RetryReport;
use recovery::startup::{SafeMode, StartedBy, safe_mode};
use recovery::state::{StateDir, human};

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::settings::{cancellable, recovering, run_options};
use crate::text::Text;
use crate::tui_recovery;

/// Try a phase of the recovery again, and what waits for it
///
/// A phase that waits for its next try is tried at once. A phase that is over is run again: by the daemon if
/// one runs, else by this process. After a crash loop this is a way out of safe mode.
#[derive(Debug, Args)]
pub(crate) struct PhaseArgs {
    /// The phase
    #[arg(value_name = "NAME")]
    phase: String,
}

/// How often is looked whether somebody else has done it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn retry_phase(context: &mut Context, args: &PhaseArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let recovery = Recovery::new(&dir, recovering(&context.operation()?, StartedBy::Retry, true)?)?;
    let (phase, phases) = (args.phase.as_str(), recovery.phases());
    if !phases.contains(&phase) {
        let known = phases.iter().map(|&name| name.to_owned()).collect();
        return Err(RequestError::UnknownPhase { name: phase.to_owned(), known }.into());
    }
    let current = read_current(&dir);
    if context.is_dry_run() {
        return would_retry(context, current.as_ref(), phase);
    }
    let trail = Trail::open(&dir)?;
    let (report, snapshot) = match (current.filter(is_running), running_daemon(&dir)?) {
        (Some(run), _) => wait_for_the_next_try(context, &dir, &phases, &run, phase)?,
        (None, Some(daemon)) => ask_daemon(context, &dir, &phases, &daemon, phase)?,
        (None, None) => run_here(context, &dir, recovery, phase)?,
    };
    let actor = context.actor();
    let detail = format!("{}; the whole is {}", report.status.word(), snapshot.outcome.word());
    trail.record(&Entry::done(dir.clock.now(), &actor, "retry", Object::phase(phase), detail))?;
    context.output.report(&report, |text| render(text, &report));
    ending(context, &report, &snapshot)
}

fn is_running(run: &Snapshot) -> bool {
    run.outcome == RecoveryOutcome::Running
}

fn would_retry(context: &mut Context, current: Option<&Snapshot>, phase: &str) -> Result<Ending, CliError> {
    let report = current.and_then(|run| RetryReport::new(run, phase, "nobody"));
    let report = report.map_or_else(
        || RetryReport::of_the_first(phase),
        |report| RetryReport { dry_run: true, waited: Vec::new(), ..report },
    );
    context.output.report(&report, |text| match (report.outcome, &report.message) {
        (None, Some(message)) => text.line(message),
        _ => text.line(format!("phase {phase} would be tried again (it is {})", report.status.word())),
    });
    Ok(Ending::Done)
}

type Done = (RetryReport, Snapshot);

/// The phase is at work in a recovery that is under way: its next try begins at once.
fn wait_for_the_next_try(
    context: &mut Context,
    dir: &StateDir,
    phases: &[&str],
    run: &Snapshot,
    phase: &str,
) -> Result<Done, CliError> {
    let actor = context.actor();
    let answer = request_retry(dir, phases, phase, &actor.by, actor.why.as_deref())?;
    if !answer.accepted {
        let message = format!(
            "process {} ({}) recovers this state directory; phase {phase} is {} there",
            run.pid,
            run.purpose,
            answer.was.word()
        );
        let hint = "try again when it is over: recoveryctl recovery status";
        return Err(CliError::new(ErrorKind::Held, message).code("recovery-under-way").hint(hint));
    }
    context.output.note(&format!("phase {phase} is tried at once by process {}", run.pid));
    context.interruption.catch();
    loop {
        let now = read_current(dir).filter(|now| now.recovery_id == run.recovery_id);
        match now {
            Some(now) if !is_running(&now) => return done(&now, phase, "recovery"),
            Some(_) => pause(context)?,
            None => return Err(failed("the recovery is over, and another one has begun")),
        }
    }
}

fn done(snapshot: &Snapshot, phase: &str, by: &'static str) -> Result<Done, CliError> {
    let report = RetryReport::new(snapshot, phase, by);
    let report = report.ok_or_else(|| failed(&format!("the recovery tells nothing of phase {phase}")))?;
    Ok((report, snapshot.clone()))
}

fn pause(context: &Context) -> Result<(), CliError> {
    std::thread::sleep(LOOK_EVERY);
    context.interruption.requested().map_or(Ok(()), Err)
}

/// The daemon does it between two looks at the queue; its record names the request.
fn ask_daemon(
    context: &mut Context,
    dir: &StateDir,
    phases: &[&str],
    daemon: &DaemonInfo,
    phase: &str,
) -> Result<Done, CliError> {
    let actor = context.actor();
    let asking = Asking { known: phases, phase, by: &actor.by, why: actor.why.as_deref() };
    let id = request_retry_of_daemon(dir, asking)?;
    context.output.note(&format!("the daemon (process {}) tries phase {phase} again", daemon.pid));
    context.interruption.catch();
    loop {
        // In this order: the daemon writes its record before it takes the request away.
        let is_wanted = is_retry_wanted(dir, phase, id)?;
        let last = read_last(dir)?.filter(|last| {
            let asked = last.details.get("retry").and_then(|retry| retry["requests"].as_array());
            asked.is_some_and(|ids| ids.iter().any(|asked| *asked == id.to_string()))
        });
        if let Some(last) = last {
            return done(&last.snapshot, phase, "daemon");
        }
        if !is_wanted {
            let hint = "see what the last recovery says: recoveryctl recovery phases";
            return Err(failed("the daemon could not try it now: what it waits for is not done").hint(hint));
        }
        if running_daemon(dir)?.is_none_or(|now| now.pid != daemon.pid) {
            withdraw_retry(dir, phase)?;
            return Err(failed("the daemon ended before it tried"));
        }
        if let Err(interrupted) = pause(context) {
            withdraw_retry(dir, phase)?;
            return Err(interrupted);
        }
    }
}

fn run_here(
    context: &mut Context,
    dir: &StateDir,
    recovery: Recovery,
    phase: &str,
) -> Result<Done, CliError> {
    withdraw_skip(dir, phase)?;
    let mut only = vec![phase.to_owned()];
    // After a crash loop: what waits for the phase that died is not done before that phase is.
    only.extend(safe_mode(dir)?.as_ref().and_then(SafeMode::phase).map(str::to_owned));
    let options = RunOptions { only, ..run_options(&context.operation()?, "retry", &[], None) };
    let cancel = options.cancel.clone();
    let interruption = context.interruption.clone();
    let (record, _) = cancellable(&interruption, &cancel, || {
        tui_recovery::run(&mut context.output, dir, recovery, options, None)
    })?;
    done(&record.snapshot, phase, "this process")
}

fn failed(message: &str) -> CliError {
    CliError::new(ErrorKind::Failed, message.to_owned()).code("not-retried")
}

fn ending(context: &Context, report: &RetryReport, snapshot: &Snapshot) -> Result<Ending, CliError> {
    if snapshot.outcome == RecoveryOutcome::Cancelled {
        return Err(context.interruption.requested().unwrap_or_else(|| failed("it was cancelled")));
    }
    match report.status {
        PhaseStatus::Succeeded if snapshot.outcome == RecoveryOutcome::Failed => Ok(Ending::Degraded),
        PhaseStatus::Succeeded => Ok(Ending::Done),
        PhaseStatus::Failed | PhaseStatus::Blocked => {
            let why = report.message.as_deref().unwrap_or("no reason given");
            let message = format!("phase {} {} again: {why}", report.component, report.status.word());
            Err(CliError::new(ErrorKind::Failed, message).code("phase-failed").hint("recoveryctl status"))
        }
        _ => Ok(Ending::Degraded),
    }
}

fn render(text: &mut Text, report: &RetryReport) {
    let tone = match report.status {
        PhaseStatus::Succeeded => Tone::Good,
        PhaseStatus::Failed | PhaseStatus::Blocked => Tone::Bad,
        _ => Tone::Warning,
    };
    let took = human::duration(report.duration_ms);
    text.toned(tone, format!("phase {} {} in {took}", report.component, report.status.word()));
    if let Some(message) = &report.message {
        text.line(message);
    }
    for waited in &report.waited {
        text.line(format!("  then {}: {}", waited.phase, waited.status.word()));
    }
    text.findings(&report.findings);
}
