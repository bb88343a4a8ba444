//! What an operation works with: the state directory, the settings, who asks, and the front end that it talks to.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ErrorKind, OperationError};
use super::inside::Inside;
use crate::audit::{self, Entry};
use crate::durable::{Disk, NotHome};
use crate::jobs::{marks, notice_restore};
use crate::locks::Caller;
use crate::queue::{Actor, JobId, QueueView, SharedQueue};
use crate::recovery::Observer;
use crate::state::config::{Configuration, Settings};
use crate::state::{Clock, DirectoryOrigin, IdentityRepair, StateDir, StateError};

/// Where operations are carried out: the same for all of them.
#[derive(Debug, Clone)]
pub struct Site {
    /// All layers of the configuration.
    pub configuration: Arc<Configuration>,
    /// Program and first arguments of a keeper of a job's output with this limit, in bytes.
    pub keeper: fn(u64) -> Vec<OsString>,
    /// A variable of this process.
    pub variable: fn(&str) -> Option<OsString>,
    /// The queue in memory, in a process that carries out many operations; else each reads it from the directory.
    pub queue: Option<Arc<SharedQueue>>,
}

/// Who asks, and how it is to be done.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who does it, and why: for queue records and the audit trail.
    pub actor: Actor,
    /// Nothing may be changed.
    pub dry_run: bool,
    /// Whether what jobs print may be shown.
    pub sees_output: bool,
    /// Whether results are shown as they come ([`FrontEnd::print`]); else they are all in the report at the end.
    pub is_streamed: bool,
    /// What the asking process runs inside of; `None` for a client of the daemon.
    pub inside: Option<Inside>,
    /// The folder at which the relative paths of the request begin.
    pub folder: Option<PathBuf>,
}

/// What an operation tells and asks while it works.
pub trait FrontEnd {
    /// Something that should not be overlooked.
    fn warn(&mut self, sentence: &str);

    /// What is being done.
    fn note(&mut self, sentence: &str);

    /// Whether a person agrees; `None` when nobody can be asked.
    fn agrees(&mut self, question: &str) -> Option<bool>;

    /// How the operation learns that it is to end.
    fn interrupt(&self) -> Arc<dyn Interrupt> {
        Arc::new(Uninterrupted)
    }

    /// From now on the first request to end only asks: the operation looks for it. Else a signal ends the process at
    /// once, which is safe at every instruction.
    fn catch(&mut self) -> Arc<dyn Interrupt> {
        self.interrupt()
    }

    /// The error to end with, once the asker has gone away. For operations that wait, and leave signals as they are.
    fn sent_away(&self) -> Option<OperationError> {
        None
    }

    /// A result that is settled before the end, or a part of one.
    fn print(&mut self, _text: &[u8]) {}

    /// The same of bytes that another program printed, which a terminal is not to obey.
    fn print_foreign(&mut self, _bytes: &[u8]) {}

    /// Hands on what was printed so far; false when nobody reads it.
    fn flush(&mut self) -> bool {
        true
    }

    /// Whether nobody reads any more what is printed.
    fn is_unread(&self) -> bool {
        false
    }

    /// A failure of one of many objects, while the others go on.
    fn fail(&mut self, _error: &OperationError) {}

    /// Shows how far work of many steps is; `None` when nobody looks.
    fn ticker(&mut self) -> Option<Ticker> {
        None
    }

    /// Follows a recovery's progress.
    fn observer(&self) -> Option<Observer> {
        None
    }

    /// What the request reads beside itself: standard input, or the file that was named.
    ///
    /// # Errors
    /// When the file cannot be opened.
    fn input(&mut self) -> Result<Box<dyn BufRead + Send>, OperationError> {
        Ok(Box::new(io::empty()))
    }
}

/// Shows a line that says how far the work is, in place of the one before.
pub type Ticker = Box<dyn Fn(&str) + Send + Sync>;

/// How work learns that it is to end; shared with the threads that do it.
pub trait Interrupt: Send + Sync {
    /// The error to end with, once it was asked to end.
    fn requested(&self) -> Option<OperationError>;

    /// Whether nobody would see what it comes to.
    fn is_in_vain(&self) -> bool {
        false
    }
}

/// Nobody asks it to end.
#[derive(Debug)]
struct Uninterrupted;

impl Interrupt for Uninterrupted {
    fn requested(&self) -> Option<OperationError> {
        None
    }
}

/// See the module.
pub struct Context<'a> {
    site: Site,
    call: Call,
    front: Box<dyn FrontEnd + 'a>,
    /// The state directory as the look whether it is a copy has opened it, for the operation that follows.
    looked_at: Cell<Option<StateDir>>,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("call", &self.call).finish_non_exhaustive()
    }
}

impl<'a> Context<'a> {
    /// For one operation.
    pub fn new(site: Site, call: Call, front: impl FrontEnd + 'a) -> Context<'a> {
        Context { site, call, front: Box::new(front), looked_at: Cell::default() }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        self.site.configuration.settings()
    }

    /// The settings with their origins.
    pub(crate) fn configuration(&self) -> &Configuration {
        &self.site.configuration
    }

    /// See [`Site`].
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Where the state directory is, or would be.
    pub fn state_path(&self) -> Result<PathBuf, OperationError> {
        self.settings().state_dir.clone().ok_or_else(|| {
            OperationError::new(
                ErrorKind::NoStateDirectory,
                "no state directory is named, and HOME is not set",
            )
            .hint("name one with --state-dir")
        })
    }

    /// Opens the state directory, which must exist.
    pub fn state_dir(&self) -> Result<StateDir, OperationError> {
        let dir = match self.looked_at.take() {
            Some(dir) => dir,
            None => StateDir::open(&self.state_path()?, Disk::real(), Clock::system())?,
        };
        Ok(self.with_settings(dir))
    }

    /// Opens the state directory and makes it when it is not there. A client of a daemon, and what runs inside a job,
    /// mean one that they know: for them none is made.
    pub fn state_dir_or_create(&self) -> Result<StateDir, OperationError> {
        if let Some(dir) = self.looked_at.take() {
            dir.about_to_write()?;
            return Ok(self.with_settings(dir));
        }
        let path = self.state_path()?;
        let Some(expecting) = self.expects(&path) else { return self.make_state_dir() };
        match StateDir::open_to_write(&path, Disk::real(), Clock::system()) {
            Err(missing @ StateError::Missing { .. }) => {
                Err(super::absent::refusal(&missing, &path, expecting, self.call.inside.as_ref()))
            }
            opened => Ok(self.with_settings(opened?)),
        }
    }

    /// Opens the state directory and makes it when it is not there.
    pub fn make_state_dir(&self) -> Result<StateDir, OperationError> {
        let dir = StateDir::open_or_create(&self.state_path()?, Disk::real(), Clock::system())?;
        Ok(self.with_settings(dir))
    }

    fn expects(&self, path: &Path) -> Option<super::absent::Expecting> {
        use super::absent::{Expecting, is_inside_job_of};
        match &self.call.inside {
            None => Some(Expecting::Client),
            Some(inside) => {
                is_inside_job_of(path, |name| inside.variable(name).cloned()).then_some(Expecting::Job)
            }
        }
    }

    /// For a server that is about to leave the job in which it was started: none is made for it there.
    pub fn refuse_to_make_one_inside_a_job(&self) -> Result<(), OperationError> {
        let path = self.state_path()?;
        let Some(expecting) = self.expects(&path) else { return Ok(()) };
        match StateDir::open(&path, Disk::real(), Clock::system()) {
            Err(missing @ StateError::Missing { .. }) => {
                Err(super::absent::refusal(&missing, &path, expecting, self.call.inside.as_ref()))
            }
            // What else is wrong with it is told by the operation itself.
            _ => Ok(()),
        }
    }

    /// Opens the state directory for a dry run: `None` when it would be made.
    pub fn state_dir_if_any(&self) -> Result<Option<StateDir>, OperationError> {
        let path = self.state_path()?;
        match StateDir::open(&path, Disk::real(), Clock::system()) {
            Ok(dir) => Ok(Some(self.with_settings(dir))),
            Err(StateError::Missing { .. }) => {
                StateDir::check_can_create(&path)?;
                Ok(None)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// Opens the state directory and repairs what keeps it from being opened: for recovery.
    pub fn state_dir_for_repair(&self) -> Result<(StateDir, Option<IdentityRepair>), OperationError> {
        let path = self.state_path()?;
        let (dir, repair) = StateDir::open_for_repair(&path, Disk::real(), Clock::system())?;
        Ok((self.with_settings(dir), repair))
    }

    /// Refuses what would change something in a copy of a state directory, before anything is touched. What is no
    /// state directory is told by the operation itself.
    pub fn refuse_in_a_copy(&self) -> Result<(), OperationError> {
        let path = self.state_path()?;
        match StateDir::open(&path, Disk::real(), Clock::system()) {
            Ok(dir) => match dir.origin {
                DirectoryOrigin::Copied { of, .. } => {
                    let root = dir.paths.root().to_owned();
                    Err(OperationError::from(&NotHome::Copy { root, of }))
                }
                _ => {
                    self.looked_at.set(Some(dir));
                    Ok(())
                }
            },
            Err(_) => Ok(()),
        }
    }

    /// Before jobs are judged or started: whether what lives shows that the files went back in time.
    ///
    /// # Errors
    /// When that is so and cannot be written down: what lives from the time that was lost is not looked for then.
    pub fn notice_restore(&mut self, mut dir: StateDir) -> Result<StateDir, OperationError> {
        if notice_restore(&mut dir)? {
            self.front.warn("the state directory went back in time: see recoveryctl state show");
        }
        Ok(dir)
    }

    /// The same for a recovery, which starts nothing and repairs what is in the way of others: it goes on with a
    /// warning.
    pub(crate) fn notice_restore_or_warn(&mut self, mut dir: StateDir) -> StateDir {
        match notice_restore(&mut dir) {
            Ok(false) => {}
            Ok(true) => self.front.warn("the state directory went back in time: see recoveryctl state show"),
            Err(e) => {
                let error = OperationError::from(e);
                self.front.warn(&format!("{}: {}", error.message(), error.causes().join(": ")));
            }
        }
        dir
    }

    /// Opens the queue for a report: where the disk cannot be written it is read all the same, with a warning.
    pub(crate) fn queue_to_look(&mut self, dir: &StateDir) -> Result<QueueView, OperationError> {
        let queue = match &self.site.queue {
            Some(shared) => shared.view(dir)?,
            None => QueueView::open(dir)?,
        };
        if let (Some(why), false) = (queue.unwritable(), dir.is_copy()) {
            self.front.warn(&format!("the queue can only be looked at: {why}"));
        }
        Ok(queue)
    }

    fn with_settings(&self, dir: StateDir) -> StateDir {
        let settings = self.settings();
        StateDir { lock_wait: settings.lock_wait, segment_bytes: settings.queue.segment_bytes, ..dir }
    }

    /// Who does it, and why.
    pub(crate) fn actor(&self) -> Actor {
        self.call.actor.clone()
    }

    /// The reason that was given.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.call.actor.why.as_deref()
    }

    /// Refuses a dry run of what cannot be tried without doing it. Comes before anything is touched.
    pub fn refuse_dry_run(&self, what: &str) -> Result<(), OperationError> {
        if !self.is_dry_run() {
            return Ok(());
        }
        let message = format!("'{what}' cannot be rehearsed: --dry-run is not for it; nothing was done");
        Err(OperationError::new(ErrorKind::Usage, message)
            .code("no-dry-run")
            .hint("see how things stand with: recoveryctl status")
            .hint("see what waits with: recoveryctl queue status"))
    }

    /// Enters into the audit trail what was done, or begun, and cannot be refused any more: that the trail cannot be
    /// written is told, and stops nothing.
    pub fn enter(&mut self, dir: &StateDir, action: &str, object: &str, detail: String) {
        let entry = Entry::done(dir.clock.now(), &self.call.actor, action, object.to_owned(), detail);
        if let Err(e) = audit::record(dir, &entry) {
            self.front.warn(&format!("{e}: {}", e.source));
        }
    }

    /// Whether nothing may be changed.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.call.dry_run
    }

    /// Whether what jobs print may be shown.
    pub(crate) fn shows_output(&self) -> bool {
        self.call.sees_output
    }

    /// Whether results are shown as they come.
    pub(crate) fn is_streamed(&self) -> bool {
        self.call.is_streamed
    }

    /// The process that asks, by what it runs inside of; `None` for a client of the daemon.
    pub(crate) fn caller(&self) -> Option<Caller> {
        let inside = self.call.inside.as_ref()?;
        Some(Caller::this(inside.variables.iter().cloned()))
    }

    /// Whether the process that asks was started by that job.
    pub fn runs_inside_job(&self, dir: &StateDir, job: &JobId) -> bool {
        let is = |name: &str, value: String| {
            let inside = self.call.inside.as_ref();
            inside.and_then(|inside| inside.variable(name)).is_some_and(|set| *set == *value)
        };
        is(marks::JOB_ID, job.to_string()) && is(marks::STATE_ID, dir.identity.state_id.to_string())
    }

    /// The folder at which the relative paths of the request begin.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.call.folder.as_deref()
    }

    /// The variables of the process that asks; a client of the daemon sends none.
    pub(crate) fn variables(&self) -> &[(OsString, OsString)] {
        self.call.inside.as_ref().map_or(&[], |inside| &inside.variables)
    }

    /// Something that should not be overlooked.
    pub(crate) fn warn(&mut self, sentence: &str) {
        self.front.warn(sentence);
    }

    /// What is being done.
    pub(crate) fn note(&mut self, sentence: &str) {
        self.front.note(sentence);
    }

    /// The front end.
    pub fn front(&mut self) -> &mut (dyn FrontEnd + 'a) {
        &mut *self.front
    }

    /// Goes on only if the user agrees.
    ///
    /// # Errors
    /// [`ErrorKind::Unconfirmed`] when nobody can be asked; `declined` when the answer is no.
    pub(crate) fn confirm(&mut self, question: &str) -> Result<(), OperationError> {
        match self.front.agrees(question) {
            Some(true) => Ok(()),
            Some(false) => {
                let message = "not confirmed; nothing was changed";
                Err(OperationError::new(ErrorKind::Failed, message).code("declined"))
            }
            None => {
                let message = format!("confirmation needed: {question}");
                Err(OperationError::new(ErrorKind::Unconfirmed, message)
                    .hint("there is no terminal to ask on; give --yes"))
            }
        }
    }
}
