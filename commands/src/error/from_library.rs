//! What kind of failure each error of the library is, its code, and what to do about it: one `From` for each error type
//! of a command's calls.

use recovery::audit::AuditError;
use recovery::cleanup::CleanupError;
use recovery::daemon::{CleanedPruneError, DaemonError, WorkError};
use recovery::durable::log::LogError;
use recovery::durable::{DiskError, LockError, NotHome};
use recovery::jobs::{PruneError, RecoverError};
use recovery::locks::{LockRefused, ReleaseRefused, RunUnderError};
use recovery::losses::LossesError;
use recovery::queue::{QueueError, SubmitError};
use recovery::recovery::{GraphError, HistoryError, RehearseError, RequestError, RunError};
use recovery::repair::RepairError;
use recovery::report::audit::AuditReportError;
use recovery::report::cleanup::CleanupReportError;
use recovery::report::sentinels::SentinelsError;
use recovery::report::startup::StartupReportError;
use recovery::state::config::ConfigError;
use recovery::state::{Exposed, Exposure, StateError};
use recovery::webhooks::{DeliveryLogError, EngineError};

use super::{CliError, ErrorKind};
use crate::http::{SocketRefused, WhyNoSocket};

/// A change that was refused because of what the state directory is.
fn of_home(error: &DiskError) -> Option<CliError> {
    NotHome::behind(&error.source).map(CliError::from)
}

impl From<&NotHome> for CliError {
    fn from(why: &NotHome) -> CliError {
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
        CliError::new(ErrorKind::Refused, why.to_string()).code(code).hint(hint)
    }
}

impl From<StateError> for CliError {
    fn from(error: StateError) -> CliError {
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
                let error = CliError::new(Refused, error).code(PATH_EXPOSED);
                let elsewhere = "or name a folder whose way is yours alone with --state-dir";
                return hints.into_iter().fold(error, CliError::hint).hint(elsewhere);
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
            _ => return CliError::new(Failed, error),
        };
        CliError::new(kind, error).code(code).hint(hint)
    }
}

/// A path on which another user can put something else in place of what is there.
const PATH_EXPOSED: &str = "path-exposed";

/// What makes a folder or file one that only root and this user can change.
pub(crate) fn remedies(exposed: &Exposed) -> Vec<String> {
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
pub(crate) fn exposed(what: &str, exposed: &Exposed) -> CliError {
    let hints = remedies(exposed);
    let error = CliError::new(ErrorKind::Refused, format!("{what} is not believed: {exposed}"));
    hints.into_iter().fold(error.code(PATH_EXPOSED), CliError::hint)
}

impl From<LossesError> for CliError {
    fn from(error: LossesError) -> CliError {
        match error {
            LossesError::Lock(error) => error.into(),
            LossesError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<QueueError> for CliError {
    fn from(error: QueueError) -> CliError {
        match error {
            QueueError::Log(error) => error.into(),
            QueueError::Disk(error) => error.into(),
            QueueError::Lock(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> CliError {
        match error {
            RunError::Busy { .. } => {
                CliError::new(ErrorKind::Held, error).code("recovery-under-way").hint("recoveryctl status")
            }
            RunError::Skip(_) => CliError::new(ErrorKind::NotFound, error).code("no-such-phase"),
            RunError::NotReady { waits_for, .. } => CliError::new(ErrorKind::Refused, error)
                .code("phase-not-ready")
                .hint(format!("recoveryctl retry phase {waits_for}")),
            RunError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

/// Why the daemon does not have the socket that it was to listen on.
fn of_socket(refused: &SocketRefused) -> CliError {
    let (kind, code) = match refused.why {
        WhyNoSocket::Served => (ErrorKind::Held, "socket-in-use"),
        WhyNoSocket::NoSocket(_) => (ErrorKind::Refused, "not-a-socket"),
        WhyNoSocket::OfAnother(_) => (ErrorKind::Refused, "socket-of-another-user"),
        WhyNoSocket::Replaced => (ErrorKind::Refused, "socket-replaced"),
        WhyNoSocket::Exposed(_) => (ErrorKind::Refused, PATH_EXPOSED),
    };
    let error = CliError::new(kind, refused.to_string()).code(code);
    let error = match &refused.why {
        WhyNoSocket::Served => error
            .hint(format!("see what answers there: recoveryctl --socket {} status", quoted(&refused.path))),
        WhyNoSocket::Exposed(exposed) => remedies(exposed).into_iter().fold(error, CliError::hint),
        _ => error.hint("nothing was removed; what is there is for its owner to remove"),
    };
    error.hint("or name another file with --socket")
}

impl From<DaemonError> for CliError {
    fn from(error: DaemonError) -> CliError {
        if let DaemonError::Listen(e) = &error
            && let Some(refused) = SocketRefused::behind(e)
        {
            return of_socket(refused);
        }
        match error {
            DaemonError::Running { .. } => {
                CliError::new(ErrorKind::Held, error).code("daemon-running").hint("recoveryctl status")
            }
            DaemonError::Lock(error) => error.into(),
            DaemonError::Recovery(error) => error.into(),
            DaemonError::Queue(error) => error.into(),
            DaemonError::Work(error) => error.into(),
            DaemonError::Disk(error) => error.into(),
            DaemonError::NotRecovered { .. } => {
                CliError::new(ErrorKind::Failed, error).code("recovery-failed").hint("recoveryctl recover")
            }
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<WorkError> for CliError {
    fn from(error: WorkError) -> CliError {
        match error {
            WorkError::Queue(error) => error.into(),
            WorkError::Disk(error) => error.into(),
            WorkError::Jobs(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<RepairError> for CliError {
    fn from(error: RepairError) -> CliError {
        match error {
            RepairError::Busy(_) => {
                CliError::new(ErrorKind::Held, error).code("recovery-under-way").hint("recoveryctl status")
            }
            RepairError::Queue(error) => error.into(),
            RepairError::Jobs(error) => error.into(),
            RepairError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<RecoverError> for CliError {
    fn from(error: RecoverError) -> CliError {
        match error {
            RecoverError::Queue(error) => error.into(),
            RecoverError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<CleanedPruneError> for CliError {
    fn from(error: CleanedPruneError) -> CliError {
        match error {
            CleanedPruneError::Prune(error) => error.into(),
            CleanedPruneError::Create(error) => error.into(),
            CleanedPruneError::Cleanup(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<PruneError> for CliError {
    fn from(error: PruneError) -> CliError {
        match error {
            PruneError::Queue(error) => error.into(),
            PruneError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<HistoryError> for CliError {
    fn from(error: HistoryError) -> CliError {
        CliError::new(ErrorKind::Failed, error).code("recovery-history")
    }
}

impl From<RehearseError> for CliError {
    fn from(error: RehearseError) -> CliError {
        match error {
            RehearseError::Run(error) => error.into(),
            RehearseError::State(error) => error.into(),
            RehearseError::Disk(error) => error.into(),
            RehearseError::UnderWay { .. } => {
                CliError::new(ErrorKind::Held, error).code("recovery-under-way")
            }
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<StartupReportError> for CliError {
    fn from(error: StartupReportError) -> CliError {
        match error {
            StartupReportError::Disk(error) => error.into(),
            StartupReportError::Cursor(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<GraphError> for CliError {
    fn from(error: GraphError) -> CliError {
        CliError::new(ErrorKind::Failed, error)
    }
}

impl From<RequestError> for CliError {
    fn from(error: RequestError) -> CliError {
        match error {
            RequestError::UnknownPhase { .. } => {
                CliError::new(ErrorKind::NotFound, error).code("no-such-phase")
            }
            RequestError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<ReleaseRefused> for CliError {
    fn from(error: ReleaseRefused) -> CliError {
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
        hints.into_iter().fold(CliError::new(kind, error).code(code), CliError::hint)
    }
}

impl From<LockRefused> for CliError {
    fn from(error: LockRefused) -> CliError {
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
            _ => (Failed, "failed", Vec::new()),
        };
        hints.into_iter().fold(CliError::new(kind, error).code(code), CliError::hint)
    }
}

fn inspect(repository: &str) -> String {
    format!("recoveryctl locks inspect {}", quoted(repository.as_ref()))
}

impl From<RunUnderError> for CliError {
    fn from(error: RunUnderError) -> CliError {
        match error {
            RunUnderError::Refused(error) => error.into(),
            RunUnderError::Start { .. } => {
                CliError::new(ErrorKind::Failed, error).code("command-not-started")
            }
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<AuditReportError> for CliError {
    fn from(error: AuditReportError) -> CliError {
        match error {
            AuditReportError::Disk(error) => error.into(),
            AuditReportError::Cursor(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<AuditError> for CliError {
    fn from(error: AuditError) -> CliError {
        CliError::new(ErrorKind::Failed, error).code("audit-trail")
    }
}

impl From<CleanupError> for CliError {
    fn from(error: CleanupError) -> CliError {
        match error {
            CleanupError::Busy { .. } => CliError::new(ErrorKind::Held, error)
                .code("cleanup-under-way")
                .hint("see what it does with: recoveryctl cleanup state"),
            CleanupError::Lock(error) => error.into(),
            CleanupError::Queue(error) => error.into(),
            CleanupError::Log(error) => error.into(),
            CleanupError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<CleanupReportError> for CliError {
    fn from(error: CleanupReportError) -> CliError {
        match error {
            CleanupReportError::Cursor(error) => error.into(),
            CleanupReportError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<SentinelsError> for CliError {
    fn from(error: SentinelsError) -> CliError {
        match error {
            SentinelsError::Disk(error) => error.into(),
            SentinelsError::Cursor(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<LogError> for CliError {
    fn from(error: LogError) -> CliError {
        match error {
            LogError::Disk(error) => error.into(),
            LogError::Lock(error) => error.into(),
            LogError::TooLong { .. } => CliError::new(ErrorKind::Usage, error).code("record-too-long"),
            LogError::Poisoned { .. } => CliError::new(ErrorKind::Failed, error)
                .code("log-poisoned")
                .hint("nothing was acknowledged; check the disk, then run it again"),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<DeliveryLogError> for CliError {
    fn from(error: DeliveryLogError) -> CliError {
        match error {
            DeliveryLogError::Log(error) => error.into(),
            DeliveryLogError::Disk(error) => error.into(),
            DeliveryLogError::Lock(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> CliError {
        match error {
            EngineError::Lock(LockError::Held { .. }) => CliError::new(ErrorKind::Held, error)
                .code("somebody-delivers")
                .hint("a daemon delivers by itself: recoveryctl webhooks pending"),
            EngineError::Lock(error) => error.into(),
            EngineError::Log(error) => error.into(),
            EngineError::Disk(error) => error.into(),
            _ => CliError::new(ErrorKind::Failed, error),
        }
    }
}

impl From<LockError> for CliError {
    fn from(error: LockError) -> CliError {
        match error {
            LockError::Held { .. } => CliError::new(ErrorKind::Held, error)
                .hint("wait longer with --lock-wait, or look at the process that holds it"),
            LockError::Disk(error) => error.into(),
        }
    }
}

impl From<DiskError> for CliError {
    fn from(error: DiskError) -> CliError {
        if let Some(error) = of_home(&error) {
            return error;
        }
        let refused = error.is_refused_change();
        let denied = error.source.kind() == std::io::ErrorKind::PermissionDenied;
        let error = CliError::new(ErrorKind::Failed, error).code("disk");
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

impl From<SubmitError> for CliError {
    fn from(error: SubmitError) -> CliError {
        match error {
            SubmitError::Queue(error) => error.into(),
            _ => CliError::new(ErrorKind::Usage, error),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        let hint = match &error {
            ConfigError::UnknownKey { suggestion: Some(meant), .. } => format!("did you mean '{meant}'?"),
            ConfigError::UnknownKey { .. } => "recoveryctl config show lists all keys".to_owned(),
            _ => return CliError::new(ErrorKind::Usage, error).code("configuration"),
        };
        CliError::new(ErrorKind::Usage, error).code("configuration").hint(hint)
    }
}

/// A path for a command line in a hint.
pub(crate) fn quoted(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    shlex::try_quote(&text).map_or_else(|_| text.clone(), std::borrow::Cow::into_owned)
}
