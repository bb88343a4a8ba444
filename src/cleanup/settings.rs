//! The settings of cleanups.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::archive::KeepRules;
use crate::queue::Actor;
use crate::system::docker::{ClientEnvironment, EngineChoice, EngineSettings};

/// How cleanups are done.
#[derive(Debug, Clone)]
pub struct CleanupSettings {
    /// Who does it, for the records.
    pub actor: Actor,
    /// How many cleanups are worked on at a time.
    pub parallel: usize,
    /// How often a phase may fail in a row before it is parked.
    pub tries: u32,
    /// The pause before the second try; it doubles with each further one, up to ten minutes.
    pub pause: Duration,
    /// The engines of jobs that were not given another one. Without any, the phase is skipped.
    pub engine: EngineChoice,
    /// The docker client's settings, for jobs that were given variables of that client; `None` when the
    /// configuration names the engine, or says that there is none.
    pub client: Option<ClientEnvironment>,
    /// Patterns for the names of a job's containers, networks and volumes; `{job_id}` is the id, `*` matches
    /// anything.
    pub names: Vec<String>,
    /// The command that removes a workspace's index; it runs in the workspace.
    pub index_command: Vec<String>,
    /// The folder that marks a workspace with an index.
    pub index_folder: PathBuf,
    /// How long the index tool may take.
    pub index_timeout: Duration,
    /// Which git work is kept.
    pub keep: KeepRules,
}

/// The longest pause between two tries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(600);

impl CleanupSettings {
    /// Makes the default settings.
    pub fn new(actor: Actor) -> CleanupSettings {
        CleanupSettings {
            actor,
            parallel: 4,
            tries: 6,
            pause: Duration::from_secs(2),
            engine: EngineChoice::At(vec![EngineSettings::default()]),
            client: None,
            names: vec!["cidx-{job_id}-*".to_owned()],
            index_command: ["cidx", "uninstall", "--force-docker"].map(str::to_owned).to_vec(),
            index_folder: ".code-indexer".into(),
            index_timeout: Duration::from_secs(300),
            keep: KeepRules::default(),
        }
    }

    /// Returns the engines that a job with these variables uses.
    pub(super) fn engine_of(&self, given: &BTreeMap<String, String>) -> EngineChoice {
        let Some(client) = self.client.as_ref().filter(|client| client.with(given) != **client) else {
            return self.engine.clone();
        };
        let settings = match &self.engine {
            EngineChoice::At(engines) => engines.first().cloned().unwrap_or_default(),
            EngineChoice::None | EngineChoice::Unknown(_) => EngineSettings::default(),
        };
        EngineChoice::of(client.with(given).find(), &settings)
    }

    /// Returns the pause after this many failures in a row.
    pub(super) fn pause_after(&self, failures: u32) -> Duration {
        let doubled = self.pause.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
        doubled.min(LONGEST_PAUSE)
    }
}
