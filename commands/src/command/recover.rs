//! `recover`: runs the recovery sequence, with its progress.

use clap::Args;
use recovery::operations::interrupt::cancellable;
use recovery::operations::recovery::{Recover, Recovered};
use recovery::recovery::{Change, RecoveryOutcome, RecoveryRecord, Rehearsal};
use recovery::state::human;
use recovery_tui::Directory;

use crate::context::Context;
use crate::error::{CliError, Ending};
use crate::operate::{Show, operate, shown};
use crate::paint::Tone;
use crate::table::{Cell, Table};
use crate::text::Text;
use crate::tui_recovery::{self, FullScreen};

/// [`Recover`], and how it is watched.
#[derive(Debug, Args)]
#[command(about = ABOUT, long_about = ABOUT)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    request: Recover,
    /// Watch it in the dashboard, when standard output is a terminal
    #[arg(long, conflicts_with = "rehearse")]
    tui: bool,
}

const ABOUT: &str = "Run the recovery: what a crash left is judged and settled, damage is repaired or named";

pub(crate) fn cmd_recover(context: &mut Context, args: &RecoverArgs) -> Result<Ending, CliError> {
    let is_shown = args.tui && tui_recovery::is_possible(&context.output);
    match is_shown && !context.is_dry_run() && !context.is_elsewhere() {
        true => in_full_screen(context, &args.request),
        false => operate(context, &args.request),
    }
}

fn in_full_screen(context: &mut Context, request: &Recover) -> Result<Ending, CliError> {
    let (interruption, theme) = (context.interruption.clone(), tui_recovery::theme_of(&mut context.output));
    let outcome = request.run_with(&mut context.operation()?, |context, dir, recovery, options| {
        let directory = Directory::new(dir.clone(), context.site().clone());
        let cancel = options.cancel.clone();
        let full_screen = FullScreen { directory, interruption: interruption.clone(), theme };
        // From here on, signals only request the end; before, they end the process.
        interruption.catch();
        cancellable(&interruption, &cancel, || tui_recovery::run(dir, recovery, options, full_screen))
    });
    shown(context, request, outcome.map(Some))
}

impl Show for Recover {
    fn show(&self, report: &Recovered, text: &mut Text) {
        match report {
            Recovered::Rehearsed(rehearsal) => render_rehearsal(text, rehearsal),
            Recovered::Done(record) => render(text, record),
        }
    }
}

fn render_rehearsal(text: &mut Text, rehearsal: &Rehearsal) {
    text.line("this was a rehearsal on a copy; in earnest the recovery would have gone like this:");
    render(text, &rehearsal.record);
    text.gap();
    let mut table = Table::new(&["WOULD BE", "FILE"]);
    for Change { path, change } in &rehearsal.changes {
        table.row([Cell::from(&**change), Cell::from(path.display().to_string())]);
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
