//! Configuration: a TOML file, then the environment, then flags, each stronger than the one before.
//!
//! The library is handed the file's text, the environment's pairs and the flags' values; finding and
//! reading them is the edge's work. Every key is one entry of the table in `keys.rs`: its name, its
//! meaning, how it is read and shown. To add a key, add a field to [`Settings`] and an entry there.
//!
//! The variable for `jobs.stale_after` is `RECOVERYCTL_JOBS_STALE_AFTER`. Unknown keys of the file and
//! wrong values anywhere are errors that name the place; variables that we do not know are left alone,
//! since jobs get some of ours (`RECOVERYCTL_JOB_ID`) and hand them on.

mod error;
mod keys;
mod layers;
mod settings;
mod value;
mod webhooks;

pub use error::ConfigError;
pub use keys::{KEYS, Key};
pub use layers::{Configuration, ENVIRONMENT_PREFIX, Origin};
pub use settings::{
    CleanupConfig, DEFAULT_DOCKER_HOST, DaemonSettings, DockerConfig, Export, ImportSettings, JobSettings,
    NO_DOCKER, OnCrash, OnUnsupervised, OrphansConfig, QueueSettings, RecoverySettings, Settings,
    ToolsConfig, USUAL_ADDRESS,
};
pub use webhooks::{SecretSource, WebhookEndpoint, WebhookSettings};
