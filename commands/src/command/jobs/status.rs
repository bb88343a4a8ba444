//! `jobs status`: what runs, and what the last recovery did with what was running.

use recovery::jobs::Liveness;
use recovery::operations::jobs::JobsStatusRequest;
use recovery::report::reattachment::{JobStanding, JobsStatus};
use recovery::state::{Clock, Timestamp, human};

use crate::command::jobs::tone::tone_of;
use crate::operate::Show;
use crate::output::Output;
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;

impl Show for JobsStatusRequest {
    fn show(&self, report: &JobsStatus, text: &mut Text) {
        render(text, report, Clock::system().now());
    }

    fn remark(&self, report: &JobsStatus, output: &mut Output) {
        if report.total == 0 {
            output.note("no job runs");
        }
    }
}

fn render(text: &mut Text, report: &JobsStatus, now: Timestamp) {
    let last = &report.reattachment;
    if let Some(at) = last.at {
        let c = &last.counts;
        text.line(format!(
            "last recovery {}: {} found running, {} re-attached, {} finished while away, {} crashed, {} unknown",
            human::ago(now, at),
            c.found,
            c.reattached,
            c.finished_while_away,
            c.crashed,
            c.unknown
        ));
    }
    if !report.jobs.is_empty() {
        text.gap();
        text.table(&table(&report.jobs, now));
    }
    if !report.findings.is_empty() {
        text.gap();
        text.findings(&report.findings);
    }
}

fn table(jobs: &[JobStanding], now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "JOB",
        "STATUS",
        ">TRY",
        "LIVENESS",
        ">HEARTBEAT",
        ">PID",
        ">MEMORY",
        ">CPU",
        "REPOSITORY",
        "STARTED",
        "RECOVERED",
    ]);
    for job in jobs {
        table.row([
            Cell::from(&job.job_id),
            Cell::toned(job.status.as_str(), tone_of(job.status)),
            Cell::from(job.attempt.to_string()),
            Cell::toned(job.liveness.as_str(), liveness_tone(job.liveness)),
            Cell::from(job.heartbeat_at.map_or_else(String::new, |at| human::ago(now, at))),
            Cell::from(job.pid.map_or_else(String::new, |pid| pid.to_string())),
            Cell::from(job.memory_bytes.map_or_else(String::new, |n| format!("{} MiB", n >> 20))),
            Cell::from(job.cpu_ms.map_or_else(String::new, human::duration)),
            Cell::from(job.repository.as_deref().unwrap_or_default()),
            Cell::from(job.started_at.map_or_else(String::new, |at| human::ago(now, at))),
            Cell::from(job.recovered.as_deref().unwrap_or_default().replace('_', " ")),
        ]);
    }
    table
}

/// The tone of a liveness.
pub(crate) fn liveness_tone(liveness: Liveness) -> Tone {
    match liveness {
        Liveness::Alive => Tone::Good,
        Liveness::Unknown => Tone::Bad,
        Liveness::Dead => Tone::Warning,
    }
}
