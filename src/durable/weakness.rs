//! Which system errors are the host's weakness: too few processes, too little memory, too few descriptors, a disk
//! that fails or is full, a file that is being written. They pass by themselves, or an administrator repairs the
//! host; the operation is tried again, and no job is blamed.
//!
//! Errors that concern the file that a command names (`ENOENT`, `EACCES`, `ENOEXEC`, `E2BIG` and their like)
//! belong to the command and are no weakness of the host.

use std::error::Error;
use std::io;

use rustix::io::Errno;

use super::error_chain::causes;

const WEAKNESSES: [Errno; 20] = [
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOBUFS,
    Errno::IO,
    Errno::TXTBSY,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::ROFS,
    Errno::INTR,
    Errno::STALE,
    Errno::TIMEDOUT,
    Errno::NODEV,
    Errno::NXIO,
    Errno::NOTCONN,
    Errno::CONNABORTED,
    Errno::HOSTDOWN,
    Errno::SHUTDOWN,
    Errno::REMOTEIO,
];

/// Whether this error is a weakness of the host.
pub(crate) fn is_weakness(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| WEAKNESSES.iter().any(|e| e.raw_os_error() == code))
}

/// Whether this error, or one of its causes, is a weakness of the host.
pub fn has_weakness(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_weakness))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::error::{DiskError, IoContext};
    use std::path::Path;

    fn error(code: Errno) -> io::Error {
        code.into()
    }

    #[test]
    fn weakness_differs_from_command_errors() {
        let of_host =
            [Errno::AGAIN, Errno::NOMEM, Errno::MFILE, Errno::NFILE, Errno::IO, Errno::TXTBSY, Errno::NOSPC];
        assert!(of_host.into_iter().all(|code| is_weakness(&error(code))));
        let of_command =
            [Errno::NOENT, Errno::ACCESS, Errno::NOEXEC, Errno::TOOBIG, Errno::PERM, Errno::NOTDIR];
        assert!(!of_command.into_iter().any(|code| is_weakness(&error(code))));
    }

    #[test]
    fn weakness_found_in_source_chain() {
        let refused = |code| -> Result<(), DiskError> { Err(error(code)).context("open", Path::new("/x")) };
        assert!(has_weakness(&refused(Errno::MFILE).unwrap_err()));
        assert!(!has_weakness(&refused(Errno::ISDIR).unwrap_err()));
    }
}
