//! `queue status|metrics|snapshot|wal`.

mod wal;

use clap::{Args, Subcommand};
use recovery::operations::queue::{
    QueueMetricsRequest, QueueSnapshotRequest, QueueStatusRequest, WalStatusRequest,
};
use recovery::queue::Method;
use recovery::report::queue::{QueueMetrics, QueueSnapshot, QueueStatus};
use recovery::state::{Clock, Timestamp, human};

use crate::command::jobs::list::table;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate};
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

/// Look at the queue: who waits for what, and how its log stands
#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    word: QueueWord,
}

#[derive(Debug, Subcommand)]
enum QueueWord {
    Status(QueueStatusRequest),
    Metrics(QueueMetricsRequest),
    Snapshot(QueueSnapshotRequest),
    Wal(WalStatusRequest),
}

pub(crate) fn cmd_queue(context: &mut Context, args: &QueueArgs) -> Result<Ending, CliError> {
    match &args.word {
        QueueWord::Status(request) => operate(context, request),
        QueueWord::Metrics(request) => operate(context, request),
        QueueWord::Snapshot(request) => operate(context, request),
        QueueWord::Wal(request) => operate(context, request),
    }
}

impl Show for QueueStatusRequest {
    fn show(&self, report: &QueueStatus, text: &mut Text) {
        render_status(text, report, Clock::system().now());
    }

    fn remark(&self, report: &QueueStatus, output: &mut Output) {
        if report.depth > report.head.len() as u64 {
            output.hint("recoveryctl queue snapshot shows the whole line");
        }
    }
}

fn render_status(text: &mut Text, report: &QueueStatus, now: Timestamp) {
    let tone = if report.state == "healthy" { Tone::Good } else { Tone::Bad };
    text.toned(tone, format!("the queue's files are {}", report.state));
    let c = &report.counts;
    let ended = [
        (c.succeeded, "succeeded"),
        (c.failed, "failed"),
        (c.timed_out, "timed out"),
        (c.crashed, "crashed"),
        (c.cancelled, "cancelled"),
    ];
    let ended: Vec<String> =
        ended.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    text.fields(&[
        ("queued", Some(report.depth.to_string())),
        ("running", Some(c.running.to_string())),
        ("ended", (!ended.is_empty()).then(|| ended.join(", "))),
        ("last record", Some(report.last_seq.to_string())),
        ("recovered", Some(recovered(report, now))),
    ]);
    if !report.head.is_empty() {
        text.gap();
        let mut line = Table::new(&[">PLACE", "JOB", ">PRIO", "REPOSITORY", "WAITS FOR"]);
        for job in &report.head {
            let not_before =
                job.not_before.filter(|at| *at > now).map(|at| format!("its start {}", human::ago(now, at)));
            line.row([
                Cell::from(job.position.to_string()),
                Cell::from(&job.job_id),
                Cell::from(if job.priority == 0 { String::new() } else { job.priority.to_string() }),
                Cell::from(job.repository.as_deref().unwrap_or_default()),
                Cell::from(job.waiting_for.clone().or(not_before).unwrap_or_default()),
            ]);
        }
        text.table(&line);
    }
    if !report.findings.is_empty() {
        text.gap();
        text.findings(&report.findings);
    }
}

fn recovered(report: &QueueStatus, now: Timestamp) -> String {
    let r = &report.recovered;
    let Some(at) = r.at else { return "no recovery yet".to_owned() };
    let from = match r.method {
        Method::Snapshot => "from the newest snapshot",
        Method::PreviousSnapshot => "from the snapshot before the newest",
        Method::Log => "from the whole log",
        Method::JobRecords => "with the jobs' own records",
        Method::Fresh => "from nothing: it was new",
    };
    let damaged = match (r.records_damaged, r.torn_bytes) {
        (0, 0) => String::new(),
        (records, torn) => format!(", {records} damaged, {} cut", human::size(torn)),
    };
    let records = human::count(r.records_replayed, "record");
    format!("{} {from}, {records}{damaged}, in {}", human::ago(now, at), human::duration(r.duration_ms))
}

impl Show for QueueMetricsRequest {
    fn show(&self, report: &QueueMetrics, text: &mut Text) {
        render_metrics(text, report);
    }
}

fn render_metrics(text: &mut Text, report: &QueueMetrics) {
    let f = &report.finished_total;
    let time =
        |p: Option<i64>| p.map_or_else(String::new, |ms| human::duration(u64::try_from(ms).unwrap_or(0)));
    let counters = [
        ("enqueued", report.enqueued_total),
        ("started", report.started_total),
        ("succeeded", f.succeeded),
        ("failed", f.failed),
        ("timed out", f.timed_out),
        ("crashed", f.crashed),
        ("cancelled", f.cancelled),
        ("requeued", report.requeued_total),
        ("resumed", report.resumed_total),
        ("restored", report.restored_total),
        ("recoveries", report.recoveries_total),
        ("records replayed", report.records_replayed_total),
        ("records damaged", report.records_damaged_total),
        ("checkpoints", report.checkpoints_total),
    ];
    let mut table = Table::new(&["COUNTER", ">TOTAL"]);
    counters.iter().for_each(|(name, n)| table.row([(*name).into(), n.to_string().into()]));
    text.table(&table);
    text.gap();
    let mut times = Table::new(&["TIME", ">MEDIAN", ">90%", ">99%"]);
    for (name, p) in [("waiting", &report.wait_ms), ("running", &report.run_ms)] {
        times.row([name.into(), time(p.p50).into(), time(p.p90).into(), time(p.p99).into()]);
    }
    text.table(&times);
}

impl Show for QueueSnapshotRequest {
    fn show(&self, report: &QueueSnapshot, text: &mut Text) {
        text.table(&table(&report.jobs, Clock::system().now()));
    }

    fn remark(&self, report: &QueueSnapshot, output: &mut Output) {
        if report.jobs.is_empty() {
            output.note("no jobs");
        }
        if let Some(cursor) = &report.next_cursor {
            let shown = format!("{} of {}", report.jobs.len(), human::count(report.total, "job"));
            output.hint(&format!("{shown}; go on with --cursor {cursor}"));
        }
    }
}
