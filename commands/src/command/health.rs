//! `health`: whether all is well, for probes and monitoring.

use clap::Args;
use recovery::operations::health::HealthRequest;
use recovery::report::health::Health;
use recovery::report::status::State;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::carry_out;

/// Say in one line whether all is well
///
/// Ends with 0 when the state is healthy, attention or recovering; with 3 when somebody is to be called: unwatched,
/// degraded, safe_mode, data_loss; with 15 when it is damaged.
///
/// With --nagios: 0 healthy, attention, recovering; 1 unwatched, degraded; 2 safe_mode, data_loss, damaged; 3 when
/// nothing could be looked at.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// As a Nagios plugin says it: one line, and status 0, 1, 2 or 3
    #[arg(long)]
    nagios: bool,
    /// With --nagios: attention is a warning
    #[arg(long, requires = "nagios")]
    strict: bool,
    /// With --nagios: that no daemon lives, or that it hangs, is critical
    #[arg(long, requires = "nagios")]
    require_daemon: bool,
}

/// A plugin's word and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Service {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Service {
    const fn word(self) -> &'static str {
        match self {
            Service::Ok => "OK",
            Service::Warning => "WARNING",
            Service::Critical => "CRITICAL",
            Service::Unknown => "UNKNOWN",
        }
    }

    const fn status(self) -> u8 {
        self as u8
    }
}

impl HealthArgs {
    /// Whether a monitoring system reads it.
    pub(crate) fn is_plugin(&self) -> bool {
        self.nagios
    }

    fn service(&self, report: &Health) -> Service {
        let of_state = match report.state {
            State::Healthy | State::Recovering => Service::Ok,
            State::Attention if self.strict => Service::Warning,
            State::Attention => Service::Ok,
            State::Unwatched if self.require_daemon => Service::Critical,
            State::Unwatched | State::Degraded => Service::Warning,
            State::SafeMode | State::DataLoss | State::Damaged => Service::Critical,
        };
        if self.misses_daemon(report) { Service::Critical } else { of_state }
    }

    fn misses_daemon(&self, report: &Health) -> bool {
        self.require_daemon && !report.daemon
    }

    /// Returns the plugin's line: the worst finding, which may be that the daemon is missing, and the way
    /// out.
    fn told(&self, report: &Health) -> String {
        let is_calm = matches!(report.state, State::Healthy | State::Attention);
        match self.misses_daemon(report) && is_calm {
            true => "no daemon runs; next: recoveryctl daemon".to_owned(),
            false => told(report),
        }
    }
}

pub(crate) fn cmd_health(context: &mut Context, args: &HealthArgs) -> Result<Ending, CliError> {
    let looked = carry_out(context, &HealthRequest {});
    let done = match looked {
        // A plugin's caller reads the plugin's line and status, not ours. A state that was read and is
        // damaged is not unknown.
        Err(error) if args.nagios && !context.output.is_json() => {
            let is_damaged = error.status() == Ending::Damaged.status();
            let service = if is_damaged { Service::Critical } else { Service::Unknown };
            return Ok(plugin(context, service, &error.message()));
        }
        other => other?,
    };
    let Some(done) = done else { return Ok(Ending::Done) };
    let report = done.report;
    let service = args.service(&report);
    context.output.report(&report, |text| {
        let figures = format!(
            "queued={} running={} findings={} errors={}",
            report.queued, report.running, report.findings_total, report.errors_total
        );
        text.line(match args.nagios {
            true => format!("RECOVERYCTL {} - {} | {figures}", service.word(), args.told(&report)),
            false => format!("{}: {}", report.state.headline(), report.status),
        });
    });
    Ok(if args.nagios { Ending::Command(service.status()) } else { done.ending })
}

/// Returns the state in a sentence, and the way out. A bar would begin the plugin's performance data.
fn told(report: &Health) -> String {
    let next = report.action.as_ref().map_or_else(String::new, |action| format!("; next: {action}"));
    let told = match report.state {
        State::Healthy => report.status.clone(),
        state => format!("{}: {}{next}", state.headline(), report.status),
    };
    told.replace('|', "/")
}

/// One line on stdout, whatever it is.
pub(crate) fn plugin_line(service: &str, message: &str) -> String {
    let message = message.lines().next().unwrap_or_default().replace('|', "/");
    format!("RECOVERYCTL {service} - {message}\n")
}

fn plugin(context: &mut Context, service: Service, message: &str) -> Ending {
    context.output.bytes(plugin_line(service.word(), message).as_bytes());
    Ending::Command(service.status())
}
