//! `jobs sentinels`: every sentinel, and whether what it says is true.

use recovery::report::sentinels::{SentinelReport, Sentinels};
use recovery::state::{Timestamp, human};

use crate::command::jobs::status::liveness_tone;
use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::settings::judging;
use crate::text::Text;

pub(crate) fn sentinels(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let limits = judging(&context.operation()?).limits;
    let queue = context.queue_to_look(&dir)?;
    let report = Sentinels::new(&dir, queue.state(), limits, &page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        for sentinel in &report.sentinels {
            text.gap();
            describe(text, sentinel, now);
        }
    });
    if report.total == 0 {
        context.output.note("no job has a sentinel");
    }
    Ok(Ending::Done)
}

fn describe(text: &mut Text, sentinel: &SentinelReport, now: Timestamp) {
    let verdict = sentinel.verdict.replace('_', " ");
    let title = format!("{}  {} ({verdict})", sentinel.job_id, sentinel.liveness);
    text.toned(liveness_tone(sentinel.liveness), title);
    let freshness = sentinel.freshness.unwrap_or_default();
    text.fields(&[
        ("attempt", sentinel.attempt.map(|n| n.to_string())),
        ("job is", Some(sentinel.status.unwrap_or("not in the queue").replace('_', " "))),
        ("command", sentinel.pid.map(|pid| format!("process {pid}"))),
        ("supervisor", sentinel.supervisor_pid.map(|pid| format!("process {pid}"))),
        ("host", sentinel.host.clone()),
        ("repository", sentinel.repository.clone()),
        ("heartbeat", sentinel.heartbeat_at.map(|at| format!("{} ({freshness})", human::ago(now, at)))),
        ("file", Some(sentinel.path.clone())),
    ]);
    for piece in &sentinel.evidence {
        text.toned(Tone::Faint, format!("  - {piece}"));
    }
}
