//! Runs a recovery and shows it in the dashboard.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};

use recovery::operations::recovery::Run;
use recovery::recovery::{Recovery, RunError, RunOptions, Snapshot};
use recovery::state::StateDir;
use recovery_tui::view::Theme;
use recovery_tui::{Directory, OperationSource, Options, OwnRecovery, Runner, Setting, Sources, View};

use crate::dashboard::{OwnCommands, Signals, has_terminal, theme};
use crate::error::{CliError, ErrorKind};
use crate::interruption::Interruption;
use crate::output::Output;

/// What the dashboard needs beside the recovery.
pub(crate) struct FullScreen {
    /// What is shown.
    pub(crate) directory: Directory,
    /// The signals.
    pub(crate) interruption: Interruption,
    /// How it is drawn.
    pub(crate) theme: Theme,
}

/// Whether it can be shown so.
pub(crate) fn is_possible(output: &Output) -> bool {
    has_terminal() && !output.is_json() && !output.is_quiet()
}

/// How it is drawn; what was printed before is handed on first.
pub(crate) fn theme_of(output: &mut Output) -> Theme {
    output.flush();
    theme(output, false)
}

/// The recovery on a thread of its own, the dashboard on this one. A user who leaves it waits for the recovery's
/// end all the same: it was asked to end before, or the terminal was closed, which ends no recovery.
pub(crate) fn run(
    dir: &StateDir,
    recovery: Recovery,
    options: RunOptions,
    full_screen: FullScreen,
) -> Result<Run, CliError> {
    let FullScreen { directory, interruption, theme } = full_screen;
    let cancel = options.cancel.clone();
    let (sender, snapshots) = channel();
    let sender = Mutex::new(sender);
    let observer = move |snapshot: &Snapshot| {
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = sender.send(snapshot.clone()); // The dashboard may have been left.
    };
    let options = RunOptions { observer: Some(Arc::new(observer)), ..options };
    let signals = Signals::catch(&interruption)?;
    let sources: Sources = Arc::new(move || Box::new(OperationSource::new(directory.clone())));
    let shown = Options {
        setting: Setting {
            program: "recoveryctl".to_owned(),
            source: dir.paths.root().display().to_string(),
            read_only: false,
            is_recovering: true,
        },
        theme,
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
        // The options move into the thread: the dashboard ends when their sender does.
        let running = scope.spawn(move || recovery.run(&options));
        let stop = || signals.have_come();
        let shown = recovery_tui::run(std::io::stdout(), &sources, &runner, shown, &stop);
        (shown, running.join())
    });
    let recovered: Result<Run, RunError> = recovered.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let recovered = recovered?;
    shown.map_err(|e| {
        let message = format!("the recovery is over, but the terminal could not be used: {e}");
        CliError::new(ErrorKind::Failed, message).code("terminal").hint("recoveryctl status")
    })?;
    Ok(recovered)
}
