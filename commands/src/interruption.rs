//! SIGINT and SIGTERM.
//!
//! Until a command asks for them, a signal ends the process at once, with status 130 or 143: every file
//! is safe at every instruction, so there is nothing to tidy. A command that wants to end in order calls
//! [`Interruption::catch`] and looks from time to time; a second signal then ends it at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::{CliError, ErrorKind};

/// The two flags of the two signals.
#[derive(Debug, Clone)]
pub(crate) struct Interruption {
    interrupted: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
    /// Signals are for the process, not for a command that a client of the daemon gives.
    is_remote: bool,
    handlers: Arc<Mutex<Vec<SigId>>>,
}

impl Interruption {
    /// Takes the signals over.
    pub(crate) fn install() -> Result<Interruption, CliError> {
        Interruption::register()
            .map_err(|e| CliError::new(ErrorKind::Failed, format!("cannot handle signals: {e}")))
    }

    /// Of a command that a client of the daemon gives: it is to end when the flag is up.
    pub(crate) fn remote(gone: Arc<AtomicBool>) -> Interruption {
        Interruption {
            interrupted: gone,
            terminated: Arc::default(),
            is_remote: true,
            handlers: Arc::default(),
        }
    }

    fn register() -> std::io::Result<Interruption> {
        let mut handlers = Vec::new();
        let mut flag_for = |signal, kind: ErrorKind| {
            // While the flag is up the signal ends the process. It is up from the start; `catch` lowers
            // it, and the first signal after that raises it again.
            let flag = Arc::new(AtomicBool::new(true));
            let status = i32::from(kind.status());
            handlers.push(signal_hook::flag::register_conditional_shutdown(
                signal,
                status,
                Arc::clone(&flag),
            )?);
            handlers.push(signal_hook::flag::register(signal, Arc::clone(&flag))?);
            Ok::<_, std::io::Error>(flag)
        };
        let interrupted = flag_for(SIGINT, ErrorKind::Interrupted)?;
        let terminated = flag_for(SIGTERM, ErrorKind::Terminated)?;
        let handlers = Arc::new(Mutex::new(handlers));
        Ok(Interruption { interrupted, terminated, is_remote: false, handlers })
    }

    /// Whether both signals have come: a sender of both does not want to wait.
    pub(crate) fn is_repeated(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst) && self.terminated.load(Ordering::SeqCst)
    }

    /// Whether it is of a command that a client of the daemon gives, in the daemon's process.
    pub(crate) fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// From now on the first signal only asks.
    pub(crate) fn catch(&self) {
        if self.is_remote {
            return;
        }
        self.interrupted.store(false, Ordering::SeqCst);
        self.terminated.store(false, Ordering::SeqCst);
    }

    /// The error to end with, once the client of the daemon that gave this command has left, or may not ask any
    /// more. For commands that wait and leave signals as they are.
    pub(crate) fn sent_away(&self) -> Option<CliError> {
        if self.is_remote { self.requested() } else { None }
    }

    /// From now on signals are somebody else's, who listens to them already: that of a command of ours, which we
    /// are to outlive.
    pub(crate) fn leave_signals_to_the_command(&self) {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        for id in handlers.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }

    /// After [`Interruption::catch`]: the signal that came.
    pub(crate) fn signal(&self) -> Option<&'static str> {
        match self.requested()?.status() {
            status if status == ErrorKind::Interrupted.status() => Some("SIGINT"),
            _ => Some("SIGTERM"),
        }
    }

    /// After [`Interruption::catch`]: the error to end with, once a signal came.
    pub(crate) fn requested(&self) -> Option<CliError> {
        if self.interrupted.load(Ordering::SeqCst) {
            Some(CliError::new(ErrorKind::Interrupted, "interrupted"))
        } else if self.terminated.load(Ordering::SeqCst) {
            Some(CliError::new(ErrorKind::Terminated, "asked to end by SIGTERM"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_signal_asks_and_names_its_status() {
        let interruption = Interruption::install().unwrap();
        interruption.catch();
        assert!(interruption.requested().is_none());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert_eq!(interruption.requested().map(|e| e.status()), Some(143));
        assert_eq!(interruption.signal(), Some("SIGTERM"));
        interruption.catch();
        signal_hook::low_level::raise(SIGINT).unwrap();
        assert_eq!(interruption.requested().map(|e| e.status()), Some(130));
    }
}
