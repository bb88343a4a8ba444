//! Colours: the terminal's own sixteen, if wanted; every state has a word or a sign as well.

use ratatui::style::{Color, Modifier, Style};
use recovery::findings::Severity;
use recovery::recovery::{PhaseStatus, RecoveryOutcome};

use crate::listing::Tone;

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// False under `NO_COLOR` and `--color never`.
    pub colors: bool,
    /// Nothing but ASCII is sent to the terminal.
    pub ascii: bool,
}

impl Theme {
    fn color(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    /// Returns the style of a tone.
    pub(crate) fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Strong => Style::new().add_modifier(Modifier::BOLD),
            Tone::Quiet => Style::new().add_modifier(Modifier::DIM),
            Tone::Good => self.color(Color::Green),
            Tone::Busy => self.color(Color::Cyan).add_modifier(Modifier::BOLD),
            Tone::Warning => self.color(Color::Yellow),
            Tone::Bad => self.color(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// The selected line.
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// How a phase looks.
pub(crate) fn tone_of_phase(status: PhaseStatus) -> Tone {
    match status {
        PhaseStatus::Pending => Tone::Quiet,
        PhaseStatus::Running => Tone::Busy,
        PhaseStatus::Succeeded => Tone::Good,
        PhaseStatus::Degraded | PhaseStatus::Skipped | PhaseStatus::Blocked => Tone::Warning,
        PhaseStatus::Failed => Tone::Bad,
    }
}

/// How a recovery's end looks.
pub(crate) fn tone_of_outcome(outcome: RecoveryOutcome) -> Tone {
    match outcome {
        RecoveryOutcome::Running => Tone::Busy,
        RecoveryOutcome::Completed => Tone::Good,
        RecoveryOutcome::Degraded | RecoveryOutcome::Cancelled => Tone::Warning,
        RecoveryOutcome::Failed | RecoveryOutcome::Aborted => Tone::Bad,
    }
}

/// Returns a sign that is one column wide in every font.
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
    severity.as_str()
}
