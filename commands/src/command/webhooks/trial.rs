//! `webhooks test`: whether a receiver can be reached, now and from here.

use std::sync::Arc;

use clap::Args;
use recovery::queue::Callback;
use recovery::state::{Clock, Timestamp, human};
use recovery::webhooks::{
    Delivery, DeliveryId, DeliveryTarget, Event, Facts, Meaning, Settings, deliver_test, make_own_secret,
    meaning_of, own_secret,
};
use serde::Serialize;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::settings::delivering;

/// Send one test delivery at once; exits with 1 when it does not arrive, 12 when the address is denied
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// An address, or the name of a configured endpoint
    // Every command has an option --url, the daemon's: another name.
    #[arg(id = "receiver", value_name = "URL")]
    url: String,
}

#[derive(Debug, Serialize)]
struct TestReport {
    delivery_id: DeliveryId,
    url: String,
    at: Timestamp,
    signed: bool,
    delivered: bool,
    /// `delivered`, `retry`, `parked` or `refused`, as a delivery of a job would be.
    outcome: &'static str,
    status_code: Option<u16>,
    duration_ms: u64,
    error: Option<String>,
    dry_run: bool,
}

pub(crate) fn test(context: &mut Context, args: &TestArgs) -> Result<Ending, CliError> {
    let mut settings = delivering(context.settings()?)?;
    let dir = context.operation()?.state_dir_if_any()?;
    if let Some(dir) = dir.filter(|_| settings.secrets.is_empty()) {
        let own = match (context.is_dry_run(), own_secret(&dir)?) {
            (false, None) => match make_own_secret(&dir) {
                // A disk that takes nothing keeps nobody from trying a receiver; that it is unsigned is in the report.
                Err(e) if e.is_refused_change() => None,
                made => Some(made?),
            },
            (_, own) => own,
        };
        settings.secrets.extend(own);
    }
    let target = target(&settings, &args.url)?;
    let at = Clock::system().now();
    let delivery = Delivery {
        id: DeliveryId::new(),
        event: Event::Test,
        at,
        facts: Facts::Test { message: "a test delivery of recoveryctl" },
        target: Arc::new(target),
    };
    let mut report = TestReport {
        delivery_id: delivery.id,
        url: delivery.target.shown(),
        at,
        signed: !settings.secrets_for(&delivery.target).is_empty(),
        delivered: false,
        outcome: "retry",
        status_code: None,
        duration_ms: 0,
        error: None,
        dry_run: context.is_dry_run(),
    };
    if !report.dry_run {
        let (answer, duration) = deliver_test(&settings, &delivery, at)?;
        let meaning = answer.status.map(meaning_of);
        report.delivered = meaning == Some(Meaning::Delivered);
        report.outcome = match meaning {
            Some(Meaning::Delivered) => "delivered",
            Some(Meaning::Park) => "parked",
            _ if answer.is_refused => "refused",
            _ if answer.is_hopeless => "parked",
            _ => "retry",
        };
        report.status_code = answer.status;
        report.error = answer
            .error
            .or_else(|| answer.status.filter(|_| !report.delivered).map(|s| format!("answered {s}")));
        report.duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    }
    context.output.report(&report, |text| {
        let took = human::duration(report.duration_ms);
        text.line(match (&report.error, report.status_code) {
            _ if report.dry_run => format!("would send a test to {}", report.url),
            (None, Some(code)) => format!("{} answered {code} in {took}", report.url),
            (error, _) => format!("{}: {} ({took})", report.url, error.as_deref().unwrap_or("no answer")),
        });
        let was_sent = report.outcome != "refused";
        text.fields(&[("signed", was_sent.then(|| if report.signed { "yes" } else { "no" }.to_owned()))]);
    });
    Ok(match report.outcome {
        _ if report.dry_run || report.delivered => Ending::Done,
        "refused" => Ending::Command(ErrorKind::Refused.status()),
        _ => Ending::Command(ErrorKind::Failed.status()),
    })
}

fn target(settings: &Settings, url: &str) -> Result<DeliveryTarget, CliError> {
    if let Some(endpoint) = settings.endpoints.iter().find(|e| e.name == url) {
        return Ok(endpoint.target());
    }
    let callback = Callback::to(url);
    callback.check().map_err(|why| {
        CliError::new(ErrorKind::Usage, format!("'{}' cannot be called: {why}", callback.masked().url))
    })?;
    Ok(DeliveryTarget::of_callback(callback))
}
