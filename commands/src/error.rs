//! Errors at the edge: those of operations, and why the daemon does not have its socket.

pub(crate) use recovery::operations::{
    Ending, ErrorDocument, ErrorKind, OperationError as CliError, PATH_EXPOSED, exposed, quoted, remedies,
    status_table,
};

use recovery::daemon::DaemonError;

use crate::http::{SocketRefused, WhyNoSocket};

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

/// Why a daemon does not run.
pub(crate) fn of_daemon(error: DaemonError) -> CliError {
    match &error {
        DaemonError::Listen(e) => SocketRefused::behind(e).map(of_socket),
        _ => None,
    }
    .unwrap_or_else(|| error.into())
}
