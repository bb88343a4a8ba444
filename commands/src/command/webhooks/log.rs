//! `webhooks log`: what was tried and how it ended.

use clap::Args;
use recovery::report::webhooks::DeliveryLogReport;
use recovery::state::human;
use recovery::webhooks::{AttemptRetention, DeliveryLog, DeliveryOutcome, attempts_in};

use crate::command::page::PageArgs;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::table::{Cell, Table};

/// Show the attempts of deliveries, the newest first
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Only those about this job
    #[arg(long, value_name = "JOB_ID")]
    job: Option<String>,
    /// Only those of this delivery
    #[arg(long, value_name = "DELIVERY_ID")]
    delivery: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

pub(crate) fn log(context: &mut Context, args: &LogArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    // Opening it syncs: what is shown stays.
    let opened = DeliveryLog::open_if_any(&dir)?;
    // What is past its time may still be in the log: it goes with the next compaction.
    let configured = &context.settings()?.webhooks;
    let retention = AttemptRetention { keep: configured.keep, entries: configured.keep_entries };
    let mut attempts = retention.of(attempts_in(&dir)?, dir.clock.now());
    attempts.retain(|a| {
        let job = args.job.as_ref().is_none_or(|job| a.attempted.job_id.as_ref() == Some(job));
        job && args.delivery.as_ref().is_none_or(|id| a.attempted.delivery.to_string() == *id)
    });
    let problems = opened.map(|l| l.problems().clone()).unwrap_or_default();
    let report = DeliveryLogReport::new(attempts, &problems, &args.page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        let mut table =
            Table::new(&["WHEN", "DELIVERY", "JOB", ">TRY", "OUTCOME", ">CODE", ">MS", "TO", "BECAUSE"]);
        for e in &report.entries {
            let tone =
                if e.outcome == DeliveryOutcome::Delivered.as_str() { Tone::Good } else { Tone::Warning };
            table.row([
                Cell::from(human::ago(now, e.at)),
                Cell::from(e.delivery_id.to_string()),
                Cell::from(e.job_id.as_deref().unwrap_or(e.event)),
                Cell::from(e.attempt.to_string()),
                Cell::toned(e.outcome, tone),
                Cell::from(e.status_code.map_or_else(String::new, |c| c.to_string())),
                Cell::from(e.duration_ms.to_string()),
                Cell::from(&e.url),
                Cell::toned(e.error.as_deref().unwrap_or_default(), Tone::Faint),
            ]);
        }
        text.table(&table);
        if !report.findings.is_empty() {
            text.gap();
            text.findings(&report.findings);
        }
    });
    if report.total == 0 {
        context.output.note("nothing was tried yet");
    }
    Ok(Ending::Done)
}
