//! `skip PHASE`: passes a phase of the recovery over, of the one that runs or of the next.

use clap::Args;
use recovery::audit::{Entry, Trail};
use recovery::findings::Object;
use recovery::recovery::{PhaseStatus, Recovery, RecoveryOutcome, RequestError, read_current, request_skip};
use recovery::startup::StartedBy;
use recovery::state::StateDir;
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::settings::recovering;

/// Pass a recovery phase over, before or while it runs
///
/// Asks the recovery that is under way, or else the next one.
#[derive(Debug, Args)]
pub(crate) struct SkipArgs {
    /// The phase
    phase: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PhaseSkip")]
pub(crate) struct SkipReport {
    phase: String,
    /// False when it came too late.
    accepted: bool,
    /// Where the phase stood.
    was: PhaseStatus,
    dry_run: bool,
}

pub(crate) fn cmd_skip(context: &mut Context, args: &SkipArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let phases = Recovery::new(&dir, recovering(&context.operation()?, StartedBy::Recover, false)?)?.phases();
    let report = if context.is_dry_run() {
        rehearse(&dir, &phases, &args.phase)?
    } else {
        request(context, &dir, &phases, &args.phase)?
    };
    context.output.report(&report, |text| {
        let name = &report.phase;
        text.line(match (report.accepted, report.dry_run) {
            (true, false) => format!("phase {name} will be passed over (it was {})", report.was.word()),
            (true, true) => format!("phase {name} would be passed over (it is {})", report.was.word()),
            (false, _) => format!("phase {name} has already ended: {}", report.was.word()),
        });
    });
    Ok(if report.accepted { Ending::Done } else { Ending::Degraded })
}

fn request(context: &Context, dir: &StateDir, phases: &[&str], phase: &str) -> Result<SkipReport, CliError> {
    let actor = context.actor();
    let trail = Trail::open(dir)?;
    let answer = request_skip(dir, phases, phase, &actor.by, actor.why.as_deref());
    let entry = |detail: String| Entry::done(dir.clock.now(), &actor, "skip", Object::phase(phase), detail);
    match answer {
        Ok(answer) => {
            let detail = match answer.accepted {
                true => format!("accepted; it was {}", answer.was.word()),
                false => format!("came too late; it was {}", answer.was.word()),
            };
            trail.record(&entry(detail))?;
            Ok(SkipReport { phase: answer.phase, accepted: answer.accepted, was: answer.was, dry_run: false })
        }
        Err(error) => {
            if matches!(error, RequestError::Disk(_)) {
                trail.record(&entry(String::new()).failed())?;
            }
            Err(error.into())
        }
    }
}

fn rehearse(dir: &StateDir, phases: &[&str], phase: &str) -> Result<SkipReport, CliError> {
    if !phases.contains(&phase) {
        let known = phases.iter().map(|&name| name.to_owned()).collect();
        return Err(RequestError::UnknownPhase { name: phase.to_owned(), known }.into());
    }
    let current = read_current(dir).filter(|run| run.outcome == RecoveryOutcome::Running);
    let was = current.and_then(|run| Some(run.phase(phase)?.status)).unwrap_or(PhaseStatus::Pending);
    Ok(SkipReport { phase: phase.to_owned(), accepted: !was.is_over(), was, dry_run: true })
}
