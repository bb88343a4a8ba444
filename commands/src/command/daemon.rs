//! `daemon`: recovers, then runs and watches jobs until it is told to end.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;

use clap::Args;
use recovery::audit::{self, Entry};
use recovery::daemon::{DaemonInfo, DaemonSettings, Trouble, serve};
use recovery::recovery::RecoveryRecord;
use recovery::startup::StartedBy;
use serde::Serialize;

use crate::cleaning::{cleaning, scanning_at_start};
use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::progress;
use crate::working::{cancellable, delivering, recovering, retention, run_options, scheduling};

/// Recover, then run and watch jobs, in the foreground; SIGTERM or SIGINT ends it and leaves the jobs running
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// How many jobs run at a time [default: as configured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    workers: Option<u16>,
}

/// A daemon has no terminal: what keeps deliveries from being recorded goes where its other lines go.
fn trouble_to_stderr() -> Trouble {
    Arc::new(|line| {
        // Nobody can be told that nobody can be told.
        let _ = writeln!(std::io::stderr(), "warning: deliveries cannot be recorded: {line}");
    })
}

/// Told at the end.
#[derive(Debug, Serialize)]
struct DaemonReport {
    pid: u32,
    /// How its own recovery ended.
    recovery: Option<&'static str>,
    /// The signal's name.
    stopped_by: Option<&'static str>,
}

pub(crate) fn cmd_daemon(context: &mut Context, args: &DaemonArgs) -> Result<Ending, CliError> {
    context.refuse_dry_run()?;
    let dir =
        context.state_dir_or_create().or_else(|_| context.state_dir_for_repair().map(|(dir, _)| dir))?;
    let run = run_options(context, "daemon", &[], progress::observer(&context.output))?;
    let cancel = run.cancel.clone();
    let settings = DaemonSettings {
        recovery: recovering(context, StartedBy::Daemon, false)?,
        run,
        retention: Some(retention(context)?),
        scheduler: scheduling(context, &dir, args.workers.map(usize::from), BTreeSet::new())?,
        webhooks: delivering(context)?,
        trouble: trouble_to_stderr(),
        cleanup: cleaning(context)?,
        orphans: scanning_at_start(context)?,
    };
    let interruption = context.interruption.clone();
    let actor = context.actor();
    let output = &mut context.output;
    let mut recovery = None;
    let mut ready = |info: &DaemonInfo, record: Option<&RecoveryRecord>| {
        let Some(record) = record else {
            output.warning(&format!(
                "process {} is up in safe mode: startups before it died, so nothing is recovered and no job started",
                info.pid
            ));
            output.hint("see why with: recoveryctl status; go on with: recoveryctl startup clear");
            return;
        };
        let outcome = record.snapshot.outcome.word();
        recovery = Some(outcome);
        let detail = format!("process {}, recovery {outcome}", info.pid);
        let entry = Entry::done(dir.clock.now(), &actor, "daemon", "state".to_owned(), detail);
        if let Err(e) = audit::record(&dir, &entry) {
            output.warning(&format!("{e}: {}", e.source));
        }
        output.note(&format!("ready: process {}, recovery {outcome}", info.pid));
    };
    let served = cancellable(&interruption, &cancel, || {
        serve(&dir, settings, &mut ready, &|| interruption.requested().is_some())
    });
    served?;
    let report = DaemonReport { pid: std::process::id(), recovery, stopped_by: interruption.signal() };
    context.output.report(&report, |_| {}); // As text, its end says all.
    Ok(Ending::Done)
}
