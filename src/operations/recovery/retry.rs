//! `retry phase NAME`: tries a phase of the recovery again, and what waits for it.
//!
//! Who does it: the recovery that is under way, if the phase waits there for its next try; else the daemon,
//! if one runs; else this process.

use std::time::Duration;

use crate::audit::{Entry as AuditEntry, Trail};
use crate::daemon::{DaemonInfo, running_daemon};
use crate::findings::Object;
use crate::operations::context::Interrupt;
use crate::operations::interrupt::cancellable;
use crate::operations::prelude::*;
use crate::operations::settings::{recovering, run_options};
use crate::recovery::{
    Asking, PhaseStatus, Recovery, RecoveryOutcome, RequestError, RunOptions, Snapshot, is_retry_wanted,
    read_current, read_last, request_retry, request_retry_of_daemon, withdraw_retry, withdraw_skip,
};
use crate::report::recovery::RetryReport;
use crate::startup::{SafeMode, StartedBy, safe_mode};
use crate::state::StateDir;

/// Try a phase of the recovery again, and what waits for it
///
/// A phase that waits for its next try is tried at once. A phase that is over is run again: by the daemon if
/// one runs, else by this process. After a crash loop this is a way out of safe mode.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct RetryPhase {
    /// The phase
    #[arg(id = "component", value_name = "NAME")]
    pub component: String,
}

/// How often is looked whether somebody else has done it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Operation for RetryPhase {
    type Report = RetryReport;

    const ENTRY: Entry = Entry::post(
        &["retry", "phase"],
        "/api/admin/startup/retry",
        "Tries a component again, and what waits for it",
    )
    .while_recovering();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RetryReport>, OperationError> {
        let dir = context.state_dir()?;
        let recovery = Recovery::new(&dir, recovering(context, StartedBy::Retry, true)?)?;
        let (phase, phases) = (self.component.as_str(), recovery.phases());
        if !phases.contains(&phase) {
            let known = phases.iter().map(|&name| name.to_owned()).collect();
            return Err(RequestError::UnknownPhase { name: phase.to_owned(), known }.into());
        }
        let current = read_current(&dir);
        if context.is_dry_run() {
            return Ok(Done::all(would_retry(current.as_ref(), phase)));
        }
        let trail = Trail::open(&dir)?;
        let retried = match (current.filter(is_running), running_daemon(&dir)?) {
            (Some(run), _) => wait_for_the_next_try(context, &dir, &phases, &run, phase),
            (None, Some(daemon)) => ask_daemon(context, &dir, &phases, &daemon, phase),
            (None, None) => run_here(context, &dir, recovery, phase),
        };
        let actor = context.actor();
        let entry = |detail| AuditEntry::done(dir.clock.now(), &actor, "retry", Object::phase(phase), detail);
        trail.record(&match &retried {
            Ok((report, snapshot)) => {
                entry(format!("{}; the whole is {}", report.status.word(), snapshot.outcome.word()))
            }
            // It may be tried all the same: the request was made.
            Err(error) => entry(error.message()).failed(),
        })?;
        let (report, snapshot) = retried?;
        judged(context, report, &snapshot)
    }
}

fn is_running(run: &Snapshot) -> bool {
    run.outcome == RecoveryOutcome::Running
}

fn would_retry(current: Option<&Snapshot>, phase: &str) -> RetryReport {
    let report = current.and_then(|run| RetryReport::new(run, phase, "nobody".into()));
    report.map_or_else(
        || RetryReport::of_the_first(phase),
        |report| RetryReport { dry_run: true, waited: Vec::new(), ..report },
    )
}

type Retried = (RetryReport, Snapshot);

/// The phase is at work in a recovery that is under way: its next try begins at once.
fn wait_for_the_next_try(
    context: &mut Context<'_>,
    dir: &StateDir,
    phases: &[&str],
    run: &Snapshot,
    phase: &str,
) -> Result<Retried, OperationError> {
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
        return Err(OperationError::new(ErrorKind::Held, message).code("recovery-under-way").hint(hint));
    }
    context.note(&format!("phase {phase} is tried at once by process {}", run.pid));
    let interrupt = context.front().catch();
    loop {
        let now = read_current(dir).filter(|now| now.recovery_id == run.recovery_id);
        match now {
            Some(now) if !is_running(&now) => return done(&now, phase, "recovery"),
            Some(_) => pause(&*interrupt)?,
            None => return Err(failed("the recovery is over, and another one has begun")),
        }
    }
}

fn done(snapshot: &Snapshot, phase: &str, by: &'static str) -> Result<Retried, OperationError> {
    let report = RetryReport::new(snapshot, phase, by.into());
    let report = report.ok_or_else(|| failed(&format!("the recovery tells nothing of phase {phase}")))?;
    Ok((report, snapshot.clone()))
}

fn pause(interrupt: &dyn Interrupt) -> Result<(), OperationError> {
    std::thread::sleep(LOOK_EVERY);
    interrupt.requested().map_or(Ok(()), Err)
}

/// The daemon does it between two looks at the queue; its record names the request.
fn ask_daemon(
    context: &mut Context<'_>,
    dir: &StateDir,
    phases: &[&str],
    daemon: &DaemonInfo,
    phase: &str,
) -> Result<Retried, OperationError> {
    let actor = context.actor();
    let asking = Asking { known: phases, phase, by: &actor.by, why: actor.why.as_deref() };
    let (id, is_own) = request_retry_of_daemon(dir, asking)?;
    let withdraw = || if is_own { withdraw_retry(dir, phase, id) } else { Ok(()) };
    context.note(&format!("the daemon (process {}) tries phase {phase} again", daemon.pid));
    let interrupt = context.front().catch();
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
            return Err(failed(
                "the daemon did not try it: what it waits for is not done, or the request was withdrawn",
            )
            .hint(hint));
        }
        if running_daemon(dir)?.is_none_or(|now| now.pid != daemon.pid) {
            withdraw()?;
            return Err(failed("the daemon ended before it tried"));
        }
        if let Err(interrupted) = pause(&*interrupt) {
            withdraw()?;
            return Err(interrupted);
        }
    }
}

fn run_here(
    context: &mut Context<'_>,
    dir: &StateDir,
    recovery: Recovery,
    phase: &str,
) -> Result<Retried, OperationError> {
    withdraw_skip(dir, phase)?;
    let mut only = vec![phase.to_owned()];
    // After a crash loop: what waits for the phase that died is not done before that phase is.
    only.extend(safe_mode(dir)?.as_ref().and_then(SafeMode::phase).map(str::to_owned));
    let observer = context.front().observer();
    let options = RunOptions { only, ..run_options(context, "retry", &[], observer) };
    let interrupt = context.front().catch();
    let (record, _) = cancellable(&*interrupt, &options.cancel.clone(), || recovery.run(&options))?;
    done(&record.snapshot, phase, "this process")
}

fn failed(message: &str) -> OperationError {
    OperationError::new(ErrorKind::Failed, message.to_owned()).code("not-retried")
}

fn judged(
    context: &mut Context<'_>,
    report: RetryReport,
    snapshot: &Snapshot,
) -> Result<Done<RetryReport>, OperationError> {
    if snapshot.outcome == RecoveryOutcome::Cancelled {
        let requested = context.front().interrupt().requested();
        return Err(requested.unwrap_or_else(|| failed("it was cancelled")).with_report(report));
    }
    match report.status {
        PhaseStatus::Succeeded => Ok(Done::complete_if(snapshot.outcome != RecoveryOutcome::Failed, report)),
        PhaseStatus::Failed | PhaseStatus::Blocked => {
            let why = report.message.as_deref().unwrap_or("no reason given");
            let message = format!("phase {} {} again: {why}", report.component, report.status.word());
            let error = OperationError::new(ErrorKind::Failed, message).code("phase-failed");
            Err(error.hint("recoveryctl status").with_report(report))
        }
        _ => Ok(Done::complete_if(false, report)),
    }
}
