//! SIGINT and SIGTERM.
//!
//! Until a command asks for them, a signal ends the process at once, with status 130 or 143: every file
//! is safe at every instruction, so there is nothing to tidy. A command that wants to end in order calls
//! [`Interruption::catch`] and looks from time to time; a second signal then ends it at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use recovery::operations::Interrupt;

use crate::error::{CliError, ErrorKind};
use crate::output::reader_of_stdout_is_gone;

/// The two flags of the two signals.
#[derive(Debug, Clone)]
pub(crate) struct Interruption {
    interrupted: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
    handlers: Arc<Mutex<Vec<SigId>>>,
}

impl Interruption {
    /// Takes the signals over.
    pub(crate) fn install() -> Result<Interruption, CliError> {
        Interruption::register()
            .map_err(|e| CliError::new(ErrorKind::Failed, format!("cannot handle signals: {e}")))
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
        Ok(Interruption { interrupted, terminated, handlers })
    }

    /// Whether both signals have come: a sender of both does not want to wait.
    pub(crate) fn is_repeated(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst) && self.terminated.load(Ordering::SeqCst)
    }

    /// From now on the first signal only asks.
    pub(crate) fn catch(&self) {
        self.interrupted.store(false, Ordering::SeqCst);
        self.terminated.store(false, Ordering::SeqCst);
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

impl Interrupt for Interruption {
    fn requested(&self) -> Option<CliError> {
        Interruption::requested(self)
    }
}

/// The signals, and whether the reader of the results is gone.
pub(crate) struct Watched(pub(crate) Interruption);

impl Interrupt for Watched {
    fn requested(&self) -> Option<CliError> {
        self.0.requested()
    }

    /// Whether nobody reads the results any more (`recover | head -1`). The next run goes on where this one
    /// stopped.
    fn is_in_vain(&self) -> bool {
        reader_of_stdout_is_gone()
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
