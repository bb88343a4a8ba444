//! `repair`: mends damage, and says what it did about each thing.

use std::collections::BTreeSet;

use crate::audit::{Entry as AuditEntry, Trail};
use crate::findings::Object;
use crate::jobs::{AssumeRefused, Reconciliation, assume_dead};
use crate::operations::Method;
use crate::operations::jobs::ids::no_such_job;
use crate::operations::prelude::*;
use crate::operations::settings::{delivering, judging};
use crate::queue::{JobId, Queue};
use crate::repair::{Part, RepairReport, RepairSettings, repair};
use crate::state::StateDir;

/// Repair damage: in the queue's files, in jobs that ended unseen, in repository locks, in the log of deliveries
///
/// Lists every act with its object and reason; --dry-run lists them and does nothing. What cannot be read is
/// kept in quarantine. What only you can decide about is named with the command for it. A second run finds
/// nothing to do. Ends with 3 when an act failed or something is left to decide.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct RepairRequest {
    /// What to repair
    #[arg(value_name = "PART", value_enum, default_value = "all")]
    pub part: RepairPart,
    /// Declare this running job dead, of which neither life nor death can be proven; needs --reason
    ///
    /// Its end is recorded as a crash, and its policy says what follows. A job that is alive is never
    /// declared dead.
    #[arg(long, value_name = "JOB")]
    pub assume_dead: Vec<String>,
}

/// What is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum RepairPart {
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

impl RepairPart {
    fn parts(self) -> BTreeSet<Part> {
        match self {
            RepairPart::Queue => BTreeSet::from([Part::Queue]),
            RepairPart::Jobs => BTreeSet::from([Part::Jobs]),
            RepairPart::Locks => BTreeSet::from([Part::Locks]),
            RepairPart::Webhooks => BTreeSet::from([Part::Webhooks]),
            RepairPart::All => Part::ALL.into(),
        }
    }
}

/// What was done about each thing.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct RepairAnswer {
    #[serde(flatten)]
    pub report: RepairReport,
    /// Jobs that were declared dead.
    pub assumed_dead: Vec<AssumedDead>,
}

/// A job that was declared dead.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub struct AssumedDead {
    pub job_id: String,
    /// What was recorded: `crashed`, or what the job provably was.
    pub outcome: String,
}

impl Operation for RepairRequest {
    type Report = RepairAnswer;

    const ENTRY: Entry = Entry::local(Method::Post, &["repair"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RepairAnswer>, OperationError> {
        let dry_run = context.is_dry_run();
        let (dir, identity) = match dry_run {
            true => (context.state_dir()?, None),
            false => context.state_dir_for_repair()?,
        };
        let (jobs, webhooks) = (judging(context), delivering(context.settings())?);
        let settings = RepairSettings { parts: self.part.parts(), dry_run, jobs, webhooks };
        let trail = if dry_run { None } else { Some(Trail::open(&dir)?) };
        let assumed_dead = self.declare_dead(context, &dir, &settings)?;
        let report = repair(&dir, &settings)?;
        if let Some(trail) = trail {
            enter(context, &dir, &trail, &report)?;
        }
        if let Some(repair) = identity {
            let from =
                repair.source.map_or_else(|| "nowhere: it is new".to_owned(), |p| p.display().to_string());
            context.warn(&format!("state.json was lost or damaged; its id was taken from {from}"));
        }
        let is_whole = !report.is_incomplete() && report.left.is_empty();
        Ok(Done::complete_if(is_whole, RepairAnswer { report, assumed_dead }))
    }
}

impl RepairRequest {
    fn declare_dead(
        &self,
        context: &mut Context<'_>,
        dir: &StateDir,
        settings: &RepairSettings,
    ) -> Result<Vec<AssumedDead>, OperationError> {
        if self.assume_dead.is_empty() {
            return Ok(Vec::new());
        }
        if !settings.parts.contains(&Part::Jobs) {
            return Err(OperationError::new(ErrorKind::Usage, "--assume-dead is about jobs")
                .hint("recoveryctl repair jobs --assume-dead JOB --reason TEXT"));
        }
        if context.reason().is_none() {
            let message = "--assume-dead needs --reason: it is your decision, and stays in the audit trail";
            return Err(OperationError::new(ErrorKind::Usage, message).code("reason-needed"));
        }
        let parse = |text: &String| text.parse().map_err(|_| no_such_job(text));
        let ids: Vec<JobId> = self.assume_dead.iter().map(parse).collect::<Result<_, _>>()?;
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
            let outcome = Reconciliation::as_str(&outcome).to_owned();
            assumed.push(AssumedDead { job_id: id.to_string(), outcome });
        }
        Ok(assumed)
    }
}

/// The acts that no other log tells of.
fn enter(
    context: &Context<'_>,
    dir: &StateDir,
    trail: &Trail,
    report: &RepairReport,
) -> Result<(), OperationError> {
    let actor = context.actor();
    for act in report.actions.iter().filter(|act| !act.is_in_queue_log) {
        let detail = format!("{}: {}; {}", act.action, act.reason, act.detail);
        let entry = AuditEntry::done(dir.clock.now(), &actor, "repair", act.object.clone(), detail);
        let entry = match matches!(act.object, Object::Lock(_)) {
            true => entry.with_evidence(vec![act.reason.clone(), act.detail.clone()]),
            false => entry,
        };
        trail.record(&if act.done { entry } else { entry.failed() })?;
    }
    Ok(())
}

fn refused(id: &JobId, error: &AssumeRefused) -> OperationError {
    let message = format!("job {id} is not declared dead: {error}");
    match error {
        AssumeRefused::NoSuchJob => no_such_job(&id.to_string()),
        AssumeRefused::Alive { .. } => OperationError::new(ErrorKind::Held, message)
            .code("job-still-alive")
            .hint("recoveryctl jobs sentinels"),
        _ => OperationError::new(ErrorKind::Failed, message)
            .code("job-not-running")
            .hint("recoveryctl jobs list"),
    }
}

plain_requests! {
    /// Repair the queue's log and snapshots
    RepairQueue;
}

impl Operation for RepairQueue {
    type Report = RepairAnswer;

    const ENTRY: Entry = Entry::post(
        &["repair", "queue"],
        "/api/admin/recovery/queue/repair",
        "Repairs damage in the queue's files",
    );

    fn run(&self, context: &mut Context<'_>) -> Result<Done<RepairAnswer>, OperationError> {
        RepairRequest { part: RepairPart::Queue, assume_dead: Vec::new() }.run(context)
    }
}
