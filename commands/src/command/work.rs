//! `work`: recovers, then runs what is queued, without a daemon.

use std::collections::BTreeSet;

use clap::Args;
use recovery::daemon::{Scheduler, running_daemon};
use recovery::queue::{Job, JobId, JobStatus, Queue, QueueState};
use recovery::recovery::{Recovery, RecoveryOutcome};
use recovery::report::held_repositories;
use recovery::report::queue::waiting_for;
use recovery::startup::{StartedBy, safe_mode};
use recovery::state::{StateDir, Timestamp, human};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::leave_job::{Server, leave_job};
use crate::log::{self, LogArgs};
use crate::paint::Tone;
use crate::settings::{recovering, run_options, scheduling};
use crate::text::Text;
use recovery::operations::interrupt::cancellable;
use recovery::operations::jobs::ids::find_to_change;
use recovery::operations::recovery::ending;

/// Run queued jobs without a daemon
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// Run what can be started now, wait for it, and end
    #[arg(long, required = true)]
    once: bool,
    /// How many jobs run at a time [default: as configured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Run these queued jobs without a daemon, and wait for them
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Which jobs
    #[arg(required = true, value_name = "JOB_ID")]
    jobs: Vec<String>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// What the command ran.
#[derive(Debug, Serialize)]
struct WorkReport {
    started: Vec<Outcome>,
    /// Jobs that were named and not run here.
    not_started: Vec<NotStarted>,
    /// Still waiting: for a time, a repository, or a worker.
    left_queued: u64,
    /// Why the host cannot start any job, when that is so.
    host_cannot_start: Option<String>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    job_id: String,
    status: &'static str,
    attempt: u32,
    exit_code: Option<i32>,
    signal: Option<i32>,
}

#[derive(Debug, Serialize)]
struct NotStarted {
    job_id: String,
    status: &'static str,
    reason: String,
}

impl WorkReport {
    /// Whether every named job ran here and succeeded.
    fn is_as_asked(&self) -> bool {
        let succeeded = |job: &Outcome| job.status == JobStatus::Succeeded.as_str();
        self.not_started.is_empty() && self.started.iter().all(succeeded)
    }
}

pub(crate) fn cmd_work(context: &mut Context, args: &WorkArgs) -> Result<Ending, CliError> {
    debug_assert!(args.once);
    context.refuse_dry_run()?;
    leave_job(Server::Work)?;
    let dir = context.state_dir()?;
    let dir = context.notice_restore(dir)?;
    log::keep_in(&dir);
    let report = run(context, &dir, args.workers.map(usize::from), &BTreeSet::new())?;
    // The results of the jobs are their own: the queue was worked off.
    Ok(if report.host_cannot_start.is_some() { Ending::Degraded } else { Ending::Done })
}

pub(crate) fn cmd_run(context: &mut Context, args: &RunArgs) -> Result<Ending, CliError> {
    context.refuse_dry_run()?;
    leave_job(Server::Work)?;
    let dir = context.state_dir()?;
    let dir = context.notice_restore(dir)?;
    log::keep_in(&dir);
    let queue = Queue::open(&dir)?;
    let mut only = BTreeSet::new();
    for text in &args.jobs {
        only.insert(find_to_change(queue.state(), text)?.id.clone());
    }
    let report = run(context, &dir, None, &only)?;
    Ok(if report.is_as_asked() { Ending::Done } else { Ending::Degraded })
}

fn run(
    context: &mut Context,
    dir: &StateDir,
    workers: Option<usize>,
    only: &BTreeSet<JobId>,
) -> Result<WorkReport, CliError> {
    refuse_in_safe_mode(dir)?;
    let settings = scheduling(context, dir, workers, only.clone())?;
    let queue = recovered_queue(context, dir)?;
    let what =
        if only.is_empty() { "the jobs that wait".to_owned() } else { human::count(only.len(), "job") };
    context.enter(dir, if only.is_empty() { "work" } else { "run" }, "queue", what)?;
    let mut scheduler = Scheduler::new(dir.clone(), queue, settings);
    context.interruption.catch();
    let interruption = context.interruption.clone();
    scheduler.run_until_idle(&|| interruption.requested().is_some())?;
    if let Some(error) = context.interruption.requested() {
        return Err(error.hint("the jobs that were started go on; recoveryctl jobs list"));
    }
    let report = report(context, dir, &scheduler, only)?;
    context.output.report(&report, |text| render(text, &report));
    Ok(report)
}

fn render(text: &mut Text, report: &WorkReport) {
    for job in &report.started {
        let how = match (job.exit_code, job.signal) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => format!("attempt {}", job.attempt),
        };
        text.line(format!("{}  {}  {how}", job.job_id, job.status.replace('_', " ")));
    }
    for job in &report.not_started {
        text.toned(Tone::Warning, format!("{}  {}  not started: {}", job.job_id, job.status, job.reason));
    }
    if let Some(why) = &report.host_cannot_start {
        text.toned(Tone::Bad, format!("no job can be started on this host: {why}; the jobs stay queued"));
    } else if report.started.is_empty() && report.not_started.is_empty() {
        text.line("nothing to start");
    }
}

/// After a crash loop no job is started until somebody says so.
fn refuse_in_safe_mode(dir: &StateDir) -> Result<(), CliError> {
    let Some(safe) = safe_mode(dir)? else { return Ok(()) };
    let error =
        CliError::new(ErrorKind::Refused, format!("safe mode: {}; no job is started", safe.sentence()));
    let error = error.code("safe-mode").hint("recoveryctl startup clear");
    Err(match safe.phase() {
        Some(phase) => error.hint(format!("recoveryctl retry phase {phase}")),
        None => error,
    })
}

/// Returns the queue. With a living daemon it is recovered already.
fn recovered_queue(context: &mut Context, dir: &StateDir) -> Result<Queue, CliError> {
    if running_daemon(dir)?.is_some() {
        return Ok(Queue::open(dir)?);
    }
    let recovery = Recovery::new(dir, recovering(&context.operation()?, StartedBy::Work, true)?)
        .map_err(|e| CliError::new(ErrorKind::Failed, e))?;
    let options = run_options(&context.operation()?, "work", &[], None);
    context.interruption.catch();
    let (record, queue) =
        cancellable(&context.interruption, &options.cancel.clone(), || recovery.run(&options))?;
    if !matches!(record.snapshot.outcome, RecoveryOutcome::Completed | RecoveryOutcome::Degraded) {
        ending(&mut context.operation()?, &record)?;
    }
    match queue {
        Some(queue) => Ok(queue),
        None => Ok(Queue::open(dir)?),
    }
}

fn report(
    context: &mut Context,
    dir: &StateDir,
    scheduler: &Scheduler,
    only: &BTreeSet<JobId>,
) -> Result<WorkReport, CliError> {
    let state: &QueueState = scheduler.queue().state();
    let host_cannot_start = scheduler.why_host_cannot_start().map(str::to_owned);
    let outcome = |id: &JobId| {
        let job = state.get(id)?;
        // A job that is queued again because the host could not start it did not run.
        let has_run = job.status != JobStatus::Queued || host_cannot_start.is_none();
        has_run.then(|| Outcome {
            job_id: id.to_string(),
            status: job.status.as_str(),
            attempt: job.attempt,
            exit_code: job.run_state().exit_code,
            signal: job.run_state().signal,
        })
    };
    let (held, now) = (held_repositories(dir, state)?, dir.clock.now());
    let missed = only.iter().filter(|id| !scheduler.started().contains(id)).filter_map(|id| state.get(id));
    let not_started = missed.map(|job| NotStarted {
        job_id: job.id.to_string(),
        status: job.status.as_str(),
        reason: why_not_by_caller(context, dir, job)
            .or_else(|| host_cannot_start.clone().filter(|_| job.status == JobStatus::Queued))
            .unwrap_or_else(|| why_not(state, &held, job, now)),
    });
    let mut seen = BTreeSet::new();
    let once = scheduler.started().iter().filter(|id| seen.insert(*id));
    Ok(WorkReport {
        started: once.filter_map(outcome).collect(),
        not_started: not_started.collect(),
        left_queued: state.counts().queued,
        host_cannot_start,
    })
}

/// Returns why a job cannot be waited for: this command runs inside of it, so it would wait for ever.
fn why_not_by_caller(context: &mut Context, dir: &StateDir, job: &Job) -> Option<String> {
    if job.status == JobStatus::Running && context.runs_inside_job(dir, &job.id) {
        return Some("it is the job that this command runs inside".to_owned());
    }
    let repository = job.repository.as_deref().filter(|_| job.status == JobStatus::Queued)?;
    let holder = context.caller().is_inside(dir, repository)?;
    Some(format!(
        "its repository is held by {holder}, and this command runs inside it: submit the job, and it starts when \
         that has ended"
    ))
}

fn why_not(state: &QueueState, held: &BTreeSet<String>, job: &Job, now: Timestamp) -> String {
    match (job.status, job.pauses_until(now), waiting_for(state, held, job)) {
        (JobStatus::Running, ..) => "it is running already".to_owned(),
        (JobStatus::Queued, Some(at), _) => format!("it is not to start before {at}"),
        (JobStatus::Queued, None, Some(holder)) => format!("its repository is taken, by {holder}"),
        (JobStatus::Queued, None, None) => "no worker was free".to_owned(),
        _ => format!("it {}", job.status.said()),
    }
}
