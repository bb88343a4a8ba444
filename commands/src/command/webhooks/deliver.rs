//! `webhooks deliver --once`: delivers without a daemon, from cron.

use clap::Args;
use recovery::queue::Queue;
use recovery::recovery::recovery_ends;
use recovery::webhooks::{Deriver, Engine};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::settings::delivering;

/// Deliver what is due now, without a daemon; what waits for its next try is left
#[derive(Debug, Args)]
pub(crate) struct DeliverArgs {
    /// Deliver what is due, and end
    #[arg(long, required = true)]
    once: bool,
}

#[derive(Debug, Serialize)]
struct DeliverReport {
    /// Attempts that arrived.
    delivered: u64,
    /// Attempts that are to be repeated.
    retried: u64,
    /// Attempts after which an operator has to act.
    parked: u64,
    /// Deliveries that wait for their next try.
    left: u64,
}

pub(crate) fn deliver(context: &mut Context, args: &DeliverArgs) -> Result<Ending, CliError> {
    context.refuse_dry_run()?;
    let dir = context.state_dir()?;
    let settings = delivering(context.settings()?)?;
    let endpoints = settings.endpoints.clone();
    let (engine, feed) = Engine::start(&dir, settings, "webhooks deliver")?;
    let since = engine.endpoints_since();
    let queue = Queue::open(&dir)?;
    let mut deriver = Deriver::new(dir.identity.state_id, &endpoints, &since);
    for job in queue.state().jobs() {
        feed.offer(deriver.of_job(job));
    }
    feed.offer(recovery_ends(&dir).iter().flat_map(|end| deriver.of_recovery(end)).collect());
    drop((queue, deriver));
    let interruption = context.interruption.clone();
    interruption.catch();
    let output = &mut context.output;
    let done =
        engine.run(args.once, &|| interruption.requested().is_some(), &mut |line| output.warning(line))?;
    let report = DeliverReport {
        delivered: done.delivered,
        retried: done.retried,
        parked: done.parked,
        left: done.left,
    };
    context.output.report(&report, |text| {
        text.line(format!(
            "{} delivered, {} to be repeated, {} parked, {} left",
            report.delivered, report.retried, report.parked, report.left
        ));
    });
    Ok(if report.retried + report.parked + report.left > 0 { Ending::Degraded } else { Ending::Done })
}
