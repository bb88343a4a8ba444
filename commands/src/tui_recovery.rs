//! Runs a recovery and shows it: in the dashboard when that is wanted and there is a terminal, else as bars or
//! lines on standard error.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};

use recovery::orphans::OrphanSettings;
use recovery::queue::Queue;
use recovery::recovery::{Recovery, RecoveryRecord, RunError, RunOptions, Settings, Snapshot};
use recovery::state::StateDir;
use recovery_tui::{DirectorySource, Options, OwnRecovery, Runner, Setting, Sources, View};

use crate::dashboard::{OwnCommands, Signals, has_terminal, theme};
use crate::error::{CliError, ErrorKind};
use crate::interruption::Interruption;
use crate::output::Output;
use crate::progress;

type Recovered = (RecoveryRecord, Option<Queue>);

/// What the dashboard needs beside the recovery.
pub(crate) struct FullScreen {
    /// By what the state directory is read.
    pub(crate) settings: Settings,
    /// By what orphans are judged.
    pub(crate) scanning: OrphanSettings,
    /// The signals.
    pub(crate) interruption: Interruption,
}

/// Runs a recovery to its end.
pub(crate) fn run(
    output: &mut Output,
    dir: &StateDir,
    recovery: Recovery,
    options: RunOptions,
    full_screen: Option<FullScreen>,
) -> Result<Recovered, CliError> {
    if let Some(full_screen) =
        full_screen.filter(|_| has_terminal() && !output.is_json() && !output.is_quiet())
    {
        return run_full_screen(output, dir, recovery, options, full_screen);
    }
    let options = RunOptions { observer: progress::observer(output), ..options };
    Ok(recovery.run(&options)?)
}

/// The recovery on a thread of its own, the dashboard on this one. A user who leaves it waits for the recovery's
/// end all the same: it was asked to end before, or the terminal was closed, which ends no recovery.
fn run_full_screen(
    output: &mut Output,
    dir: &StateDir,
    recovery: Recovery,
    options: RunOptions,
    full_screen: FullScreen,
) -> Result<Recovered, CliError> {
    let FullScreen { settings, scanning, interruption } = full_screen;
    let cancel = options.cancel.clone();
    let (sender, snapshots) = channel();
    let sender = Mutex::new(sender);
    let observer = move |snapshot: &Snapshot| {
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = sender.send(snapshot.clone()); // The dashboard may have been left.
    };
    let options = RunOptions { observer: Some(Arc::new(observer)), ..options };
    output.flush();
    let signals = Signals::catch(&interruption)?;
    let seen = dir.clone();
    let sources: Sources =
        Arc::new(move || Box::new(DirectorySource::new(seen.clone(), settings.clone(), scanning.clone())));
    let shown = Options {
        setting: Setting {
            program: "recoveryctl".to_owned(),
            source: dir.paths.root().display().to_string(),
            read_only: false,
            is_recovering: true,
        },
        theme: theme(output, false),
        view: View::Overview,
        mouse: false,
        clock: dir.clock.clone(),
        own: Some(OwnRecovery { snapshots, cancel }),
    };
    let runner: Arc<dyn Runner> = Arc::new(OwnCommands {
        options: Vec::new(),
        environment: vec![("RECOVERYCTL_STATE_DIR", dir.paths.root().to_owned())],
    });
    let (shown, recovered) = std::thread::scope(|scope| {
        // The options go with it: the dashboard ends when their sender does.
        let running = scope.spawn(move || recovery.run(&options));
        let stop = || signals.have_come();
        let shown = recovery_tui::run(std::io::stdout(), &sources, &runner, shown, &stop);
        (shown, running.join())
    });
    let recovered: Result<Recovered, RunError> =
        recovered.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let recovered = recovered?;
    shown.map_err(|e| {
        let message = format!("the recovery is over, but the terminal could not be used: {e}");
        CliError::new(ErrorKind::Failed, message).code("terminal").hint("recoveryctl status")
    })?;
    Ok(recovered)
}
