//! Settings for cleanups and orphan scans; where the Docker engine is.

use std::path::Path;
use std::time::Duration;

use recovery::archive::{KeepRules, Retention};
use recovery::cleanup::CleanupSettings;
use recovery::orphans::OrphanSettings;
use recovery::state::config::{CleanupConfig, DEFAULT_DOCKER_HOST, NO_DOCKER, Origin};
use recovery::system::docker::EngineSettings;

use crate::context::Context;
use crate::error::CliError;

/// How cleanups are done.
pub(crate) fn cleaning(context: &mut Context) -> Result<CleanupSettings, CliError> {
    let actor = context.actor();
    let engine = engine(context)?;
    let settings = context.settings()?;
    let cleanup = settings.cleanup.clone();
    let keep = keep_rules(&cleanup);
    Ok(CleanupSettings {
        parallel: cleanup.parallel,
        tries: cleanup.tries,
        pause: cleanup.pause,
        engine,
        names: settings.docker.names.clone(),
        index_command: cleanup.index_command,
        index_folder: cleanup.index_folder,
        index_timeout: cleanup.index_timeout,
        keep,
        ..CleanupSettings::new(actor)
    })
}

/// Which git work of folders that go is kept.
pub(crate) fn keep_rules(cleanup: &CleanupConfig) -> KeepRules {
    KeepRules { reflog: cleanup.reflog_keep, keep_ignored: cleanup.keep_ignored.clone() }
}

/// Which archives are kept.
pub(crate) fn archive_retention(cleanup: &CleanupConfig) -> Retention {
    let keep_ms = i64::try_from(cleanup.archive_keep.as_millis()).ok().filter(|keep| *keep > 0);
    Retention { keep_ms, keep_bytes: Some(cleanup.archive_bytes).filter(|bytes| *bytes > 0) }
}

/// Where the engine is; `None` when there is to be none, or nobody configured one and this machine has none. An engine that is
/// only stopped has left its data.
pub(crate) fn engine(context: &mut Context) -> Result<Option<EngineSettings>, CliError> {
    let configuration = &context.configuration()?.configuration;
    let is_default = configuration.origin("docker.host") == Origin::Default;
    let docker = configuration.settings().docker.clone();
    let named = std::env::var("DOCKER_HOST").ok().filter(|host| is_default && !host.is_empty());
    let host = named.unwrap_or(docker.host);
    let socket = Path::new("/var/run/docker.sock");
    if host == NO_DOCKER {
        return Ok(None);
    }
    if host == DEFAULT_DOCKER_HOST && !socket.exists() && !Path::new("/var/lib/docker").exists() {
        return Ok(None);
    }
    let (timeout, stop_timeout) = (docker.timeout, docker.stop_timeout);
    Ok(Some(EngineSettings { host, timeout, stop_timeout, ..EngineSettings::default() }))
}

/// How orphans are looked for.
pub(crate) fn scanning(context: &mut Context) -> Result<OrphanSettings, CliError> {
    let actor = context.actor();
    let engine = engine(context)?;
    let settings = context.settings()?;
    let orphans = settings.orphans.clone();
    Ok(OrphanSettings {
        grace: orphans.grace,
        trash_keep: orphans.trash_keep,
        trash_bytes: orphans.trash_bytes,
        scan_every: orphans.scan_every,
        engine,
        index_folder: settings.cleanup.index_folder.clone(),
        keep: keep_rules(&settings.cleanup),
        archives: archive_retention(&settings.cleanup),
        ..OrphanSettings::new(actor)
    })
}

/// The same, for a start that does not wait long for an engine that hangs.
pub(crate) fn scanning_at_start(context: &mut Context) -> Result<OrphanSettings, CliError> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let mut settings = scanning(context)?;
    if let Some(engine) = &mut settings.engine {
        engine.timeout = engine.timeout.min(PATIENCE);
    }
    Ok(settings)
}
