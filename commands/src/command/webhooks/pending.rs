//! `webhooks pending` and `webhooks recovered`.

use clap::Args;
use clap::builder::PossibleValuesParser;
use recovery::durable::is_held;
use recovery::report::webhooks::{DeliveryStatus, PendingDeliveries, RecoveredDeliveries};
use recovery::state::{StateDir, human};
use recovery::webhooks::{DeliveryLog, DeliveryLogState, DeliveryView, attempts_in};

use crate::command::page::PageArgs;
use crate::command::webhooks::survey::survey;
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use recovery::operations::history::last_recovery;

/// Show what is undelivered, parked deliveries included, and how each endpoint does
#[derive(Debug, Args)]
pub(crate) struct PendingArgs {
    /// Only those that stand there
    #[arg(long, value_name = "STATUS", value_parser = PossibleValuesParser::new(
        ["pending", "in_flight", "waiting", "parked"]
    ))]
    status: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Whether somebody delivers now.
pub(crate) fn is_delivering(dir: &StateDir) -> bool {
    is_held(&dir.paths.deliver_lock()).unwrap_or(false)
}

pub(crate) fn pending(context: &mut Context, args: &PendingArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let survey = survey(context, &dir)?;
    let all =
        [DeliveryStatus::Pending, DeliveryStatus::InFlight, DeliveryStatus::Waiting, DeliveryStatus::Parked];
    let only = all.into_iter().find(|s| args.status.as_deref() == Some(s.as_str()));
    let report = PendingDeliveries::new(&survey, only, is_delivering(&dir), &args.page.page())?;
    let now = dir.clock.now();
    context.output.report(&report, |text| {
        let mut table = Table::new(&["DELIVERY", "JOB", "STATUS", ">TRIED", "NEXT", "TO", "BECAUSE"]);
        for d in &report.deliveries {
            table.row([
                Cell::from(d.delivery_id.to_string()),
                Cell::from(d.job_id.as_deref().unwrap_or(d.event)),
                Cell::toned(d.status.as_str(), tone_of(d.status)),
                Cell::from(d.attempts.to_string()),
                Cell::from(d.next_try_at.map_or_else(String::new, |at| human::ago(now, at))),
                Cell::from(&d.url),
                Cell::toned(d.last_error.as_deref().unwrap_or_default(), Tone::Faint),
            ]);
        }
        text.table(&table);
        if !report.findings.is_empty() {
            text.gap();
            text.findings(&report.findings);
        }
    });
    if report.total == 0 {
        context.output.note("nothing is undelivered");
    }
    Ok(Ending::Done)
}

fn tone_of(status: DeliveryStatus) -> Tone {
    match status {
        DeliveryStatus::Delivered => Tone::Good,
        DeliveryStatus::Parked => Tone::Bad,
        DeliveryStatus::Waiting => Tone::Warning,
        DeliveryStatus::Pending | DeliveryStatus::InFlight | DeliveryStatus::Discarded => Tone::Plain,
    }
}

pub(crate) fn recovered(context: &mut Context, page: &PageArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let last = last_recovery(&mut context.operation()?, &dir);
    let log = DeliveryLog::open_if_any(&dir)?;
    let nothing = DeliveryLogState::default();
    let now = log.as_ref().map_or(&nothing, DeliveryView::state);
    let tried = attempts_in(&dir)?;
    let report = RecoveredDeliveries::new(last.as_ref(), now, &tried, &page.page())?;
    context.output.report(&report, |text| {
        let mut table = Table::new(&["DELIVERY", "JOB", "WAS", "NOW", ">TRIED", "TO"]);
        for d in &report.deliveries {
            let was = serde_json::to_value(d.was).unwrap_or_default();
            table.row([
                Cell::from(d.delivery_id.to_string()),
                Cell::from(d.job_id.as_deref().unwrap_or(d.event)),
                Cell::from(was.as_str().unwrap_or_default()),
                Cell::toned(d.status.as_str(), tone_of(d.status)),
                Cell::from(d.attempts.to_string()),
                Cell::from(&d.url),
            ]);
        }
        text.table(&table);
    });
    match (&report.recovery_id, report.found_total) {
        (None, _) => context.output.note("there was no recovery yet"),
        (_, 0) => context.output.note("the last recovery found nothing undelivered"),
        _ => {}
    }
    Ok(Ending::Done)
}
