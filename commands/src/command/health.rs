//! `health`: whether all is well, for probes and monitoring.

use clap::Args;
use recovery::report::health::Health;
use recovery::report::status::State;

use super::status::status_of;
use crate::context::Context;
use crate::error::{CliError, Ending};

/// Say in one line whether all is well
///
/// Ends with 3 when something cannot be used, or no job is started, until somebody acts: when the state is
/// degraded, damaged or safe_mode. Findings alone, and a recovery under way, leave it 0.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// As a Nagios plugin says it: one line, and status 0, 1, 2 or 3
    #[arg(long)]
    nagios: bool,
}

pub(crate) fn cmd_health(context: &mut Context, args: &HealthArgs) -> Result<Ending, CliError> {
    let status = match status_of(context) {
        // A plugin's caller reads its line and its status, not ours.
        Err(error) if args.nagios && !context.output.is_json() => {
            context.output.bytes(format!("RECOVERYCTL UNKNOWN - {}\n", error.message()).as_bytes());
            return Ok(Ending::Command(3));
        }
        other => other?,
    };
    let report = Health::of(&status);
    let (word, code) = match (report.state, report.errors_total) {
        (State::Damaged | State::SafeMode, _) => ("CRITICAL", 2),
        (State::Healthy, 0) | (State::Recovering, _) => ("OK", 0),
        _ => ("WARNING", 1),
    };
    context.output.report(&report, |text| {
        let figures = format!(
            "queued={} running={} findings={} errors={}",
            report.queued, report.running, report.findings_total, report.errors_total
        );
        text.line(match args.nagios {
            true => format!("RECOVERYCTL {word} - {} | {figures}", report.status),
            false => format!("{word}: {}", report.status),
        });
    });
    Ok(match (args.nagios, report.healthy) {
        (true, _) => Ending::Command(code),
        (false, true) => Ending::Done,
        (false, false) => Ending::Degraded,
    })
}
