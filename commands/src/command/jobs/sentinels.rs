//! `jobs sentinels`: every sentinel, and whether what it says is true.

use recovery::jobs::Freshness;
use recovery::operations::jobs::SentinelsRequest;
use recovery::queue::JobStatus;
use recovery::report::sentinels::{SentinelReport, Sentinels};
use recovery::state::{Clock, Timestamp, human};

use crate::command::jobs::status::liveness_tone;
use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::text::Text;

impl Show for SentinelsRequest {
    fn show(&self, report: &Sentinels, text: &mut Text) {
        let now = Clock::system().now();
        for sentinel in &report.sentinels {
            text.gap();
            describe(text, sentinel, now);
        }
    }

    fn remark(&self, report: &Sentinels, output: &mut Output) {
        if report.total == 0 {
            output.note("no job has a sentinel");
        }
    }
}

fn describe(text: &mut Text, sentinel: &SentinelReport, now: Timestamp) {
    let verdict = sentinel.verdict.replace('_', " ");
    let title = format!("{}  {} ({verdict})", sentinel.job_id, sentinel.liveness);
    text.toned(liveness_tone(sentinel.liveness), title);
    let freshness = sentinel.freshness.map_or("", Freshness::as_str);
    text.fields(&[
        ("attempt", sentinel.attempt.map(|n| n.to_string())),
        ("job is", Some(sentinel.status.map_or("not in the queue", JobStatus::as_str).replace('_', " "))),
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
