//! `status`: health on one screen.

use super::prelude::*;
use super::settings::{delivering, judging};
use crate::daemon::{DaemonInfo, known_daemon};
use crate::recovery::recovery_ends;
use crate::report::status::{DaemonStatus, Gathered, State, Status};
use crate::state::StateDir;
use crate::webhooks::Survey;

plain_requests! {
    /// Show health on one screen: state, what is the matter, what to do
    StatusRequest;
}

impl Operation for StatusRequest {
    type Report = Status;

    const ENTRY: Entry = Entry::get(
        &["status"],
        "/api/admin/recovery/status",
        "Health on one screen: state, what is the matter, what to do",
    )
    .from_queue();

    fn run(&self, context: &mut Context<'_>) -> Result<Done<Status>, OperationError> {
        let report = status_of(context)?;
        let ending = ending(&report);
        Ok(Done { report, ending })
    }
}

/// How things stand.
pub(crate) fn status_of(context: &mut Context<'_>) -> Result<Status, OperationError> {
    let dir = context.state_dir()?;
    let limits = judging(context).limits;
    Ok(gathered(context, &dir)?.status(daemon_of(&dir)?, limits))
}

/// All that reports on the whole are made of, read once.
pub(crate) fn gathered(context: &mut Context<'_>, dir: &StateDir) -> Result<Gathered, OperationError> {
    let queue = context.queue_to_look(dir)?;
    // Deliveries that cannot be read must not hide the rest.
    let webhooks = delivering(context.settings()).and_then(|settings| {
        let survey = Survey::take(dir, queue.state(), &settings.endpoints, &recovery_ends(dir));
        survey.map_err(OperationError::from)
    });
    if let Err(e) = &webhooks {
        context.warn(&format!("what is undelivered cannot be told: {}", e.message()));
    }
    Ok(Gathered::read(dir, queue).with_webhooks(webhooks.ok()))
}

/// The daemon that lives, as reports show it.
pub(crate) fn daemon_of(dir: &StateDir) -> Result<Option<DaemonStatus>, OperationError> {
    let shown = |info: DaemonInfo| {
        let DaemonInfo { pid, started_at, safe_mode, address, socket, loop_restarts, .. } = info;
        DaemonStatus { pid, started_at, safe_mode, address, socket, loop_restarts }
    };
    Ok(known_daemon(dir)?.map(shown))
}

/// What a state means for the exit status.
pub fn ending(status: &Status) -> Ending {
    match status.state {
        State::Damaged => Ending::Damaged,
        state if state.is_well() => Ending::Done,
        _ => Ending::Degraded,
    }
}
