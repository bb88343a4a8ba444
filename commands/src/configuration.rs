//! Finds and reads the configuration: the file, our variables, the flags. The library merges them.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use recovery::state::config::{Configuration, ENVIRONMENT_PREFIX};
use recovery::state::{check_file, check_way};

use crate::error::{CliError, ErrorKind, exposed};
use crate::globals::Globals;

/// The configuration, and the file that it was read from.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// All layers.
    pub(crate) configuration: Arc<Configuration>,
    /// The file that is looked for.
    pub(crate) file: Option<PathBuf>,
    /// Whether it was there.
    pub(crate) file_read: bool,
}

/// Who reads the configuration, and for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader {
    pub(crate) is_root: bool,
    /// Whether the reader starts, for others, what the configuration names.
    pub(crate) is_server: bool,
    /// Whether nothing is asked of the number of workers, so that processors and quotas need not be counted.
    pub(crate) ignores_workers: bool,
}

impl Reader {
    /// Whether a file that others can write is refused: they would decide what this process does in the name
    /// of root, or of all who submit jobs.
    fn is_wary(self) -> bool {
        self.is_root || self.is_server
    }
}

/// Reads all layers.
pub(crate) fn load(globals: &Globals, reader: Reader) -> Result<Loaded, CliError> {
    let is_root = reader.is_root;
    let count = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let workers = if reader.ignores_workers { 1 } else { count() };
    let mut configuration = Configuration::with_defaults(default_state_dir(is_root), workers);
    let (file, named) = file_to_read(globals, is_root);
    let mut file_read = false;
    if let Some(path) = &file
        && let Some(text) = read(path, named, reader)?
    {
        configuration.apply_file(path, &text)?;
        file_read = true;
    }
    configuration.apply_environment(our_variables())?;
    if let Some(dir) = &globals.state_dir {
        configuration.apply_flag("state_dir", "--state-dir", dir.as_os_str())?;
    }
    if let Some(wait) = &globals.lock_wait {
        configuration.apply_flag("lock_wait", "--lock-wait", wait.as_ref())?;
    }
    configuration.check()?;
    Ok(Loaded { configuration: Arc::new(configuration), file, file_read })
}

/// The variables that begin with our prefix.
pub(crate) fn our_variables() -> Vec<(OsString, OsString)> {
    let ours = |name: &OsString| name.as_encoded_bytes().starts_with(ENVIRONMENT_PREFIX.as_bytes());
    std::env::vars_os().filter(|(name, _)| ours(name)).collect()
}

/// Returns the file, and whether somebody named it: then it must exist.
fn file_to_read(globals: &Globals, is_root: bool) -> (Option<PathBuf>, bool) {
    if let Some(path) = globals.config.clone().or_else(|| variable("RECOVERYCTL_CONFIG")) {
        return (Some(path), true);
    }
    if is_root {
        return (Some("/etc/recoveryctl/config.toml".into()), false);
    }
    let folder = absolute_variable("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")));
    (folder.map(|f| f.join("recoveryctl/config.toml")), false)
}

fn read(path: &Path, named: bool, reader: Reader) -> Result<Option<String>, CliError> {
    let cannot = |e: io::Error| {
        let message = format!("cannot read the configuration {}: {e}", path.display());
        CliError::new(ErrorKind::Usage, message).code("configuration")
    };
    let opened = match recovery::durable::plain::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
        opened => opened.map_err(cannot)?,
    };
    if reader.is_wary() {
        let found = opened.metadata().map_err(cannot)?;
        let what = format!("the configuration {}", path.display());
        check_way(path).and_then(|()| check_file(path, &found)).map_err(|by| exposed(&what, &by))?;
    }
    io::read_to_string(opened).map(Some).map_err(cannot)
}

fn default_state_dir(is_root: bool) -> Option<PathBuf> {
    if is_root {
        return Some("/var/lib/recoveryctl".into());
    }
    let folder = absolute_variable("XDG_STATE_HOME").or_else(|| Some(home()?.join(".local/state")));
    folder.map(|f| f.join("recoveryctl"))
}

fn home() -> Option<PathBuf> {
    absolute_variable("HOME")
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// The XDG rules: a path that is not absolute counts as not set.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    variable(name).filter(|p| p.is_absolute())
}
