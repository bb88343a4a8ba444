//! `jobs prune`: jobs that are over, and old enough, go with all they left.

use clap::Args;
use recovery::cleanup::{CleanupRecord, CleanupStatus};
use recovery::daemon::{CleanedPrune, PruneCleanup, prune_cleaned, would_prune_cleaned};
use recovery::prune::JobRetention;
use recovery::queue::Queue;
use recovery::state::{StateDir, human};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::settings::{judging, retention};
use crate::text::Text;
use recovery::operations::settings::cleaning;

/// Remove jobs that are over, with workspace, output and record
///
/// A job stays as long as one of the rules keeps it, and as long as anything still refers to it: a process, a
/// lock, a callback that is to come, anybody who works in its workspace. What it left besides files (Docker objects,
/// a code index, uncommitted work in a git repository) is cleaned up first; until that is done it stays. Crashed jobs
/// stay unless --crashed is given. The daemon does the same once a day, by jobs.keep_days and jobs.keep_last of the
/// configuration; so does this command when it is given no rule.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Keep the jobs that ended within so many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=36_500))]
    keep_days: Option<u32>,
    /// Keep so many of the jobs that ended last
    #[arg(long, value_name = "N")]
    keep_last: Option<u64>,
    /// Crashed jobs may go too, although they could be resumed
    #[arg(long)]
    crashed: bool,
}

#[derive(Debug, Serialize)]
struct PruneAnswer {
    #[serde(flatten)]
    pruned: CleanedPrune,
    dry_run: bool,
}

pub(crate) fn prune(context: &mut Context, args: &PruneArgs) -> Result<Ending, CliError> {
    let settings = judging(&context.operation()?);
    let (rules, cleanup) = (rules(context, args)?, cleaning(&context.operation()?));
    let dir = context.state_dir()?;
    let mut queue = Queue::open(&dir)?;
    let dry_run = context.is_dry_run();
    let pruned = if dry_run {
        would_prune_cleaned(&dir, &queue, &rules, &cleanup, &settings)
    } else {
        let interruption = context.interruption.clone();
        interruption.catch();
        let stop = || interruption.requested().is_some();
        prune_cleaned(&dir, &mut queue, &rules, &cleanup, &settings, &stop, &|_: &CleanupRecord| ())?
    };
    let answer = PruneAnswer { pruned, dry_run };
    context.output.report(&answer, |text| render(text, &answer, &dir));
    if !context.output.is_json() {
        for kept in &answer.pruned.report.kept {
            context.output.note(&format!("job {} stays: {}", kept.job_id, kept.detail));
        }
        for (path, why) in &answer.pruned.report.trash.failed {
            context.output.warning(&format!("{} stays: {why}", path.display()));
        }
    }
    let is_cleaned = |c: &PruneCleanup| dry_run || c.status == CleanupStatus::Completed;
    let is_whole =
        answer.pruned.report.trash.failed.is_empty() && answer.pruned.cleanups.iter().all(is_cleaned);
    Ok(if is_whole { Ending::Done } else { Ending::Degraded })
}

/// What the flags say; without one, what is configured.
fn rules(context: &mut Context, args: &PruneArgs) -> Result<JobRetention, CliError> {
    let configured = retention(context.settings()?);
    let is_given = args.keep_days.is_some() || args.keep_last.is_some();
    let given = JobRetention { keep_days: args.keep_days, keep_last: args.keep_last, crashed: args.crashed };
    Ok(if is_given { given } else { JobRetention { crashed: args.crashed, ..configured } })
}

fn render(text: &mut Text, answer: &PruneAnswer, dir: &StateDir) {
    let act = if answer.dry_run { "would be removed" } else { "removed" };
    let now = dir.clock.now();
    for job in &answer.pruned.report.removed {
        let (status, ended) = (job.status.replace('_', " "), human::ago(now, job.finished_at));
        text.line(format!("{}: {act}, {status} {ended}", job.job_id));
    }
    for cleanup in &answer.pruned.cleanups {
        let (id, status) = (cleanup.cleanup_id.as_deref().unwrap_or("of its own"), cleanup.status.as_str());
        let status = if answer.dry_run { "to be done first" } else { status };
        let why = cleanup.detail.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        text.line(format!("{}: cleanup {id} {status}{why}", cleanup.job_id));
    }
    let n = answer.pruned.report.removed.len();
    let jobs = human::count(n, "job");
    let mib = answer.pruned.report.trash.bytes_freed as f64 / f64::from(1 << 20);
    match answer.dry_run {
        true => text.line(format!("{jobs} would be removed")),
        false => text.line(format!("{jobs} removed, {mib:.1} MiB given back")),
    }
}
