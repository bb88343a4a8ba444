//! Makes sure that SIGTERM is obeyed whatever the daemon's loop does. Every file is safe at every
//! instruction, and jobs belong to their supervisors, so a daemon that hangs may end at any moment.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use recovery::durable::error_chain;
use recovery::logging::events;
use recovery::startup::TurnWriter;
use recovery::state::{StateDir, human};
use tracing::{error, warn};

use crate::error::{CliError, ErrorKind};
use crate::interruption::Interruption;

/// A loop that was told to end and has run no round for this long hangs. Less than TimeoutStopSec of the
/// unit.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many threads a daemon has at its start.
const THREADS: usize = 8;

/// Watches the rounds of the loop.
pub(crate) struct Guard {
    begun: Instant,
    /// Milliseconds from `begun` to the last turn.
    turned: Arc<AtomicU64>,
    writer: Option<TurnWriter>,
}

impl Guard {
    /// Begins to watch.
    pub(crate) fn start(dir: &StateDir, interruption: &Interruption) -> Result<Guard, CliError> {
        let no_threads = |e: std::io::Error| {
            let error = CliError::new(ErrorKind::Failed, format!("cannot make the threads of a daemon: {e}"));
            error
                .code("no-threads")
                .hint("raise the limit of processes (ulimit -u, TasksMax) and start it again")
        };
        try_threads().map_err(no_threads)?;
        let (begun, turned) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let (watched, interruption) = (turned.clone(), interruption.clone());
        let watch = move || watch(begun, &watched, &interruption);
        std::thread::Builder::new().name("guard".to_owned()).spawn(watch).map_err(no_threads)?;
        let writer = TurnWriter::open(dir).inspect_err(|e| {
            warn!(
                event = events::TROUBLE,
                "others will not see it when this daemon hangs: {}",
                error_chain(e)
            );
        });
        Ok(Guard { begun, turned, writer: writer.ok() })
    }

    /// Notes progress of the loop, or of a recovery.
    pub(crate) fn turned(&self) {
        self.turned.store(millis(self.begun.elapsed()), Ordering::Relaxed);
        if let Some(writer) = &self.writer {
            writer.turned();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn watch(begun: Instant, turned: &AtomicU64, interruption: &Interruption) {
    let mut asked: Option<Instant> = None;
    loop {
        std::thread::sleep(LOOK_EVERY);
        if interruption.signal().is_none() {
            continue;
        }
        let asked = *asked.get_or_insert_with(Instant::now);
        let last = begun + Duration::from_millis(turned.load(Ordering::Relaxed));
        if last.max(asked).elapsed() >= PATIENCE {
            let patience = human::span(PATIENCE);
            error!(
                event = events::DAEMON_ENDS,
                "ended by force: told to end, and nothing moved for {patience}"
            );
            exit(i32::from(ErrorKind::Failed.status()));
        }
    }
}

/// Starts as many threads at once as a daemon will need, and ends them.
fn try_threads() -> std::io::Result<()> {
    let gate = std::sync::RwLock::new(());
    let held = gate.write();
    std::thread::scope(|scope| {
        let wait = || drop(gate.read());
        let one = |_| std::thread::Builder::new().spawn_scoped(scope, wait).map(drop);
        let made = (0..THREADS).try_for_each(one);
        drop(held);
        made
    })
}
