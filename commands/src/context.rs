//! What a command works with: settings, state directory or daemon, output, who asks, signals.

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::sync::Arc;

use recovery::locks::Caller;
use recovery::operations::{self, Call, FrontEnd, Inside, Interrupt, Site, Ticker};
use recovery::queue::{Actor, JobId};
use recovery::recovery::Observer;
use recovery::state::StateDir;
use recovery::state::config::Settings;
use serde_json::Value;

use crate::actor::Invoker;
use crate::configuration::{self, Loaded, Reader};
use crate::error::{CliError, ErrorKind};
use crate::globals::Globals;
use crate::internal::keeper_command;
use crate::interruption::{Interruption, Watched};
use crate::output::Output;
use crate::progress;
use crate::remote::Target;
use crate::wire::Asked;

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
    /// The daemon that executes operations, when this process does not.
    daemon: Option<Target>,
    /// The file that the operation reads; `-` is standard input.
    input: Option<PathBuf>,
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
        let (invoker, loaded, daemon, input) = (Invoker::this(), None, None, None);
        Context { output, interruption, globals, invoker, word, loaded, daemon, input }
    }

    /// The same with a configuration that was read already.
    pub(crate) fn configured(self, loaded: Loaded) -> Context {
        Context { loaded: Some(loaded), ..self }
    }

    /// Makes a daemon execute operations from now on.
    pub(crate) fn ask(&mut self, daemon: Target) {
        self.daemon = Some(daemon);
    }

    /// The daemon that carries operations out, when not this process.
    pub(crate) fn daemon(&self) -> Option<Target> {
        self.daemon.clone()
    }

    /// Whether a daemon executes operations.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.daemon.is_some()
    }

    /// From now on operations read this file.
    pub(crate) fn reads(&mut self, file: PathBuf) {
        self.input = Some(file);
    }

    /// A request as a daemon is asked.
    pub(crate) fn asked(&self, operation: String, request: Value) -> Asked {
        Asked {
            operation,
            request,
            dry_run: self.globals.dry_run,
            is_agreed: self.globals.yes,
            agreed: Vec::new(),
            reason: self.globals.reason.clone(),
            lock_wait: self.globals.lock_wait.clone(),
            folder: std::env::current_dir().ok(),
            is_streamed: !self.output.is_json(),
            shows_progress: !self.output.is_quiet(),
            nearby: None,
            words: self.invoker.words(),
        }
    }

    /// All that the operation reads, for a daemon.
    pub(crate) fn whole_input(&mut self) -> Result<Vec<u8>, CliError> {
        let Some(file) = self.input.clone() else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        opened(&file, &mut self.output)?.read_to_end(&mut bytes).map_err(|e| unreadable(&file, &e))?;
        Ok(bytes)
    }

    /// Returns the process that gives the command, with the jobs that it runs inside of.
    pub(crate) fn caller(&self) -> Caller {
        Caller::this(std::env::vars_os())
    }

    /// See [`operations::Context::runs_inside_job`].
    pub(crate) fn runs_inside_job(&mut self, dir: &StateDir, job: &JobId) -> bool {
        self.operation().is_ok_and(|operation| operation.runs_inside_job(dir, job))
    }

    /// The configuration with its origins; read at the first call.
    pub(crate) fn configuration(&mut self) -> Result<&Loaded, CliError> {
        let loaded = match self.loaded.take() {
            Some(loaded) => loaded,
            None => {
                let is_server = matches!(self.word, "daemon" | "work" | "run");
                let reader = Reader {
                    is_root: self.invoker.is_root(),
                    is_server,
                    ignores_workers: matches!(self.word, "submit" | "lock"),
                };
                configuration::load(&self.globals, reader)?
            }
        };
        Ok(self.loaded.insert(loaded))
    }

    /// The settings.
    pub(crate) fn settings(&mut self) -> Result<&Settings, CliError> {
        Ok(self.configuration()?.configuration.settings())
    }

    /// Returns the context of one operation.
    pub(crate) fn operation(&mut self) -> Result<operations::Context<'_>, CliError> {
        let configuration = self.configuration()?.configuration.clone();
        let site = Site {
            configuration,
            keeper: keeper_command,
            variable: |name| std::env::var_os(name),
            queue: None,
        };
        let folder = std::env::current_dir().ok();
        let inside = Inside { variables: std::env::vars_os().collect(), folder: folder.clone() };
        let call = Call {
            actor: self.actor(),
            dry_run: self.globals.dry_run,
            sees_output: true,
            is_streamed: !self.output.is_json(),
            inside: Some(inside),
            folder,
        };
        let front = Front {
            output: &mut self.output,
            interruption: &self.interruption,
            input: self.input.clone(),
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

    /// See [`operations::Context::refuse_dry_run`].
    pub(crate) fn refuse_dry_run(&mut self) -> Result<(), CliError> {
        let word = self.word;
        if self.is_dry_run() { self.operation()?.refuse_dry_run(word) } else { Ok(()) }
    }
}

fn unreadable(file: &std::path::Path, error: &io::Error) -> CliError {
    CliError::new(ErrorKind::Failed, format!("cannot read {}: {error}", file.display())).code("input")
}

fn opened(file: &std::path::Path, output: &mut Output) -> Result<Box<dyn BufRead + Send>, CliError> {
    if file.as_os_str() == "-" {
        if io::stdin().is_terminal() {
            output.note("reading jobs from the terminal, a JSON object a line; Ctrl-D ends");
        }
        return Ok(Box::new(BufReader::with_capacity(1 << 16, io::stdin())));
    }
    let cannot = |e: io::Error| unreadable(file, &e);
    let opened = recovery::durable::plain::open(file).map_err(cannot)?;
    if opened.metadata().map_err(cannot)?.is_dir() {
        return Err(cannot(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(Box::new(BufReader::with_capacity(1 << 16, opened)))
}

/// The front end of an operation on this terminal.
struct Front<'a> {
    output: &'a mut Output,
    interruption: &'a Interruption,
    input: Option<PathBuf>,
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

    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::new(Watched(self.interruption.clone()))
    }

    fn catch(&mut self) -> Arc<dyn Interrupt> {
        self.interruption.catch();
        self.interrupt()
    }

    fn print(&mut self, text: &[u8]) {
        self.output.bytes(text);
    }

    fn print_foreign(&mut self, bytes: &[u8]) {
        self.output.foreign_bytes(bytes);
    }

    fn flush(&mut self) -> bool {
        self.output.flush()
    }

    fn is_unread(&self) -> bool {
        self.output.reader_is_gone()
    }

    fn fail(&mut self, error: &CliError) {
        self.output.error(error);
    }

    fn ticker(&mut self) -> Option<Ticker> {
        let bar = progress::ticker(self.output)?;
        Some(Box::new(move |line| {
            bar.set_message(line.to_owned());
            bar.tick();
        }))
    }

    fn observer(&self) -> Option<Observer> {
        progress::observer(self.output)
    }

    fn input(&mut self) -> Result<Box<dyn BufRead + Send>, CliError> {
        match &self.input {
            Some(file) => opened(file, self.output),
            None => Ok(Box::new(io::empty())),
        }
    }
}
