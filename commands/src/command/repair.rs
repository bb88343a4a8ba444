//! `repair`: mends damage, and says what it did about each thing.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use recovery::audit::{Entry, Trail};
use recovery::findings::Object;
use recovery::jobs::{AssumeRefused, Reconciliation, assume_dead};
use recovery::queue::{JobId, Queue};
use recovery::repair::{Part, RepairReport, RepairSettings, repair};
use recovery::state::{StateDir, human};
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::paint::Tone;
use crate::settings::{delivering, judging};
use crate::table::{Cell, Table};
use crate::text::Text;
use recovery::operations::jobs::ids::no_such_job;

/// Mend damage: in the queue's files, in jobs that ended unseen, in repository locks, in the log of deliveries
///
/// Lists every act with its object and reason; --dry-run lists them and does nothing. What cannot be read is
/// kept in quarantine. What only you can decide about is named with the command for it. A second run finds
/// nothing to do. Ends with 3 when an act failed or something is left to decide.
#[derive(Debug, Args)]
pub(crate) struct RepairArgs {
    /// What to repair
    #[arg(value_name = "PART", value_enum, default_value = "all")]
    part: PartArg,
    /// Declare this running job dead, of which neither life nor death can be proven; needs --reason
    ///
    /// Its end is recorded as a crash, and its policy says what follows. A job that is alive is never
    /// declared dead.
    #[arg(long, value_name = "JOB")]
    assume_dead: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PartArg {
    /// The queue's log and snapshots
    Queue,
    /// Running jobs that are over, and the jobs' own records
    Jobs,
    /// Repository locks
    Locks,
    /// The log of deliveries
    Webhooks,
    /// All of it
    All,
}

impl PartArg {
    fn parts(self) -> BTreeSet<Part> {
        match self {
            PartArg::Queue => BTreeSet::from([Part::Queue]),
            PartArg::Jobs => BTreeSet::from([Part::Jobs]),
            PartArg::Locks => BTreeSet::from([Part::Locks]),
            PartArg::Webhooks => BTreeSet::from([Part::Webhooks]),
            PartArg::All => Part::ALL.into(),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RepairAnswer {
    #[serde(flatten)]
    report: RepairReport,
    /// Jobs that were declared dead.
    assumed_dead: Vec<AssumedDead>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AssumedDead {
    job_id: String,
    /// What was recorded: `crashed`, or what the job provably was.
    outcome: &'static str,
}

pub(crate) fn cmd_repair(context: &mut Context, args: &RepairArgs) -> Result<Ending, CliError> {
    let (dir, identity) = if context.is_dry_run() {
        (context.state_dir()?, None)
    } else {
        context.operation()?.state_dir_for_repair()?
    };
    let jobs = judging(&context.operation()?);
    let webhooks = delivering(context.settings()?)?;
    let settings = RepairSettings { parts: args.part.parts(), dry_run: context.is_dry_run(), jobs, webhooks };
    let trail = if settings.dry_run { None } else { Some(Trail::open(&dir)?) };
    let assumed_dead = declare_dead(context, args, &dir, &settings)?;
    let report = repair(&dir, &settings)?;
    if let Some(trail) = trail {
        enter(context, &dir, &trail, &report)?;
    }
    let answer = RepairAnswer { report, assumed_dead };
    context.output.report(&answer, |text| render(text, &answer));
    if let Some(repair) = identity {
        let from = repair.source.map_or_else(|| "nowhere: it is new".to_owned(), |p| p.display().to_string());
        context.output.warning(&format!("state.json was lost or damaged; its id was taken from {from}"));
    }
    let report = &answer.report;
    for left in &report.left {
        context.output.hint(&format!("{}: {}", left.object, left.next));
    }
    Ok(if report.is_incomplete() || !report.left.is_empty() { Ending::Degraded } else { Ending::Done })
}

/// The acts that no other log tells of.
fn enter(context: &Context, dir: &StateDir, trail: &Trail, report: &RepairReport) -> Result<(), CliError> {
    let actor = context.actor();
    for act in report.actions.iter().filter(|act| !act.is_in_queue_log) {
        let detail = format!("{}: {}; {}", act.action, act.reason, act.detail);
        let entry = Entry::done(dir.clock.now(), &actor, "repair", act.object.clone(), detail);
        let entry = match matches!(act.object, Object::Lock(_)) {
            true => entry.with_evidence(vec![act.reason.clone(), act.detail.clone()]),
            false => entry,
        };
        trail.record(&if act.done { entry } else { entry.failed() })?;
    }
    Ok(())
}

fn declare_dead(
    context: &mut Context,
    args: &RepairArgs,
    dir: &StateDir,
    settings: &RepairSettings,
) -> Result<Vec<AssumedDead>, CliError> {
    if args.assume_dead.is_empty() {
        return Ok(Vec::new());
    }
    if !settings.parts.contains(&Part::Jobs) {
        return Err(CliError::new(ErrorKind::Usage, "--assume-dead is about jobs")
            .hint("recoveryctl repair jobs --assume-dead JOB --reason TEXT"));
    }
    if context.actor().why.is_none() {
        return Err(CliError::new(
            ErrorKind::Usage,
            "--assume-dead needs --reason: it is your decision, and stays in the audit trail",
        )
        .code("reason-needed"));
    }
    let ids: Vec<JobId> = args
        .assume_dead
        .iter()
        .map(|text| text.parse().map_err(|_| no_such_job(text)))
        .collect::<Result<_, _>>()?;
    let mut queue = Queue::open(dir)?;
    // All of them are looked at before any is declared.
    for id in &ids {
        assume_dead(dir, &mut queue, id, &settings.jobs, true)?.map_err(|e| refused(id, &e))?;
    }
    if !settings.dry_run {
        context.confirm("if one of them is alive after all, it may run twice; declare them dead?")?;
    }
    let mut assumed = Vec::new();
    for id in ids {
        let reconciliation = assume_dead(dir, &mut queue, &id, &settings.jobs, settings.dry_run)?;
        let outcome = reconciliation.map_err(|e| refused(&id, &e))?;
        assumed.push(AssumedDead { job_id: id.to_string(), outcome: Reconciliation::as_str(&outcome) });
    }
    Ok(assumed)
}

fn refused(id: &JobId, error: &AssumeRefused) -> CliError {
    let message = format!("job {id} is not declared dead: {error}");
    match error {
        AssumeRefused::NoSuchJob => no_such_job(&id.to_string()),
        AssumeRefused::Alive { .. } => {
            CliError::new(ErrorKind::Held, message).code("job-still-alive").hint("recoveryctl jobs sentinels")
        }
        _ => CliError::new(ErrorKind::Failed, message).code("job-not-running").hint("recoveryctl jobs list"),
    }
}

fn render(text: &mut Text, answer: &RepairAnswer) {
    let report = &answer.report;
    for dead in &answer.assumed_dead {
        let act = if report.dry_run { "would be" } else { "was" };
        text.line(format!("job {}: {act} declared dead ({})", dead.job_id, dead.outcome.replace('_', " ")));
    }
    let mut table = Table::new(&["OBJECT", "ACT", "DONE", "BECAUSE"]);
    for act in &report.actions {
        let (done, tone) = match (&act.error, act.done) {
            (_, true) => ("yes".to_owned(), Tone::Good),
            (None, false) if report.dry_run => ("would".to_owned(), Tone::Plain),
            (error, false) => {
                (error.as_ref().map_or_else(|| "no".to_owned(), |e| format!("no: {e}")), Tone::Bad)
            }
        };
        table.row([
            Cell::from(act.object.to_string()),
            Cell::from(act.action),
            Cell::toned(done, tone),
            Cell::toned(format!("{}: {}", act.reason, act.detail), Tone::Faint),
        ]);
    }
    text.table(&table);
    for left in &report.left {
        text.gap();
        text.toned(Tone::Warning, format!("{}: {}", left.object, left.reason));
        left.evidence.iter().for_each(|piece| text.toned(Tone::Faint, format!("  - {piece}")));
    }
    for kept in &report.quarantined {
        text.line(format!("kept: {kept}"));
    }
    let (before, after) = (report.before.problems, report.after.problems);
    if report.dry_run {
        text.line(format!("{}; nothing was changed", human::count(before, "problem")));
    } else if before == 0 {
        text.toned(Tone::Good, "nothing to repair");
    } else {
        text.line(format!("{} before, {after} now", human::count(before, "problem")));
    }
}
