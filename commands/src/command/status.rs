//! `status`: health on one screen.

use clap::Args;
use recovery::daemon::{DaemonInfo, known_daemon};
use recovery::recovery::recovery_ends;
use recovery::report::status::{DaemonStatus, Gathered, State, Status};
use recovery::state::{StateDir, human};
use recovery::webhooks::Survey;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::settings::{delivering, judging};
use crate::text::Text;

/// Show health on one screen: state, what is the matter, what to do
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {}

pub(crate) fn cmd_status(context: &mut Context, _args: &StatusArgs) -> Result<Ending, CliError> {
    let status = status_of(context)?;
    context.output.report(&status, |text| render(text, &status));
    Ok(ending(&status))
}

/// How things stand.
pub(super) fn status_of(context: &mut Context) -> Result<Status, CliError> {
    let dir = context.state_dir()?;
    let limits = judging(&context.operation()?).limits;
    Ok(gathered(context, &dir)?.status(daemon_of(&dir)?, limits))
}

/// All that reports on the whole are made of, read once.
pub(super) fn gathered(context: &mut Context, dir: &StateDir) -> Result<Gathered, CliError> {
    let queue = context.queue_to_look(dir)?;
    // Deliveries that cannot be read must not hide the rest.
    let webhooks = match delivering(context.settings()?) {
        Ok(settings) => {
            Survey::take(dir, queue.state(), &settings.endpoints, &recovery_ends(dir)).map_err(CliError::from)
        }
        Err(e) => Err(e),
    };
    if let Err(e) = &webhooks {
        context.output.warning(&format!("what is undelivered cannot be told: {}", e.message()));
    }
    Ok(Gathered::read(dir, queue).with_webhooks(webhooks.ok()))
}

/// The daemon that lives, as reports show it.
pub(super) fn daemon_of(dir: &StateDir) -> Result<Option<DaemonStatus>, CliError> {
    let shown = |info: DaemonInfo| {
        let DaemonInfo { pid, started_at, safe_mode, address, socket, loop_restarts, .. } = info;
        DaemonStatus { pid, started_at, safe_mode, address, socket, loop_restarts }
    };
    Ok(known_daemon(dir)?.map(shown))
}

pub(super) fn ending(status: &Status) -> Ending {
    match status.state {
        State::Damaged => Ending::Damaged,
        state if state.is_well() => Ending::Done,
        _ => Ending::Degraded,
    }
}

/// How a state looks.
fn tone_of(state: State) -> Tone {
    match state {
        State::Healthy => Tone::Good,
        State::Attention | State::Degraded | State::Unwatched | State::Recovering => Tone::Warning,
        State::SafeMode | State::DataLoss | State::Damaged => Tone::Bad,
    }
}

pub(super) fn render(text: &mut Text, status: &Status) {
    let (tone, word) = (tone_of(status.state), status.state.headline());
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
        |r| {
            format!(
                "{} by {} in {} ({})",
                r.outcome.word(),
                r.purpose,
                human::duration(r.duration_ms),
                r.started_at
            )
        },
    );
    let daemon = status.daemon.as_ref().map_or_else(
        || "none".to_owned(),
        |d| {
            let safe = if d.safe_mode { ", in safe mode" } else { "" };
            format!("process {}{safe}", d.pid)
        },
    );
    text.fields(&[
        ("status", Some(status.status.clone())),
        ("action", status.action.clone()),
        ("daemon", Some(daemon)),
        ("recovery", Some(recovery)),
        ("jobs", Some(format!("{} queued, {} running{over}", c.queued, c.running))),
        (
            "webhooks",
            status
                .webhooks
                .filter(|w| w.total() > 0)
                .map(|w| format!("{} undelivered, {} of them parked", w.total(), w.parked)),
        ),
        (
            "archives",
            status
                .archives
                .filter(|archives| archives.total > 0)
                .map(|archives| format!("{} of git work, {}", archives.total, human::size(archives.bytes))),
        ),
    ]);
    if !status.findings.is_empty() {
        text.gap();
        text.findings(&status.findings);
    }
}
