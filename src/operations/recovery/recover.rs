//! `recover`: runs the recovery sequence, or tries it on a copy.

use crate::daemon::running_daemon;
use crate::findings::{Finding, Object, catalogue};
use crate::operations::interrupt::cancellable;
use crate::operations::prelude::*;
use crate::operations::settings::{cleaning, recovering, run_options, scanning_at_start};
use crate::queue::Queue;
use crate::recovery::{
    PhaseStatus, Recovery, RecoveryOutcome, RecoveryRecord, Rehearsal, RunOptions, rehearse,
};
use crate::startup::StartedBy;
use crate::state::StateDir;

/// Run the recovery: what a crash left is judged and settled, damage is repaired or named
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct Recover {
    /// Pass a phase over
    #[arg(long, value_name = "PHASE")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// Do it on a private copy and show what would happen; nothing of the state directory is changed
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearse: bool,
}

/// What the recovery did, or would do.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Recovered {
    /// It was tried on a copy.
    Rehearsed(Box<Rehearsal>),
    /// It was done.
    Done(Box<RecoveryRecord>),
}

/// What a recovery comes to: its record, and the queue if that can be used.
pub type Run = (RecoveryRecord, Option<Queue>);

impl Operation for Recover {
    type Report = Recovered;

    const ENTRY: Entry = Entry::local(Method::Post, &["recover"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<Recovered>, OperationError> {
        if self.rehearse || context.is_dry_run() {
            return self.rehearse(context);
        }
        self.run_with(context, |context, _, recovery, options| {
            let options = RunOptions { observer: context.front().observer(), ..options };
            let interrupt = context.front().catch();
            Ok(cancellable(&*interrupt, &options.cancel.clone(), || recovery.run(&options))?)
        })
    }
}

impl Recover {
    /// Recovers, with what runs the sequence and shows how far it is.
    pub fn run_with<'a>(
        &self,
        context: &mut Context<'a>,
        run: impl FnOnce(&mut Context<'a>, &StateDir, Recovery, RunOptions) -> Result<Run, OperationError>,
    ) -> Result<Done<Recovered>, OperationError> {
        // One of its folders cannot be made: the phases that need it say so, and the others are done.
        let (dir, repair) = match context.state_dir_for_repair() {
            Err(e) => (context.state_dir().map_err(|_| e)?, None),
            opened => opened?,
        };
        let dir = context.notice_restore_or_warn(dir);
        refuse_beside_daemon(&dir)?;
        let (cleaning, scanning) = (cleaning(context), scanning_at_start(context));
        let recovery = Recovery::new(&dir, recovering(context, StartedBy::Recover, true)?)
            .map_err(|e| OperationError::new(ErrorKind::Failed, e))?
            .cleaning_now(&cleaning)
            .scanning(&scanning);
        let options = run_options(context, "recover", &self.skip, None);
        let (mut record, _) = run(context, &dir, recovery, options)?;
        if let Some(repair) = repair {
            let from =
                repair.source.map_or_else(|| "nowhere: it is new".to_owned(), |p| p.display().to_string());
            let sentence = format!("state.json was lost or damaged; its id was taken from {from}");
            let found = Finding::new(&catalogue::STATE_IDENTITY_REBUILT, Object::State, sentence);
            record.snapshot.findings.insert(0, found);
        }
        let detail = format!("recovery {} {}", record.snapshot.recovery_id, record.snapshot.outcome.word());
        context.enter(&dir, "recover", "state", detail);
        let ending = ending(context, &record);
        judged(ending, Recovered::Done(Box::new(record)))
    }

    /// What a recovery would do, tried on a copy.
    fn rehearse(&self, context: &mut Context<'_>) -> Result<Done<Recovered>, OperationError> {
        let dir = context.state_dir()?;
        let settings = recovering(context, StartedBy::Recover, true)?;
        let observer = context.front().observer();
        let options = run_options(context, "rehearsal", &self.skip, observer);
        let interrupt = context.front().catch();
        let rehearsal = cancellable(&*interrupt, &options.cancel.clone(), || {
            rehearse(&dir, &std::env::temp_dir(), settings, &options)
        })?;
        let ending = if !rehearsal.proof.unchanged && rehearsal.proof.live.is_empty() {
            let message =
                "the state directory changed during the rehearsal, and nobody is known to work on it";
            Err(OperationError::new(ErrorKind::Failed, message).code("changed-meanwhile"))
        } else {
            ending(context, &rehearsal.record)
        };
        judged(ending, Recovered::Rehearsed(Box::new(rehearsal)))
    }
}

fn judged(
    ending: Result<Ending, OperationError>,
    report: Recovered,
) -> Result<Done<Recovered>, OperationError> {
    match ending {
        Ok(ending) => Ok(Done { report, ending }),
        Err(error) => Err(error.with_report(report)),
    }
}

/// A daemon has recovered already.
fn refuse_beside_daemon(dir: &StateDir) -> Result<(), OperationError> {
    let Some(daemon) = running_daemon(dir)? else { return Ok(()) };
    let message =
        format!("process {} (daemon) has recovered this state directory and works on it", daemon.pid);
    let error = OperationError::new(ErrorKind::Held, message).hint("recoveryctl status");
    Err(match daemon.safe_mode {
        false => error,
        true => error.hint("it is in safe mode; to leave: recoveryctl startup clear"),
    })
}

/// How it ends, by how the recovery did.
pub fn ending(context: &mut Context<'_>, record: &RecoveryRecord) -> Result<Ending, OperationError> {
    match record.snapshot.outcome {
        RecoveryOutcome::Completed => Ok(Ending::Done),
        RecoveryOutcome::Degraded => Ok(Ending::Degraded),
        RecoveryOutcome::Cancelled => {
            let requested = context.front().interrupt().requested();
            Err(requested.unwrap_or_else(|| failed("the recovery was cancelled")))
        }
        _ => Err(failed(&format!("the recovery {}", why_failed(record)))),
    }
}

fn failed(message: &str) -> OperationError {
    let error = OperationError::new(ErrorKind::Failed, message).code("recovery-failed");
    error.hint("recoveryctl recover")
}

fn why_failed(record: &RecoveryRecord) -> String {
    let failed = record.snapshot.phases.iter().filter(|p| p.status == PhaseStatus::Failed);
    let why: Vec<String> = failed
        .map(|p| {
            format!("failed in phase {}: {}", p.phase, p.message.as_deref().unwrap_or("no reason given"))
        })
        .collect();
    if why.is_empty() { record.snapshot.outcome.word().to_owned() } else { why.join("; ") }
}
