//! `recover`: runs the recovery sequence, with its progress.

use clap::Args;
use recovery::daemon::running_daemon;
use recovery::findings::{Finding, Object, catalogue};
use recovery::recovery::{
    Change, PhaseStatus, Recovery, RecoveryOutcome, RecoveryRecord, Rehearsal, rehearse,
};
use recovery::startup::StartedBy;
use recovery::state::human;

use crate::context::Context;
use crate::error::{CliError, Ending, ErrorKind};
use crate::output::reader_of_stdout_is_gone;
use crate::paint::Tone;
use crate::progress;
use crate::settings::{cancellable_when, recovering, run_options};
use crate::table::{Cell, Table};
use crate::text::Text;
use crate::tui_recovery::{self, FullScreen};
use recovery::operations::settings::{cleaning, scanning_at_start};

/// Run the recovery sequence: queue, locks, jobs; what is damaged is mended or named
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Pass a phase over
    #[arg(long, value_name = "PHASE")]
    skip: Vec<String>,
    /// Do it on a private copy and show what would happen; nothing of the state directory is changed
    #[arg(long, conflicts_with = "tui")]
    rehearse: bool,
    /// Watch it in the dashboard, when standard output is a terminal
    #[arg(long)]
    tui: bool,
}

pub(crate) fn cmd_recover(context: &mut Context, args: &RecoverArgs) -> Result<Ending, CliError> {
    if args.rehearse || context.is_dry_run() {
        return rehearsed(context, args);
    }
    // One of its folders cannot be made: the phases that need it say so, and the others are done.
    let mut operation = context.operation()?;
    let (dir, repair) = match operation.state_dir_for_repair() {
        Err(e) => (operation.state_dir().map_err(|_| e)?, None),
        opened => opened?,
    };
    let dir = operation.notice_restore_or_warn(dir);
    let (cleaning, scanning) = (cleaning(&operation), scanning_at_start(&operation));
    drop(operation);
    if let Some(daemon) = running_daemon(&dir)? {
        let message =
            format!("process {} (daemon) has recovered this state directory and works on it", daemon.pid);
        let error = CliError::new(ErrorKind::Held, message).hint("recoveryctl status");
        return Err(match daemon.safe_mode {
            false => error,
            true => error.hint("it is in safe mode; to leave: recoveryctl startup clear"),
        });
    }
    let recovery = Recovery::new(&dir, recovering(&context.operation()?, StartedBy::Recover, true)?)
        .map_err(|e| CliError::new(ErrorKind::Failed, e))?
        .cleaning_now(&cleaning)
        .scanning(&scanning);
    let options = run_options(&context.operation()?, "recover", &args.skip, None);
    let cancel = options.cancel.clone();
    let interruption = context.interruption.clone();
    let settings = recovering(&context.operation()?, StartedBy::Recover, false)?;
    let full_screen = args.tui.then(|| FullScreen { settings, scanning, interruption: interruption.clone() });
    // `recover | head -1`: nobody would see what it comes to. The next one goes on where it was.
    let is_in_vain = reader_is_watched(context);
    let (mut record, _) = cancellable_when(&interruption, &cancel, is_in_vain, || {
        tui_recovery::run(&mut context.output, &dir, recovery, options, full_screen)
    })?;
    if let Some(repair) = repair {
        let from = repair.source.map_or_else(|| "nowhere: it is new".to_owned(), |p| p.display().to_string());
        let sentence = format!("state.json was lost or damaged; its id was taken from {from}");
        record
            .snapshot
            .findings
            .insert(0, Finding::new(&catalogue::STATE_IDENTITY_REBUILT, Object::State, sentence));
    }
    let detail = format!("recovery {} {}", record.snapshot.recovery_id, record.snapshot.outcome.word());
    context.enter(&dir, "recover", "state", detail)?;
    context.output.report(&record, |text| render(text, &record));
    ending(context, &record)
}

/// Says, when it is asked, whether the reader of the results is gone.
fn reader_is_watched(context: &Context) -> impl Fn() -> bool + Sync + use<> {
    let is_remote = context.output.is_remote();
    move || !is_remote && reader_of_stdout_is_gone()
}

/// What a recovery would do, tried on a copy.
fn rehearsed(context: &mut Context, args: &RecoverArgs) -> Result<Ending, CliError> {
    let dir = context.state_dir()?;
    let settings = recovering(&context.operation()?, StartedBy::Recover, true)?;
    let observer = progress::observer(&context.output);
    let options = run_options(&context.operation()?, "rehearsal", &args.skip, observer);
    let cancel = options.cancel.clone();
    let interruption = context.interruption.clone();
    let rehearsal = cancellable_when(&interruption, &cancel, reader_is_watched(context), || {
        rehearse(&dir, &std::env::temp_dir(), settings, &options)
    })?;
    context.output.report(&rehearsal, |text| render_rehearsal(text, &rehearsal));
    if !rehearsal.proof.unchanged && rehearsal.proof.live.is_empty() {
        let message = "the state directory changed during the rehearsal, and nobody is known to work on it";
        return Err(CliError::new(ErrorKind::Failed, message).code("changed-meanwhile"));
    }
    ending(context, &rehearsal.record)
}

fn render_rehearsal(text: &mut Text, rehearsal: &Rehearsal) {
    text.line("this was a rehearsal on a copy; in earnest the recovery would have gone like this:");
    render(text, &rehearsal.record);
    text.gap();
    let mut table = Table::new(&["WOULD BE", "FILE"]);
    for Change { path, change } in &rehearsal.changes {
        table.row([Cell::from(*change), Cell::from(path.display().to_string())]);
    }
    text.table(&table);
    if rehearsal.changes.is_empty() {
        text.line("no file would be changed");
    }
    text.gap();
    let proof = &rehearsal.proof;
    let (files, short) = (proof.files, &proof.after[..proof.after.len().min(16)]);
    if proof.unchanged {
        text.toned(Tone::Good, format!("unchanged: {files} files, SHA-256 {short}… before and after"));
    } else {
        text.toned(Tone::Warning, "others wrote meanwhile, not this process:");
        for path in &proof.changed_meanwhile {
            text.line(format!("  {}", path.display()));
        }
    }
    for path in &proof.live {
        text.toned(Tone::Faint, format!("  held by a living process: {}", path.display()));
    }
}

/// How the command ends, by how the recovery did.
pub(crate) fn ending(context: &Context, record: &RecoveryRecord) -> Result<Ending, CliError> {
    match record.snapshot.outcome {
        RecoveryOutcome::Completed => Ok(Ending::Done),
        RecoveryOutcome::Degraded => Ok(Ending::Degraded),
        RecoveryOutcome::Cancelled => {
            Err(context.interruption.requested().unwrap_or_else(|| failed("the recovery was cancelled")))
        }
        _ => Err(failed(&format!("the recovery {}", why_failed(record)))),
    }
}

fn failed(message: &str) -> CliError {
    CliError::new(ErrorKind::Failed, message).code("recovery-failed").hint("recoveryctl recover")
}

fn why_failed(record: &RecoveryRecord) -> String {
    let failed = record.snapshot.phases.iter().filter(|p| p.status == PhaseStatus::Failed);
    let why: Vec<String> = failed
        .map(|p| {
            format!("failed in phase {}: {}", p.phase, p.message.as_deref().unwrap_or("no reason given"))
        })
        .collect();
    if why.is_empty() { record.snapshot.outcome.word().to_owned() } else { why.join("; ") }
}

/// The phases, what is degraded, what was found.
pub(crate) fn render(text: &mut Text, record: &RecoveryRecord) {
    let snapshot = &record.snapshot;
    let tone = match snapshot.outcome {
        RecoveryOutcome::Completed => Tone::Good,
        RecoveryOutcome::Failed | RecoveryOutcome::Aborted => Tone::Bad,
        _ => Tone::Warning,
    };
    text.toned(
        tone,
        format!("recovery {} in {}", snapshot.outcome.word(), human::duration(snapshot.duration_ms)),
    );
    let mut table = Table::new(&["PHASE", "STATUS", ">DONE", "MESSAGE"]);
    for phase in snapshot.phases.iter().filter(|phase| !phase.carried_over) {
        table.row([
            Cell::from(phase.phase.clone()),
            Cell::from(phase.status.word()),
            Cell::from(human::of_unit(phase.done, &phase.unit)),
            Cell::from(phase.message.clone().unwrap_or_default()),
        ]);
    }
    text.table(&table);
    let degraded: Vec<_> = snapshot.degraded_resources().collect();
    if !degraded.is_empty() {
        text.gap();
        for resource in degraded {
            text.toned(Tone::Warning, format!("unusable: {}: {}", resource.object, resource.why));
        }
    }
    text.gap();
    text.findings(snapshot.all_findings());
}
