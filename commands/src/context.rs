//! What a command works with: settings, state directory, output, who asks, signals.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use recovery::audit::{self, Entry};
use recovery::durable::{Disk, NotHome};
use recovery::jobs::{marks, notice_restore};
use recovery::locks::Caller;
use recovery::queue::{Actor, JobId, Queue};
use recovery::state::config::Settings;
use recovery::state::{Clock, DirectoryOrigin, IdentityRepair, StateDir, StateError};

use crate::absent::{self, Expecting, is_inside_job_of};
use crate::actor::Invoker;
use crate::configuration::{self, Loaded, Reader};
use crate::error::{CliError, ErrorKind};
use crate::globals::Globals;
use crate::interruption::Interruption;
use crate::output::Output;

/// One call of the program.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where results and notes go.
    pub(crate) output: Output,
    /// What the signals ask for.
    pub(crate) interruption: Interruption,
    globals: Globals,
    invoker: Invoker,
    word: &'static str,
    loaded: Option<Loaded>,
    /// What a client of the daemon sent with its command.
    client: Option<Client>,
}

/// A client of the daemon: what it sent with its command, and what it may see.
pub(crate) struct Client {
    /// What its standard input, or the file that it named, holds.
    pub(crate) input: Box<dyn BufRead + Send>,
    /// The folder that it works in.
    pub(crate) folder: Option<PathBuf>,
    /// Whether it may see what jobs print.
    pub(crate) sees_output: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Context {
    /// Reads nothing yet: `explain` must work whatever the configuration says. `word` is the command's,
    /// for the audit trail.
    pub(crate) fn new(
        output: Output,
        interruption: Interruption,
        globals: Globals,
        word: &'static str,
    ) -> Context {
        Context { output, interruption, globals, invoker: Invoker::this(), word, loaded: None, client: None }
    }

    /// The same with a configuration that was read already.
    pub(crate) fn configured(self, loaded: Loaded) -> Context {
        Context { loaded: Some(loaded), ..self }
    }

    /// For a client of the daemon: with the daemon's configuration, in the client's name.
    pub(crate) fn remote(
        output: Output,
        interruption: Interruption,
        globals: Globals,
        word: &'static str,
        invoker: Invoker,
        (loaded, client): (Loaded, Client),
    ) -> Context {
        Context { output, interruption, globals, invoker, word, loaded: Some(loaded), client: Some(client) }
    }

    /// What a client of the daemon sends as its input; `None` when the input is this process's own.
    pub(crate) fn client_input(&mut self) -> Option<Box<dyn BufRead + Send>> {
        self.client.as_mut().map(|client| std::mem::replace(&mut client.input, Box::new(io::empty())))
    }

    /// Whether what jobs print may be shown: to everybody but some clients of the daemon.
    pub(crate) fn shows_output(&self) -> bool {
        self.client.as_ref().is_none_or(|client| client.sees_output)
    }

    /// The process that gives the command, by what it runs inside of; `None` for a client of the daemon.
    pub(crate) fn caller(&self) -> Option<Caller> {
        self.client.is_none().then(|| Caller::this(std::env::vars_os()))
    }

    /// Whether this command was started by that job.
    pub(crate) fn runs_inside_job(&self, dir: &StateDir, job: &JobId) -> bool {
        let is = |name: &str, value: String| std::env::var(name).is_ok_and(|set| set == value);
        self.client.is_none()
            && is(marks::JOB_ID, job.to_string())
            && is(marks::STATE_ID, dir.identity.state_id.to_string())
    }

    /// The folder at which the relative paths of the command's giver begin.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        match &self.client {
            Some(client) => client.folder.clone(),
            None => std::env::current_dir().ok(),
        }
    }

    /// Whether the command came from a client of the daemon.
    pub(crate) fn is_remote(&self) -> bool {
        self.client.is_some()
    }

    /// The variables of the one who gives the command; a client of the daemon sends none.
    pub(crate) fn variables(&self) -> Vec<(OsString, OsString)> {
        if self.client.is_none() { std::env::vars_os().collect() } else { Vec::new() }
    }

    /// The configuration with its origins; read at the first call.
    pub(crate) fn configuration(&mut self) -> Result<&Loaded, CliError> {
        let loaded = match self.loaded.take() {
            Some(loaded) => loaded,
            None => {
                let is_server = matches!(self.word, "daemon" | "work" | "run");
                configuration::load(&self.globals, Reader { is_root: self.invoker.is_root(), is_server })?
            }
        };
        Ok(self.loaded.insert(loaded))
    }

    /// The settings.
    pub(crate) fn settings(&mut self) -> Result<&Settings, CliError> {
        Ok(self.configuration()?.configuration.settings())
    }

    /// Where the state directory is, or would be.
    pub(crate) fn state_path(&mut self) -> Result<PathBuf, CliError> {
        self.settings()?.state_dir.clone().ok_or_else(|| {
            CliError::new(ErrorKind::NoStateDirectory, "no state directory is named, and HOME is not set")
                .hint("name one with --state-dir")
        })
    }

    /// Opens the state directory, which must exist: for commands that look at what is there.
    pub(crate) fn state_dir(&mut self) -> Result<StateDir, CliError> {
        let dir = StateDir::open(&self.state_path()?, Disk::real(), Clock::system())?;
        self.with_settings(dir)
    }

    /// Opens the state directory and makes it if need be: for commands that put something in. Who means one that is
    /// there gets no new one: see [`crate::absent`].
    pub(crate) fn state_dir_or_create(&mut self) -> Result<StateDir, CliError> {
        let path = self.state_path()?;
        let Some(expecting) = self.expects(&path) else { return self.make_state_dir() };
        match StateDir::open_to_write(&path, Disk::real(), Clock::system()) {
            Err(missing @ StateError::Missing { .. }) => Err(absent::refusal(&missing, &path, expecting)),
            opened => self.with_settings(opened?),
        }
    }

    /// Opens the state directory and makes it if need be: for who asks for just that.
    pub(crate) fn make_state_dir(&mut self) -> Result<StateDir, CliError> {
        let dir = StateDir::open_or_create(&self.state_path()?, Disk::real(), Clock::system())?;
        self.with_settings(dir)
    }

    fn expects(&self, path: &Path) -> Option<Expecting> {
        match &self.client {
            Some(_) => Some(Expecting::Client),
            None => is_inside_job_of(path, |name| std::env::var_os(name)).then_some(Expecting::Job),
        }
    }

    /// For a server that is about to leave the job in which it was started, and would not be known to come from there
    /// any more.
    pub(crate) fn refuse_to_make_one_inside_a_job(&mut self) -> Result<(), CliError> {
        let path = self.state_path()?;
        let Some(expecting) = self.expects(&path) else { return Ok(()) };
        match StateDir::open(&path, Disk::real(), Clock::system()) {
            Err(missing @ StateError::Missing { .. }) => Err(absent::refusal(&missing, &path, expecting)),
            // Whatever else is wrong with it is told by the command itself.
            _ => Ok(()),
        }
    }

    /// Opens the state directory for a dry run: `None` when it would be made.
    pub(crate) fn state_dir_if_any(&mut self) -> Result<Option<StateDir>, CliError> {
        let path = self.state_path()?;
        match StateDir::open(&path, Disk::real(), Clock::system()) {
            Ok(dir) => self.with_settings(dir).map(Some),
            Err(StateError::Missing { .. }) => {
                StateDir::check_can_create(&path)?;
                Ok(None)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Opens the state directory and mends what keeps it from being opened: for recovery.
    pub(crate) fn state_dir_for_repair(&mut self) -> Result<(StateDir, Option<IdentityRepair>), CliError> {
        let path = self.state_path()?;
        let (dir, repair) = StateDir::open_for_repair(&path, Disk::real(), Clock::system())?;
        Ok((self.with_settings(dir)?, repair))
    }

    /// Refuses what would change something in a copy of a state directory, before anything is touched. What is no
    /// state directory is told by the command itself.
    pub(crate) fn refuse_in_a_copy(&mut self) -> Result<(), CliError> {
        let path = self.state_path()?;
        match StateDir::open(&path, Disk::real(), Clock::system()) {
            Ok(dir) => match dir.origin {
                DirectoryOrigin::Copied { of, .. } => {
                    let root = dir.paths.root().to_owned();
                    Err(CliError::from(&NotHome::Copy { root, of }))
                }
                _ => Ok(()),
            },
            Err(_) => Ok(()),
        }
    }

    /// Before jobs are judged or started: whether what lives shows that the files went back in time.
    ///
    /// # Errors
    /// When that is so and cannot be written down: what lives from the time that was lost is not looked for then.
    pub(crate) fn notice_restore(&mut self, mut dir: StateDir) -> Result<StateDir, CliError> {
        if notice_restore(&mut dir)? {
            self.output.warning("the state directory went back in time: see recoveryctl state show");
        }
        Ok(dir)
    }

    /// The same for a recovery, which starts nothing and mends what is in the way of others: it goes on with a
    /// warning.
    pub(crate) fn notice_restore_or_warn(&mut self, mut dir: StateDir) -> StateDir {
        match notice_restore(&mut dir) {
            Ok(false) => {}
            Ok(true) => {
                self.output.warning("the state directory went back in time: see recoveryctl state show");
            }
            Err(e) => {
                let error = CliError::from(e);
                self.output.warning(&format!("{}: {}", error.message(), error.causes().join(": ")));
            }
        }
        dir
    }

    /// Opens the queue for a report: where the disk cannot be written it is read all the same, with a warning.
    pub(crate) fn queue_to_look(&mut self, dir: &StateDir) -> Result<Queue, CliError> {
        let queue = Queue::open_to_look(dir)?;
        if let (Some(why), false) = (queue.unwritable(), dir.is_copy()) {
            self.output.warning(&format!("the queue can only be looked at: {why}"));
        }
        Ok(queue)
    }

    fn with_settings(&mut self, dir: StateDir) -> Result<StateDir, CliError> {
        let settings = self.settings()?;
        Ok(StateDir { lock_wait: settings.lock_wait, segment_bytes: settings.queue.segment_bytes, ..dir })
    }

    /// Who does what, and why: for queue records and the audit trail.
    pub(crate) fn actor(&self) -> Actor {
        self.invoker.actor(self.word, self.globals.reason.as_deref())
    }

    /// Enters into the audit trail what was done, or begun, and cannot be refused any more: that the trail
    /// cannot be written is told, and stops nothing.
    pub(crate) fn enter(&mut self, dir: &StateDir, action: &str, object: &str, detail: String) {
        let entry = Entry::done(dir.clock.now(), &self.actor(), action, object.to_owned(), detail);
        if let Err(e) = audit::record(dir, &entry) {
            self.output.warning(&format!("{e}: {}", e.source));
        }
    }

    /// The flags of every command, as they were given.
    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// The unix socket that was named.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        self.globals.socket.clone()
    }

    /// Whether nothing may be changed.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.globals.dry_run
    }

    /// Refuses `--dry-run` where nobody can say beforehand what will happen: a recovery decides by what it
    /// meets while it mends. Comes before anything is touched.
    pub(crate) fn refuse_dry_run(&self) -> Result<(), CliError> {
        if !self.is_dry_run() {
            return Ok(());
        }
        let message =
            format!("'{}' cannot be rehearsed: --dry-run is not for it; nothing was done", self.word);
        Err(CliError::new(ErrorKind::Usage, message)
            .code("no-dry-run")
            .hint("see how things stand with: recoveryctl status")
            .hint("see what waits with: recoveryctl queue status"))
    }

    /// Goes on only if the user agrees: by `--yes`, or by an answer on the terminal.
    ///
    /// # Errors
    /// With exit status 16 when nobody can be asked, with 1 when the answer is no.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<(), CliError> {
        if self.globals.yes {
            return Ok(());
        }
        match self.output.ask(question).as_deref() {
            Some("y" | "yes") => Ok(()),
            Some(_) => {
                Err(CliError::new(ErrorKind::Failed, "not confirmed; nothing was changed").code("declined"))
            }
            None => Err(CliError::new(ErrorKind::Unconfirmed, format!("confirmation needed: {question}"))
                .hint("there is no terminal to ask on; give --yes")),
        }
    }
}
