//! What kind of failure each error of the library is, its code, and what to do about it.

use crate::archive::{PruneError as ArchivePruneError, RestoreError};
use crate::audit::AuditError;
use crate::cleanup::{CleanupError, CreateRefused};
use crate::daemon::{CleanedPruneError, DaemonError, WorkError};
use crate::durable::log::LogError;
use crate::durable::{DiskError, LockError, NotHome};
use crate::import::{ImportError, ScanError, TemplateError};
use crate::jobs::RecoverError;
use crate::locks::{LockRefused, ReleaseRefused, RunUnderError};
use crate::losses::LossesError;
use crate::orphans::{ExecuteError, ExplainError, ScanError as OrphanScanError, TrashError};
use crate::prune::PruneError;
use crate::queue::{BadRequest, JobExists, QueueError, SubmitError};
use crate::recovery::{GraphError, HistoryError, RehearseError, RequestError, RunError};
use crate::repair::{AdoptError, RepairError};
use crate::report::audit::AuditReportError;
use crate::report::cleanup::CleanupReportError;
use crate::report::page::BadCursor;
use crate::report::sentinels::SentinelsError;
use crate::report::startup::StartupReportError;
use crate::state::config::ConfigError;
use crate::state::{Exposed, Exposure, StateError};
use crate::webhooks::{DeliveryLogError, EngineError};

use super::{ErrorKind, OperationError};

/// A row for each error type: the variants that are another error with a row of its own, and those that have a kind, a
/// code and a hint. Every other variant has failed.
macro_rules! failures {
    ($($error:ident: [$($inner:ident),*] { $($variant:ident => $kind:ident $code:literal $($hint:literal)?;)* })*) => {$(
        impl From<$error> for OperationError {
            fn from(error: $error) -> OperationError {
                #[allow(unreachable_patterns)] // Of some types a row names every variant.
                match error {
                    $($error::$inner(error) => error.into(),)*
                    $($error::$variant { .. } => {
                        OperationError::new(ErrorKind::$kind, error).code($code)$(.hint($hint))?
                    })*
                    _ => OperationError::new(ErrorKind::Failed, error),
                }
            }
        }
    )*};
}

failures! {
    AdoptError: [State, Queue, Log, Deliveries, Disk] {
        NotACopy => Refused "no-copy" "recoveryctl state show";
    }
    ArchivePruneError: [Disk, Audit] {}
    AuditReportError: [Disk, Cursor] {}
    CleanedPruneError: [Prune, Create, Cleanup] {}
    CleanupError: [Lock, Queue, Log, Disk] {
        Busy => Held "cleanup-under-way" "see what it does with: recoveryctl cleanup state";
    }
    CleanupReportError: [Cursor, Disk] {}
    CreateRefused: [Lock, Disk] {
        NotOver => Held "job-not-over";
        NoSuchCleanup => NotFound "no-such-cleanup" "recoveryctl cleanup state";
    }
    DaemonError: [Lock, Recovery, Queue, Work, Disk] {
        Running => Held "daemon-running" "recoveryctl status";
        NotRecovered => Failed "recovery-failed" "recoveryctl recover";
    }
    DeliveryLogError: [Log, Disk, Lock] {}
    ExecuteError: [Lock, Queue, Log, Trash, Disk] {
        OutOfDate => PlanOutOfDate "plan-out-of-date" "make a new plan with: recoveryctl scan";
        NoSuchCandidate => NotFound "no-such-candidate" "recoveryctl orphans candidates";
    }
    LogError: [Disk, Lock] {
        TooLong => Usage "record-too-long";
        Poisoned => Failed "log-poisoned" "nothing was acknowledged; check the disk, then run it again";
    }
    LossesError: [Lock, Disk] {}
    OrphanScanError: [Lock, Disk] {}
    PruneError: [Queue, Disk] {}
    QueueError: [Log, Disk, Lock] {}
    RecoverError: [Queue, Disk] {}
    RehearseError: [Run, State, Disk] {
        UnderWay => Held "recovery-under-way";
    }
    RepairError: [Queue, Jobs, Disk] {
        Busy => Held "recovery-under-way" "recoveryctl status";
    }
    RequestError: [Disk] {
        UnknownPhase => NotFound "no-such-phase";
    }
    RestoreError: [Disk] {
        Taken => Refused "place-taken";
        Bundles => Refused "archive-of-bundles";
        Damaged => StateDamaged "archive-damaged";
    }
    RunUnderError: [Refused] {
        Start => Failed "command-not-started";
    }
    SentinelsError: [Disk, Cursor] {}
    StartupReportError: [Disk, Cursor] {}
    TrashError: [Lock, Log, Disk] {
        NotThere => NotFound "not-in-the-trash" "recoveryctl orphans candidates";
        Taken => Refused "place-taken";
    }
    WorkError: [Queue, Disk, Jobs] {}
}

impl From<AuditError> for OperationError {
    fn from(error: AuditError) -> OperationError {
        OperationError::new(ErrorKind::Failed, error).code("audit-trail")
    }
}

impl From<HistoryError> for OperationError {
    fn from(error: HistoryError) -> OperationError {
        OperationError::new(ErrorKind::Failed, error).code("recovery-history")
    }
}

impl From<GraphError> for OperationError {
    fn from(error: GraphError) -> OperationError {
        OperationError::new(ErrorKind::Failed, error)
    }
}

impl From<BadCursor> for OperationError {
    fn from(error: BadCursor) -> OperationError {
        OperationError::new(ErrorKind::Usage, error)
            .code("bad-cursor")
            .hint("take next_cursor from the page before, or leave --cursor out to begin anew")
    }
}

impl From<BadRequest> for OperationError {
    fn from(error: BadRequest) -> OperationError {
        let no_command = matches!(error, BadRequest::NoCommand);
        let error = OperationError::new(ErrorKind::Usage, error).code("bad-request");
        if no_command { error.hint("recoveryctl submit -- CMD ARG…") } else { error }
    }
}

impl From<JobExists> for OperationError {
    fn from(error: JobExists) -> OperationError {
        let hint = format!("see it with: recoveryctl jobs show {}", quoted(error.0.to_string().as_ref()));
        OperationError::new(ErrorKind::Failed, error).code("job-exists").hint(hint)
    }
}

impl From<ExplainError> for OperationError {
    fn from(error: ExplainError) -> OperationError {
        match error {
            ExplainError::Disk(error) => error.into(),
            other => OperationError::new(ErrorKind::Failed, other)
                .code("docker-unreachable")
                .hint("recoveryctl status"),
        }
    }
}

impl From<ImportError> for OperationError {
    fn from(error: ImportError) -> OperationError {
        let code = match error {
            ImportError::Queue(error) => return error.into(),
            ImportError::Disk(error) => return error.into(),
            ImportError::Lock(error) => return error.into(),
            ImportError::Scan(ScanError::Missing { .. }) => "no-workspace",
            ImportError::Scan(ScanError::NotAWorkspace { .. }) => "not-a-workspace",
            ImportError::OwnStateDirectory { .. } => "workspace-is-state-directory",
            _ => return OperationError::new(ErrorKind::Failed, error),
        };
        let hint = "name the server's folder, the one that has jobs/ in it";
        OperationError::new(ErrorKind::Failed, error).code(code).hint(hint)
    }
}

impl From<TemplateError> for OperationError {
    fn from(error: TemplateError) -> OperationError {
        OperationError::new(ErrorKind::Usage, error)
            .code("configuration")
            .hint("see import.claude_batch_server.command in: recoveryctl config show")
    }
}

/// A change that was refused because of what the state directory is.
fn of_home(error: &DiskError) -> Option<OperationError> {
    NotHome::behind(&error.source).map(OperationError::from)
}

impl From<&NotHome> for OperationError {
    fn from(why: &NotHome) -> OperationError {
        let (code, hint) = match why {
            NotHome::Copy { .. } => (
                "state-directory-copied",
                "make it a state directory of its own with: recoveryctl state adopt --as-new",
            ),
            NotHome::Gone { .. } => (
                "state-directory-gone",
                "where it is now, start a daemon with: recoveryctl --state-dir PATH daemon",
            ),
            _ => ("state-directory-replaced", "recoveryctl state show"),
        };
        OperationError::new(ErrorKind::Refused, why.to_string()).code(code).hint(hint)
    }
}

impl From<StateError> for OperationError {
    fn from(error: StateError) -> OperationError {
        use ErrorKind::{Failed, Held, NoStateDirectory, Refused, StateDamaged};
        let recover = || "mend it with: recoveryctl recover".to_owned();
        let (kind, code, hint) = match error {
            StateError::Missing { .. } => {
                let hint = "name another with --state-dir, or make one with: recoveryctl init";
                (NoStateDirectory, "no-state-directory", hint.to_owned())
            }
            StateError::NotAFolder { .. } => {
                (NoStateDirectory, "not-a-folder", "name a folder with --state-dir".to_owned())
            }
            StateError::NotEmpty { .. } => {
                (Failed, "folder-not-empty", "name a new or an empty folder with --state-dir".to_owned())
            }
            StateError::IdentityLost { .. } => (StateDamaged, "state-identity-lost", recover()),
            StateError::Damaged { .. } => (StateDamaged, "state-identity-damaged", recover()),
            StateError::Exposed { ref path, owner, .. } if owner != rustix::process::geteuid().as_raw() => {
                let hint = format!(
                    "act as that user (sudo -u '#{owner}' recoveryctl …), or name another folder than {} with --state-dir",
                    quoted(path)
                );
                (Refused, "state-directory-exposed", hint)
            }
            StateError::Exposed { ref path, .. } => {
                let hint = format!("if it is yours, make it so: chmod go-w {}", quoted(path));
                (Refused, "state-directory-exposed", hint)
            }
            StateError::Changeable { ref exposed, .. } => {
                let hints = remedies(exposed);
                let error = OperationError::new(Refused, error).code(PATH_EXPOSED);
                let elsewhere = "or name a folder whose way is yours alone with --state-dir";
                return hints.into_iter().fold(error, OperationError::hint).hint(elsewhere);
            }
            StateError::Apart { ref root, .. } => {
                let hint = format!("mount one file system at {}, with all of it", quoted(root));
                (Refused, "file-system-unfit", hint)
            }
            StateError::Unfit { .. } => {
                let hint = "name a folder on another, local file system with --state-dir";
                (Refused, "file-system-unfit", hint.to_owned())
            }
            StateError::NotNoted { ref source, .. } => {
                let kind =
                    if matches!(**source, StateError::Lock(LockError::Held { .. })) { Held } else { Refused };
                let hint =
                    "nothing is started before that is written down: try again; see: recoveryctl state show";
                (kind, "restore-not-noted", hint.to_owned())
            }
            StateError::Newer { .. } => {
                (Refused, "layout-newer", "use the version of recoveryctl that made it".to_owned())
            }
            StateError::Disk(error) => return error.into(),
            StateError::Lock(error) => return error.into(),
        };
        OperationError::new(kind, error).code(code).hint(hint)
    }
}

/// The code for a path on which another user can put something else in place of what is there.
pub const PATH_EXPOSED: &str = "path-exposed";

/// What makes a folder or file one that only root and this user can change.
pub fn remedies(exposed: &Exposed) -> Vec<String> {
    let remedy = exposed.remedy();
    match exposed.how {
        Exposure::Owner(owner) => vec![
            format!("act as its owner: sudo -u '#{owner}' recoveryctl …"),
            format!("where nobody else needs it, let root own it: {remedy}"),
        ],
        _ => vec![format!("let only its owner write to it: {remedy}")],
    }
}

/// Refused: `what` cannot be believed, because of who can change it.
pub fn exposed(what: &str, exposed: &Exposed) -> OperationError {
    let hints = remedies(exposed);
    let error = OperationError::new(ErrorKind::Refused, format!("{what} is not believed: {exposed}"));
    hints.into_iter().fold(error.code(PATH_EXPOSED), OperationError::hint)
}

impl From<RunError> for OperationError {
    fn from(error: RunError) -> OperationError {
        match error {
            RunError::Busy { .. } => OperationError::new(ErrorKind::Held, error)
                .code("recovery-under-way")
                .hint("recoveryctl status"),
            RunError::Skip(_) => OperationError::new(ErrorKind::NotFound, error).code("no-such-phase"),
            RunError::NotReady { waits_for, .. } => OperationError::new(ErrorKind::Refused, error)
                .code("phase-not-ready")
                .hint(format!("recoveryctl retry phase {waits_for}")),
            RunError::Disk(error) => error.into(),
        }
    }
}

impl From<ReleaseRefused> for OperationError {
    fn from(error: ReleaseRefused) -> OperationError {
        use ErrorKind::{Failed, Held, NotFound, Refused, Usage};
        let force = "if you know that nobody works on it any more: --force";
        let (kind, code, hints) = match &error {
            ReleaseRefused::NotHeld { .. } => {
                (NotFound, "lock-not-held", vec!["recoveryctl locks active".to_owned()])
            }
            ReleaseRefused::WrongId { repository, .. } => {
                (Refused, "lock-id-mismatch", vec![inspect(repository)])
            }
            ReleaseRefused::HeldByLiveOwner { who } => {
                (Held, "lock-held", vec![inspect(&who.repository), force.to_owned()])
            }
            ReleaseRefused::Unknown { repository, .. } => {
                (Refused, "lock-unavailable", vec![inspect(repository), force.to_owned()])
            }
            ReleaseRefused::BadName(_) => (Usage, "bad-repository-name", Vec::new()),
            ReleaseRefused::Disk(_) => (Failed, "disk", Vec::new()),
            _ => (Failed, "failed", Vec::new()),
        };
        hints.into_iter().fold(OperationError::new(kind, error).code(code), OperationError::hint)
    }
}

impl From<LockRefused> for OperationError {
    fn from(error: LockRefused) -> OperationError {
        use ErrorKind::{Failed, Held, Refused, Usage};
        let (kind, code, hints) = match &error {
            LockRefused::Held { by, .. } => {
                (Held, "lock-held", vec!["wait for it with --wait 10m".to_owned(), inspect(&by.repository)])
            }
            LockRefused::HeldByCaller { .. } => {
                let way =
                    "leave the inner `recoveryctl lock` out: what runs inside has the repository already";
                (Held, "lock-held-by-caller", vec![way.to_owned()])
            }
            LockRefused::Unavailable { repository, .. } => {
                (Refused, "lock-unavailable", vec![inspect(repository)])
            }
            LockRefused::BadName(_) => (Usage, "bad-repository-name", Vec::new()),
            LockRefused::Disk(_) => (Failed, "disk", Vec::new()),
        };
        hints.into_iter().fold(OperationError::new(kind, error).code(code), OperationError::hint)
    }
}

fn inspect(repository: &str) -> String {
    format!("recoveryctl locks inspect {}", quoted(repository.as_ref()))
}

impl From<EngineError> for OperationError {
    fn from(error: EngineError) -> OperationError {
        match error {
            EngineError::Lock(LockError::Held { .. }) => OperationError::new(ErrorKind::Held, error)
                .code("somebody-delivers")
                .hint("a daemon delivers by itself: recoveryctl webhooks pending"),
            EngineError::Lock(error) => error.into(),
            EngineError::Log(error) => error.into(),
            EngineError::Disk(error) => error.into(),
            _ => OperationError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<LockError> for OperationError {
    fn from(error: LockError) -> OperationError {
        match error {
            LockError::Held { .. } => OperationError::new(ErrorKind::Held, error)
                .hint("wait longer with --lock-wait, or look at the process that holds it"),
            LockError::Disk(error) => error.into(),
        }
    }
}

impl From<DiskError> for OperationError {
    fn from(error: DiskError) -> OperationError {
        if let Some(error) = of_home(&error) {
            return error;
        }
        let refused = error.is_refused_change();
        let denied = error.source.kind() == std::io::ErrorKind::PermissionDenied;
        let error = OperationError::new(ErrorKind::Failed, error).code("disk");
        match refused {
            true if denied => {
                error.hint("run it as the user whom the state directory belongs to, or as root")
            }
            true => error.hint(
                "free room, or make the disk writable, then run it again; what can be read is shown by: \
                       recoveryctl status",
            ),
            false => error,
        }
    }
}

impl From<SubmitError> for OperationError {
    fn from(error: SubmitError) -> OperationError {
        match error {
            SubmitError::Queue(error) => error.into(),
            _ => OperationError::new(ErrorKind::Usage, error),
        }
    }
}

impl From<ConfigError> for OperationError {
    fn from(error: ConfigError) -> OperationError {
        let hint = match &error {
            ConfigError::UnknownKey { suggestion: Some(meant), .. } => format!("did you mean '{meant}'?"),
            ConfigError::UnknownKey { .. } => "recoveryctl config show lists all keys".to_owned(),
            _ => return OperationError::new(ErrorKind::Usage, error).code("configuration"),
        };
        OperationError::new(ErrorKind::Usage, error).code("configuration").hint(hint)
    }
}

/// A path for a command line in a hint.
pub fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    shlex::try_quote(&text).map_or_else(|_| text.clone(), std::borrow::Cow::into_owned)
}
