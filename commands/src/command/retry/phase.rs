//! `retry phase NAME`: tries a phase of the recovery again, with its dependents.

use recovery::operations::recovery::RetryPhase;
use recovery::recovery::PhaseStatus;
use recovery::report::recovery::RetryReport;
use recovery::state::human;

use crate::operate::Show;
use crate::paint::Tone;
use crate::text::Text;

impl Show for RetryPhase {
    fn show(&self, report: &RetryReport, text: &mut Text) {
        match (report.dry_run, report.outcome, &report.message) {
            (false, ..) => render(text, report),
            (true, None, Some(message)) => text.line(message),
            (true, ..) => {
                let (phase, status) = (&report.component, report.status.word());
                text.line(format!("phase {phase} would be tried again (it is {status})"));
            }
        }
    }
}

fn render(text: &mut Text, report: &RetryReport) {
    let tone = match report.status {
        PhaseStatus::Succeeded => Tone::Good,
        PhaseStatus::Failed | PhaseStatus::Blocked => Tone::Bad,
        _ => Tone::Warning,
    };
    let took = human::duration(report.duration_ms);
    text.toned(tone, format!("phase {} {} in {took}", report.component, report.status.word()));
    if let Some(message) = &report.message {
        text.line(message);
    }
    for waited in &report.waited {
        text.line(format!("  then {}: {}", waited.phase, waited.status.word()));
    }
    text.findings(&report.findings);
}
