//! How states look: always a glyph and a word, and a colour where colours are wanted.

use ratatui::style::{Color, Modifier, Style};
use recovery::recovery::{PhaseStatus, RecoveryOutcome};
use recovery::report::Severity;

/// With colours (the terminal's own sixteen), or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// False under `NO_COLOR` and `--color never`.
    pub colors: bool,
}

impl Theme {
    fn color(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    /// Headings, and the sides of a panel.
    pub(crate) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What is not so important.
    pub(crate) fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The selected line.
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(crate) fn phase(self, status: PhaseStatus) -> Style {
        match status {
            PhaseStatus::Pending => self.quiet(),
            PhaseStatus::Running => self.color(Color::Cyan).add_modifier(Modifier::BOLD),
            PhaseStatus::Succeeded => self.color(Color::Green),
            PhaseStatus::Degraded => self.color(Color::Yellow),
            PhaseStatus::Failed => self.color(Color::Red).add_modifier(Modifier::BOLD),
            PhaseStatus::Skipped | PhaseStatus::Blocked => self.color(Color::Magenta),
        }
    }

    pub(crate) fn outcome(self, outcome: RecoveryOutcome) -> Style {
        self.phase(match outcome {
            RecoveryOutcome::Running => PhaseStatus::Running,
            RecoveryOutcome::Completed => PhaseStatus::Succeeded,
            RecoveryOutcome::Degraded => PhaseStatus::Degraded,
            RecoveryOutcome::Failed | RecoveryOutcome::Aborted => PhaseStatus::Failed,
            RecoveryOutcome::Cancelled => PhaseStatus::Skipped,
        })
    }

    pub(crate) fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Info => Style::new(),
            Severity::Warning => self.color(Color::Yellow),
            Severity::Error | Severity::Critical => self.color(Color::Red),
        }
    }
}

/// One column wide in every font.
pub(crate) fn glyph(status: PhaseStatus) -> &'static str {
    match status {
        PhaseStatus::Pending => "·",
        PhaseStatus::Running => "▸",
        PhaseStatus::Succeeded => "✓",
        PhaseStatus::Degraded => "!",
        PhaseStatus::Failed => "✗",
        PhaseStatus::Skipped => "»",
        PhaseStatus::Blocked => "■",
    }
}

/// The word of a severity, in eight columns at most.
pub(crate) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Critical => "critical",
    }
}
