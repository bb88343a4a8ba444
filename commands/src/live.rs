//! Runs a recovery and shows it: full screen when that is wanted and there is a terminal, else as bars or
//! lines on standard error.

use std::io::IsTerminal;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};

use recovery::queue::Queue;
use recovery::recovery::{Cancel, Recovery, RecoveryRecord, RunError, RunOptions, Snapshot, request_skip};
use recovery::state::StateDir;
use recovery_tui::{Ask, LiveOptions, run_live};

use crate::error::{CliError, ErrorKind};
use crate::output::Output;
use crate::progress;

type Recovered = (RecoveryRecord, Option<Queue>);

/// Runs a recovery to its end.
///
/// # Errors
/// When it was not run, or the terminal could not be used.
pub(crate) fn run(
    output: &mut Output,
    dir: &StateDir,
    recovery: Recovery,
    options: RunOptions,
    full_screen: bool,
) -> Result<Recovered, CliError> {
    let has_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if full_screen && has_terminal && !output.is_json() && !output.is_quiet() {
        return run_full_screen(output, dir, recovery, options);
    }
    let options = RunOptions { observer: progress::observer(output), ..options };
    Ok(recovery.run(&options)?)
}

/// The recovery on a thread of its own, the view on this one. Whoever leaves the view waits for the
/// recovery's end all the same: it was asked to end before.
fn run_full_screen(
    output: &mut Output,
    dir: &StateDir,
    recovery: Recovery,
    options: RunOptions,
) -> Result<Recovered, CliError> {
    let phases = recovery.phases();
    let (cancel, by) = (options.cancel.clone(), options.by.clone());
    let (sender, snapshots) = channel();
    let sender = Mutex::new(sender);
    let observer = move |snapshot: &Snapshot| {
        let sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = sender.send(snapshot.clone()); // The view may have been left.
    };
    let options = RunOptions { observer: Some(Arc::new(observer)), ..options };
    output.flush();
    let colors = output.has_colors();
    let (shown, recovered) = std::thread::scope(|scope| {
        // The options go with it: the view ends when their sender does.
        let running = scope.spawn(move || recovery.run(&options));
        let ask = |wish: &Ask| carry_out(dir, &cancel, &phases, &by, wish);
        let shown = run_live(std::io::stdout(), &snapshots, LiveOptions { colors }, ask);
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

/// What the operator wants of the recovery; the answer is shown.
fn carry_out(dir: &StateDir, cancel: &Cancel, phases: &[&str], by: &str, wish: &Ask) -> Option<String> {
    match wish {
        Ask::Cancel => {
            cancel.cancel();
            Some("it ends at its next safe points".to_owned())
        }
        Ask::Skip(phase) => Some(match request_skip(dir, phases, phase, by, None) {
            Ok(answer) if answer.accepted => format!("{phase} is passed over at its next safe point"),
            Ok(answer) => format!("{phase} is {} already", answer.was.word()),
            Err(e) => format!("{phase} cannot be skipped: {e}"),
        }),
        Ask::Leave => None,
    }
}
