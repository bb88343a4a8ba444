//! Settings for cleanups and orphan scans; where the Docker engine is.

use std::ffi::OsString;
use std::time::Duration;

use crate::archive::{ArchiveRetention, KeepRules};
use crate::cleanup::CleanupSettings;
use crate::orphans::OrphanSettings;
use crate::state::config::{CleanupConfig, NO_DOCKER, Origin, Settings};
use crate::system::docker::{ClientEnvironment, EngineChoice, EngineSettings};

use super::super::context::Context;

/// How cleanups are done.
pub fn cleaning(context: &Context<'_>) -> CleanupSettings {
    let actor = context.actor();
    let (engine, client) = engine(context);
    let settings = context.settings();
    let cleanup = settings.cleanup.clone();
    let keep = keep_rules(settings);
    CleanupSettings {
        parallel: cleanup.parallel,
        tries: cleanup.tries,
        pause: cleanup.pause,
        engine,
        client,
        names: settings.docker.names.clone(),
        index_command: cleanup.index_command,
        index_folder: cleanup.index_folder,
        index_timeout: cleanup.index_timeout,
        keep,
        ..CleanupSettings::new(actor)
    }
}

/// Which git work of folders that go is kept.
pub(crate) fn keep_rules(settings: &Settings) -> KeepRules {
    KeepRules {
        reflog: settings.cleanup.reflog_keep,
        keep_ignored: settings.cleanup.keep_ignored.clone(),
        tools: settings.tools.path.clone(),
    }
}

/// Which archives are kept.
pub(crate) fn archive_retention(cleanup: &CleanupConfig) -> ArchiveRetention {
    let keep_ms = i64::try_from(cleanup.archive_keep.as_millis()).ok().filter(|keep| *keep > 0);
    ArchiveRetention { keep_ms, keep_bytes: Some(cleanup.archive_bytes).filter(|bytes| *bytes > 0) }
}

/// Which engines jobs use, and the docker client's own settings where no configuration says it.
fn engine(context: &Context<'_>) -> (EngineChoice, Option<ClientEnvironment>) {
    let configuration = context.configuration();
    let docker = configuration.settings().docker.clone();
    let (timeout, stop_timeout) = (docker.timeout, docker.stop_timeout);
    let settings = EngineSettings { host: docker.host, timeout, stop_timeout, ..EngineSettings::default() };
    if configuration.origin("docker.host") == Origin::Default {
        let client = docker_client(context.site().variable);
        return (EngineChoice::of(client.find(), &settings), Some(client));
    }
    // The operator's word.
    let is_none = settings.host == NO_DOCKER;
    (if is_none { EngineChoice::None } else { EngineChoice::At(vec![settings]) }, None)
}

/// The docker client's variables in our environment.
pub fn docker_client(variable: fn(&str) -> Option<OsString>) -> ClientEnvironment {
    ClientEnvironment::new(|name| {
        let value = variable(name).filter(|value| !value.is_empty());
        // A service of the system has no such variable; the client asks the system then.
        value.or_else(|| (name == "HOME").then(home_by_the_system).flatten())
    })
}

/// The home that the system's list of users has for this one.
fn home_by_the_system() -> Option<OsString> {
    let own = rustix::process::geteuid().as_raw().to_string();
    let users = crate::durable::plain::read_text("/etc/passwd").ok()?;
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let user = users.lines().map(fields).find(|fields| fields.get(2) == Some(&own))?;
    user.get(5).filter(|home| !home.is_empty()).map(OsString::from)
}

/// How orphans are looked for.
pub(crate) fn scanning(context: &Context<'_>) -> OrphanSettings {
    let actor = context.actor();
    let (engine, _) = engine(context);
    let settings = context.settings();
    let orphans = settings.orphans.clone();
    OrphanSettings {
        grace: orphans.grace,
        trash_keep: orphans.trash_keep,
        trash_bytes: orphans.trash_bytes,
        scan_every: orphans.scan_every,
        engine,
        index_folder: settings.cleanup.index_folder.clone(),
        keep: keep_rules(settings),
        archives: archive_retention(&settings.cleanup),
        ..OrphanSettings::new(actor)
    }
}

/// The same, for a start that does not wait long for an engine that hangs.
pub fn scanning_at_start(context: &Context<'_>) -> OrphanSettings {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut settings = scanning(context);
    if let EngineChoice::At(engines) = &mut settings.engine {
        engines.iter_mut().for_each(|engine| engine.timeout = engine.timeout.min(PATIENCE));
    }
    settings
}
