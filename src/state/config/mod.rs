//! Configuration: a TOML file, then the environment, then flags; each layer overrides the one before.
//!
//! The library gets the file's text, the environment's pairs and the flags' values; the edge finds and reads
//! them. Every key is one entry of the table in `keys.rs`: its name, its meaning, how it is read and shown.
//! To add a key, add a field to [`Settings`] and an entry there.
//!
//! The variable for `jobs.stale_after` is `RECOVERYCTL_JOBS_STALE_AFTER`. Unknown keys of the file and wrong
//! values anywhere are errors that name the place. Unknown variables are ignored, because jobs get some variables
//! of this program (`RECOVERYCTL_JOB_ID`) and pass them on.

mod error;
mod key;
mod keys;
mod layers;
mod origin;
mod settings;
mod value;
mod webhook_keys;
mod webhooks;

pub use error::ConfigError;
pub use key::Key;
pub use keys::KEYS;
pub use layers::Configuration;
pub use origin::{ENVIRONMENT_PREFIX, Origin};
pub use settings::{
    CleanupConfig, DaemonSettings, DockerConfig, Export, ImportSettings, JobSettings, NO_DOCKER, OnCrash,
    OnUnsupervised, OrphansConfig, QueueSettings, RecoverySettings, Settings, ToolsConfig, USUAL_ADDRESS,
};
pub use webhooks::{SecretSource, WebhookEndpoint, WebhookSettings};
