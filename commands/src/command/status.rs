//! `status`: health on one screen.

use recovery::operations::status::StatusRequest;
use recovery::report::status::{State, Status};
use recovery::state::human;

use crate::operate::Show;
use crate::paint::Tone;
use crate::text::Text;

impl Show for StatusRequest {
    fn show(&self, status: &Status, text: &mut Text) {
        render(text, status);
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

pub(crate) fn render(text: &mut Text, status: &Status) {
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
