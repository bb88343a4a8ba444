//! Operations on deliveries.

mod choose;
mod deliver;
mod discard;
mod log;
mod pending;
mod recovered;
mod retry;
mod trial;

pub use deliver::{DeliverWebhooks, WebhooksDelivered};
pub use discard::DiscardDeliveries;
pub use log::DeliveryLogRequest;
pub use pending::PendingRequest;
pub use recovered::RecoveredRequest;
pub use retry::RetryDeliveries;
pub use trial::{TestWebhook, WebhookTest};

use super::context::Context;
use super::error::OperationError;
use super::settings::delivering;
use crate::recovery::recovery_ends;
use crate::state::StateDir;
use crate::webhooks::Survey;

/// What is undelivered now.
pub(crate) fn survey(context: &mut Context<'_>, dir: &StateDir) -> Result<Survey, OperationError> {
    let settings = delivering(context.settings())?;
    let queue = context.queue_to_look(dir)?;
    Ok(Survey::take(dir, queue.state(), &settings.endpoints, &recovery_ends(dir))?)
}
