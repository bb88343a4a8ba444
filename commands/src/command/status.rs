//! `status`: health on one screen.

use clap::Args;
use recovery::daemon::running_daemon;
use recovery::locks::{Availability, availability};
use recovery::recovery::{DegradedResource, read_current, read_history, read_last};
use recovery::report::status::{DaemonStatus, Sources, State, Status};
use recovery::state::StateDir;
use recovery::state::names::decode;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::text::{Text, coarse};
use crate::working::judging;

/// Show health on one screen: state, what is the matter, what to do
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

pub(crate) fn cmd_status(context: &mut Context, _args: &StatusArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let limits = judging(context)?.limits;
    let queue = context.queue_to_look(&dir)?;
    // A damaged file costs at most itself: it becomes a finding.
    let (last, history) = (read_last(&dir), read_history(&dir));
    let unreadable: Vec<_> = last.as_ref().err().into_iter().chain(history.as_ref().err()).collect();
    let current = read_current(&dir);
    let daemon = running_daemon(&dir)?.map(|d| DaemonStatus { pid: d.pid, started_at: d.started_at });
    let unavailable = unavailable_repositories(&dir);
    let status = Status::new(&Sources {
        dir: &dir,
        queue: &queue,
        current: current.as_ref(),
        last: last.as_ref().ok().and_then(Option::as_ref),
        unreadable: &unreadable,
        daemon,
        limits,
        unavailable: &unavailable,
    });
    context.output.report(&status, |text| render(text, &status));
    Ok(if matches!(status.state, State::Degraded | State::Damaged) { Ending::Degraded } else { Ending::Done })
}

fn unavailable_repositories(dir: &StateDir) -> Vec<DegradedResource> {
    let Ok(entries) = std::fs::read_dir(dir.paths.locks()) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| decode(e.file_name().to_str()?.strip_suffix(".lock.json")?));
    let unusable = names.filter(|name| availability(dir, name) == Availability::Unavailable);
    let why = "its lock's metadata cannot be understood, so nobody can say who holds it";
    let mut found: Vec<DegradedResource> = unusable
        .map(|name| DegradedResource { object: format!("lock:{name}"), why: why.to_owned() })
        .collect();
    found.sort_by(|a, b| a.object.cmp(&b.object));
    found
}

fn render(text: &mut Text, status: &Status) {
    let (tone, word) = match status.state {
        State::Healthy => (Tone::Good, "HEALTHY"),
        State::Degraded => (Tone::Warning, "DEGRADED"),
        State::Recovering => (Tone::Warning, "RECOVERING"),
        State::Damaged => (Tone::Bad, "DAMAGED"),
    };
    text.toned(tone, format!("{word}  {}", status.state_dir));
    let c = &status.counts;
    let over = [
        (c.succeeded, "succeeded"),
        (c.failed, "failed"),
        (c.timed_out, "timed out"),
        (c.crashed, "crashed"),
        (c.cancelled, "cancelled"),
    ];
    let over: String = over.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!(", {n} {word}")).collect();
    let recovery = status.recovery.as_ref().map_or_else(
        || "none yet".to_owned(),
        |r| format!("{} by {} in {} ({})", r.outcome.word(), r.purpose, coarse(r.duration_ms), r.started_at),
    );
    let daemon = status.daemon.as_ref().map_or_else(|| "none".to_owned(), |d| format!("process {}", d.pid));
    text.fields(&[
        ("status", Some(status.status.clone())),
        ("action", status.action.clone()),
        ("daemon", Some(daemon)),
        ("recovery", Some(recovery)),
        ("jobs", Some(format!("{} queued, {} running{over}", c.queued, c.running))),
    ]);
    if !status.findings.is_empty() {
        text.gap();
        text.findings(&status.findings);
    }
}
