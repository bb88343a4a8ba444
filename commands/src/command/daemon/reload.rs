//! SIGHUP: the daemon reads its configuration anew. Later requests use it at once, and the daemon's work from
//! its next round on. The daemon's log and the audit trail say which keys have changed, and which of them
//! count only after a restart. A configuration that cannot be used is reported, and the old one stays.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use recovery::audit::{self, Entry};
use recovery::daemon::DaemonConfig;
use recovery::logging::events;
use recovery::queue::Actor;
use recovery::state::StateDir;
use tracing::{info, warn};

use crate::command::daemon::config::config;
use crate::configuration::{self, Loaded, Reader};
use crate::context::Context;
use crate::error::{CliError, ErrorKind};
use crate::globals::Globals;
use crate::http::Server;
use crate::interruption::Interruption;
use crate::output::Output;

/// Settings that a daemon uses only when it starts: its folder, its address, how its queue's log is written.
const AT_START: &[&str] = &["state_dir", "lock_wait", "daemon.listen", "queue.segment_bytes"];

/// The signal, and what it led to.
pub(crate) struct Hangup {
    came: Arc<AtomicBool>,
    globals: Globals,
    interruption: Interruption,
    actor: Actor,
    dir: StateDir,
    /// The number from the command line, if given: it overrides the configuration.
    workers: Option<usize>,
    loaded: RefCell<Loaded>,
    config: RefCell<Option<DaemonConfig>>,
}

impl Hangup {
    pub(crate) fn install(
        context: &mut Context,
        dir: &StateDir,
        workers: Option<usize>,
    ) -> Result<Hangup, CliError> {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGHUP, came.clone())
            .map_err(|e| CliError::new(ErrorKind::Failed, format!("cannot handle signals: {e}")))?;
        Ok(Hangup {
            came,
            globals: context.globals().clone(),
            interruption: context.interruption.clone(),
            actor: context.actor(),
            dir: dir.clone(),
            workers,
            loaded: RefCell::new(context.configuration()?.clone()),
            config: RefCell::default(),
        })
    }

    /// Returns the configuration to use from now on, when there is a new one.
    pub(crate) fn config(&self) -> Option<DaemonConfig> {
        self.config.borrow_mut().take()
    }

    /// Reads the configuration anew when the signal has come.
    pub(crate) fn answer(&self, server: Option<&Server>) {
        if !self.came.swap(false, Ordering::SeqCst) {
            return;
        }
        match self.read_anew() {
            Ok((loaded, config)) => {
                self.tell_changes(&loaded);
                self.config.replace(Some(config));
                let served = self.at_its_place(loaded.clone());
                self.loaded.replace(loaded);
                match (served, server) {
                    (Ok(served), Some(server)) => server.reload(served),
                    (Ok(_), None) => {}
                    (Err(e), _) => {
                        let why = e.message();
                        warn!(event = events::CONFIGURATION_REFUSED, "requests go by the old one: {why}");
                    }
                }
            }
            Err(e) => {
                let why = e.message();
                warn!(
                    event = events::CONFIGURATION_REFUSED,
                    "the configuration cannot be used, the old one stays: {why}"
                );
            }
        }
    }

    fn read_anew(&self) -> Result<(Loaded, DaemonConfig), CliError> {
        let is_root = rustix::process::getuid().is_root();
        let loaded =
            configuration::load(&self.globals, Reader { is_root, is_server: true, ignores_workers: false })?;
        let mut context = self.context(loaded.clone());
        let config = config(&mut context, &self.dir, self.workers)?;
        Ok((loaded, config))
    }

    /// Keeps this daemon's state directory: requests are about it, wherever the next daemon's is to be.
    fn at_its_place(&self, mut loaded: Loaded) -> Result<Loaded, CliError> {
        let root = self.dir.paths.root().as_os_str();
        Arc::make_mut(&mut loaded.configuration).apply_flag("state_dir", "--state-dir", root)?;
        Ok(loaded)
    }

    /// Returns a context that writes nowhere.
    fn context(&self, loaded: Loaded) -> Context {
        Context::new(Output::nowhere(), self.interruption.clone(), self.globals.clone(), "daemon")
            .configured(loaded)
    }

    fn tell_changes(&self, new: &Loaded) {
        let changed = new.configuration.changed_since(&self.loaded.borrow().configuration);
        let (later, now): (Vec<&str>, Vec<&str>) = changed.into_iter().partition(|key| self.is_later(key));
        let list = |keys: &[&str]| if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        let mut detail = format!("changed: {}", list(&now));
        if !later.is_empty() {
            detail.push_str(&format!("; not before a restart: {}", list(&later)));
        }
        info!(event = events::CONFIGURATION_READ, "the configuration was read anew; {detail}");
        let object = "configuration".to_owned();
        let entry = Entry::done(self.dir.clock.now(), &self.actor, "reload", object, detail);
        if let Err(e) = audit::record(&self.dir, &entry) {
            warn!(event = events::TROUBLE, "{e}: {}", e.source);
        }
    }

    fn is_later(&self, key: &str) -> bool {
        AT_START.contains(&key) || (key == "daemon.workers" && self.workers.is_some())
    }
}
