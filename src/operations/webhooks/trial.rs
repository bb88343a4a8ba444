//! `webhooks test`: whether a receiver can be reached, now and from here.

use std::sync::Arc;

use crate::operations::prelude::*;
use crate::operations::settings::delivering;
use crate::queue::Callback;
use crate::state::{Clock, Timestamp, Word};
use crate::webhooks::{
    Delivery, DeliveryId, DeliveryTarget, Event, Facts, Meaning, Settings, deliver_test, make_own_secret,
    meaning_of, own_secret,
};

/// Send one test delivery at once; exits with 1 when it does not arrive, 12 when the address is denied
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema, clap::Args)]
pub struct TestWebhook {
    /// An address, or the name of a configured endpoint
    // Every command has an option --url, the daemon's: another name.
    #[arg(id = "receiver", value_name = "URL")]
    pub receiver: String,
}

/// How the receiver answered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)] // The members are the published form.
pub struct WebhookTest {
    pub delivery_id: DeliveryId,
    pub url: String,
    pub at: Timestamp,
    pub signed: bool,
    pub delivered: bool,
    /// `delivered`, `retry`, `parked` or `refused`, as a delivery of a job would be.
    pub outcome: Word,
    pub status_code: Option<u16>,
    pub duration_ms: u64,
    pub error: Option<String>,
    pub dry_run: bool,
}

impl Operation for TestWebhook {
    type Report = WebhookTest;

    const ENTRY: Entry = Entry::local(Method::Post, &["webhooks", "test"]);

    fn run(&self, context: &mut Context<'_>) -> Result<Done<WebhookTest>, OperationError> {
        let settings = signing(context)?;
        let target = self.target(&settings)?;
        let at = Clock::system().now();
        let delivery = Delivery {
            id: DeliveryId::new(),
            event: Event::Test,
            at,
            facts: Facts::Test { message: "a test delivery of recoveryctl" },
            target: Arc::new(target),
        };
        let mut report = WebhookTest {
            delivery_id: delivery.id,
            url: delivery.target.shown(),
            at,
            signed: !settings.secrets_for(&delivery.target).is_empty(),
            delivered: false,
            outcome: "retry".into(),
            status_code: None,
            duration_ms: 0,
            error: None,
            dry_run: context.is_dry_run(),
        };
        if !report.dry_run {
            report.send(&settings, &delivery)?;
        }
        let ending = match &*report.outcome {
            _ if report.dry_run || report.delivered => Ending::Done,
            "refused" => Ending::Command(ErrorKind::Refused.status()),
            _ => Ending::Command(ErrorKind::Failed.status()),
        };
        Ok(Done { report, ending })
    }
}

/// How deliveries are made, signed also where no secret is configured.
fn signing(context: &mut Context<'_>) -> Result<Settings, OperationError> {
    let mut settings = delivering(context.settings())?;
    let dir = context.state_dir_if_any()?;
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
    Ok(settings)
}

impl TestWebhook {
    fn target(&self, settings: &Settings) -> Result<DeliveryTarget, OperationError> {
        if let Some(endpoint) = settings.endpoints.iter().find(|e| e.name == self.receiver) {
            return Ok(endpoint.target());
        }
        let callback = Callback::to(&self.receiver);
        callback.check().map_err(|why| {
            let message = format!("'{}' cannot be called: {why}", callback.masked().url);
            OperationError::new(ErrorKind::Usage, message)
        })?;
        Ok(DeliveryTarget::of_callback(callback))
    }
}

impl WebhookTest {
    fn send(&mut self, settings: &Settings, delivery: &Delivery) -> Result<(), OperationError> {
        let (answer, duration) = deliver_test(settings, delivery, self.at)?;
        let meaning = answer.status.map(meaning_of);
        self.delivered = meaning == Some(Meaning::Delivered);
        self.outcome = match meaning {
            Some(Meaning::Delivered) => "delivered",
            Some(Meaning::Park) => "parked",
            _ if answer.is_refused => "refused",
            _ if answer.is_hopeless => "parked",
            _ => "retry",
        }
        .into();
        self.status_code = answer.status;
        let not_good = answer.status.filter(|_| !self.delivered).map(|s| format!("answered {s}"));
        self.error = answer.error.or(not_good);
        self.duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Ok(())
    }
}
