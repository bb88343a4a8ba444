//! What a command works with: settings, state directory, output, who asks, signals.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead};
use std::path::PathBuf;

use recovery::jobs::marks;
use recovery::locks::Caller;
use recovery::operations::{self, Call, FrontEnd, Inside, Site};
use recovery::queue::{Actor, JobId};
use recovery::recovery::Observer;
use recovery::state::StateDir;
use recovery::state::config::Settings;

use crate::actor::Invoker;
use crate::configuration::{self, Loaded, Reader};
use crate::error::{CliError, ErrorKind};
use crate::globals::Globals;
use crate::internal::keeper_command;
use crate::interruption::Interruption;
use crate::output::Output;
use crate::progress;

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

    /// What an operation works with, for one of them.
    pub(crate) fn operation(&mut self) -> Result<operations::Context<'_>, CliError> {
        let configuration = self.configuration()?.configuration.clone();
        let site = Site {
            configuration,
            keeper: keeper_command,
            variable: |name| std::env::var_os(name),
            queue: None,
        };
        let inside =
            || Inside { variables: std::env::vars_os().collect(), folder: std::env::current_dir().ok() };
        let inside = self.client.is_none().then(inside);
        let call = Call {
            actor: self.actor(),
            dry_run: self.globals.dry_run,
            sees_output: self.shows_output(),
            folder: self.folder(),
            inside,
        };
        let front = Front {
            output: &mut self.output,
            interruption: &self.interruption,
            client: self.client.as_mut(),
            is_agreed: self.globals.yes,
        };
        Ok(operations::Context::new(site, call, front))
    }

    /// See [`operations::Context::state_dir`].
    pub(crate) fn state_dir(&mut self) -> Result<StateDir, CliError> {
        self.operation()?.state_dir()
    }

    /// See [`operations::Context::notice_restore`].
    pub(crate) fn notice_restore(&mut self, dir: StateDir) -> Result<StateDir, CliError> {
        self.operation()?.notice_restore(dir)
    }

    /// See [`operations::Context::enter`].
    pub(crate) fn enter(
        &mut self,
        dir: &StateDir,
        action: &str,
        object: &str,
        detail: String,
    ) -> Result<(), CliError> {
        self.operation()?.enter(dir, action, object, detail);
        Ok(())
    }

    /// Who does what, and why: for queue records and the audit trail.
    pub(crate) fn actor(&self) -> Actor {
        self.invoker.actor(self.word, self.globals.reason.as_deref())
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

    /// See [`operations::Context::confirm`].
    pub(crate) fn confirm(&mut self, question: &str) -> Result<(), CliError> {
        self.operation()?.confirm(question)
    }
}

/// The terminal, or a client's streams, as an operation sees them.
struct Front<'a> {
    output: &'a mut Output,
    interruption: &'a Interruption,
    client: Option<&'a mut Client>,
    /// `--yes` was given.
    is_agreed: bool,
}

impl FrontEnd for Front<'_> {
    fn warn(&mut self, sentence: &str) {
        self.output.warning(sentence);
    }

    fn note(&mut self, sentence: &str) {
        self.output.note(sentence);
    }

    fn agrees(&mut self, question: &str) -> Option<bool> {
        if self.is_agreed {
            return Some(true);
        }
        let answer = self.output.ask(question)?;
        Some(matches!(answer.as_str(), "y" | "yes"))
    }

    fn stopped(&self) -> Option<CliError> {
        self.interruption.sent_away()
    }

    fn observer(&self) -> Option<Observer> {
        progress::observer(self.output)
    }

    fn input(&mut self) -> Box<dyn BufRead + Send> {
        match &mut self.client {
            Some(client) => std::mem::replace(&mut client.input, Box::new(io::empty())),
            None => Box::new(io::BufReader::new(io::stdin())),
        }
    }
}
