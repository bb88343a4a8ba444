//! Webhooks: at-least-once delivery of job and server events.
//!
//! A [`Delivery`] is derived from the record of its event ([`Deriver`]) and never stored itself, so none is
//! lost between two files. Attempts are in the delivery log ([`DeliveryLog`]); both together show what is
//! left to do ([`DeliveryScheduler`]). [`Engine`] does it.
//!
//! **Files**: `webhooks/log/`, see [`mod@record`] for its form; `webhooks/deliver.lock`, held by the process
//! that delivers, so that an attempt under way whose sender lives is never taken for a lost one.
//!
//! **At least once**: an attempt is in the log before anything is sent, its end before the next one of the
//! same kind begins. After a kill in between, the delivery is pending again and keeps its id, by which the
//! receiver can recognise the duplicate. A kill repeats at most the attempts that were under way.
//!
//! **Pitfalls**: never derive an id from anything but the log's own data: the same end must give the same id
//! in every process and at all times. Never wait for the wall clock: it jumps.

mod addresses;
mod adopt;
mod answer;
mod attempt_retention;
mod breaker;
mod concurrency_limit;
mod delivery;
mod derive;
mod engine;
pub(crate) mod findings;
mod log;
mod own_secret;
mod parsed_url;
pub mod record;
mod recover;
mod schedule;
mod scheduler;
mod sender;
mod settings;
mod signature;
mod state;
mod survey;
mod target;
mod template;

pub use addresses::AddressRules;
pub(crate) use adopt::hold_for_another;
pub(crate) use answer::{Meaning, meaning_of};
pub use attempt_retention::{AttemptRetention, PastAttempt, attempts_in};
pub use breaker::{BreakerSettings, Change};
pub use delivery::{Delivery, DeliveryId, Event, Facts, JobFacts, RecoveryFacts};
pub use derive::{Deriver, RecoveryEnd};
pub(crate) use engine::deliver_test;
pub use engine::{Delivered, Engine, EngineError, Feed};
pub(crate) use log::DeliveryView;
pub use log::{DeliveryLog, DeliveryLogError, Problems};
pub use own_secret::make_own_secret;
pub(crate) use own_secret::own_secret;
pub use record::{Attempted, DeliveryOutcome, DeliveryProgress, DeliveryState};
pub use recover::Was;
pub(crate) use recover::{DeliveryLogRecovery, FoundDelivery, recover};
pub use scheduler::{DeliveryScheduler, Health, Limits};
pub use sender::{Answer, Prepared, Sender};
pub use settings::{Endpoint, Settings};
pub use state::{Circuit, DeliveryLogState, DeliveryRefusal};
pub(crate) use survey::undelivered;
pub use survey::{Survey, Undelivered};
pub use target::DeliveryTarget;
