//! How operations fail: the kind, hence the exit status and the HTTP status, a stable code, and what to do about it.
//! Decided here, once.
//!
//! Errors of the stories come in through `From` (`from_library`). The cause stays a source and is printed once.

mod from_library;

pub use from_library::{PATH_EXPOSED, exposed, quoted, remedies};

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strum::VariantArray;

use crate::durable::causes;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// All of it.
    Done,
    /// Some items failed, or the state is degraded.
    Degraded,
    /// The state is damaged, and was shown as far as it can be read.
    Damaged,
    /// There are findings, and `--exit-code` asks to tell.
    Findings,
    /// A command that was run for the user ended with this status.
    Command(u8),
}

impl Ending {
    /// The exit status.
    pub const fn status(self) -> u8 {
        match self {
            Ending::Done => 0,
            Ending::Degraded => 3,
            Ending::Findings => 4,
            Ending::Damaged => ErrorKind::StateDamaged.status(),
            Ending::Command(status) => status,
        }
    }
}

/// What kind of failure; each has its exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
#[allow(missing_docs)] // Their meanings are in the table below.
pub enum ErrorKind {
    Failed,
    Usage,
    NotFound,
    NoStateDirectory,
    Held,
    Refused,
    PlanOutOfDate,
    DaemonUnreachable,
    StateDamaged,
    Unconfirmed,
    NotAuthorised,
    Interrupted,
    Terminated,
}

impl ErrorKind {
    const ALL: &[ErrorKind] = <ErrorKind as VariantArray>::VARIANTS;

    /// The exit status, the code unless a more exact one is given, and the meaning.
    const fn row(self) -> (u8, &'static str, &'static str) {
        match self {
            ErrorKind::Failed => (1, "failed", "failed"),
            ErrorKind::Usage => (2, "usage", "wrong usage, or a configuration that cannot be used"),
            ErrorKind::NotFound => (5, "not-found", "no such job, lock, phase or code"),
            ErrorKind::NoStateDirectory => (10, "no-state-directory", "no state directory there"),
            ErrorKind::Held => (11, "held", "held by a live owner"),
            ErrorKind::Refused => (12, "refused", "refused: unsafe, or liveness unknown"),
            ErrorKind::PlanOutOfDate => (13, "plan-out-of-date", "the plan is out of date"),
            ErrorKind::DaemonUnreachable => (14, "daemon-unreachable", "the daemon cannot be reached"),
            ErrorKind::StateDamaged => (15, "state-damaged", "the state is damaged and must be repaired"),
            ErrorKind::Unconfirmed => (16, "unconfirmed", "confirmation needed but no terminal: give --yes"),
            ErrorKind::NotAuthorised => (17, "not-authorised", "not authorised"),
            ErrorKind::Interrupted => (130, "interrupted", "ended by SIGINT"),
            ErrorKind::Terminated => (143, "terminated", "ended by SIGTERM"),
        }
    }

    /// The exit status.
    pub const fn status(self) -> u8 {
        self.row().0
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        self.row().2
    }
}

/// The table of exit statuses, for `--help`.
pub fn status_table() -> String {
    let endings = [
        (Ending::Done.status(), "done"),
        (Ending::Degraded.status(), "done, but some items failed or the state is degraded"),
        (Ending::Findings.status(), "there are findings (only with --exit-code)"),
    ];
    let failures = ErrorKind::ALL.iter().map(|kind| (kind.status(), kind.row().2));
    let mut rows: Vec<_> = endings.into_iter().chain(failures).collect();
    rows.sort_unstable();
    let lines = rows.iter().map(|(status, meaning)| format!("\n  {status:>3}  {meaning}"));
    format!("Exit status:{}", lines.collect::<String>())
}

/// A report that comes with an error.
pub trait Partial: fmt::Debug + Send + Sync {
    /// As it is published.
    fn json(&self) -> Value;

    /// As its own type again.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<R: Serialize + fmt::Debug + Send + Sync + 'static> Partial for R {
    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// An operation that failed.
#[derive(Debug)]
pub struct OperationError {
    kind: ErrorKind,
    code: Cow<'static, str>,
    hints: Vec<String>,
    error: Box<dyn Error + Send + Sync>,
    report: Option<Box<dyn Partial>>,
}

impl OperationError {
    /// A failure that says all by itself: a message, or an error with its causes.
    pub fn new(kind: ErrorKind, error: impl Into<Box<dyn Error + Send + Sync>>) -> OperationError {
        OperationError {
            kind,
            code: kind.row().1.into(),
            hints: Vec::new(),
            error: error.into(),
            report: None,
        }
    }

    /// A request that cannot be understood.
    pub(crate) fn bad_request(error: serde_json::Error) -> OperationError {
        OperationError::new(ErrorKind::Usage, error).code("bad-request")
    }

    /// A fault of this program.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> OperationError {
        OperationError::new(ErrorKind::Failed, error).code("internal")
    }

    /// With what is to be reported all the same: of several objects, why none could be done.
    pub fn with_report(mut self, report: impl Partial + 'static) -> OperationError {
        self.report = Some(Box::new(report));
        self
    }

    /// What is to be reported all the same, as JSON.
    pub fn report_json(&self) -> Option<Value> {
        self.report.as_ref().map(|report| report.json())
    }

    /// What is to be reported all the same, of the operation whose report it is.
    pub fn take_report<R: 'static>(&mut self) -> Option<R> {
        let report = self.report.take()?.into_any().downcast().ok()?;
        Some(*report)
    }

    /// With a more exact code than that of its kind, in kebab-case.
    pub fn code(mut self, code: impl Into<Cow<'static, str>>) -> OperationError {
        self.code = code.into();
        self
    }

    /// The code.
    pub fn code_name(&self) -> &str {
        &self.code
    }

    /// With something to try next.
    pub fn hint(mut self, hint: impl Into<String>) -> OperationError {
        self.hints.push(hint.into());
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        self.kind.status()
    }

    /// What to try next.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The message.
    pub fn message(&self) -> String {
        self.error.to_string()
    }

    /// What caused it, the nearest first; one that only repeats what is above it is left out.
    pub fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = causes(&*self.error).map(ToString::to_string).collect();
        causes.dedup();
        causes.split_off(1)
    }

    /// One that a daemon tells of: its document, read back.
    pub fn told(ErrorDocument { error }: ErrorDocument) -> OperationError {
        let kind = ErrorKind::ALL.iter().find(|kind| kind.status() == error.exit);
        let told = error
            .causes
            .into_iter()
            .rev()
            .fold(None, |cause, message| Some(Box::new(Told { message, cause })));
        let told = Told { message: error.message, cause: told };
        let hints = error.hint.iter().flat_map(|hint| hint.lines()).map(str::to_owned).collect();
        let kind = kind.copied().unwrap_or(ErrorKind::Failed);
        OperationError { hints, ..OperationError::new(kind, told).code(error.code) }
    }

    /// The document that `--json` prints.
    pub fn document(&self) -> ErrorDocument {
        let hint = (!self.hints.is_empty()).then(|| self.hints.join("\n"));
        let (message, causes) = (self.message(), self.causes());
        let exit = self.status();
        ErrorDocument {
            error: ErrorBody { code: self.code.clone().into_owned(), message, causes, hint, exit },
        }
    }
}

/// A message and its causes, as a daemon told them.
#[derive(Debug)]
struct Told {
    message: String,
    cause: Option<Box<Told>>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

/// `{"error":{…}}`
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorDocument {
    error: ErrorBody,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct ErrorBody {
    code: String,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    exit: u8,
}
