//! What there is to see, and how keys and snapshots change it.

use recovery::recovery::{PhaseStatus, RecoveryOutcome, Snapshot};

use crate::live::Ask;

/// A key that means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Select the phase above.
    Up,
    /// Select the phase below.
    Down,
    /// Skip the selected phase.
    Skip,
    /// End the recovery; a second time: leave it alone and go.
    Quit,
}

/// What the view shows.
#[derive(Debug, Clone, Default)]
pub struct Model {
    snapshot: Option<Snapshot>,
    selected: usize,
    /// Whether the operator selected; until then the selection follows what goes on.
    chosen: bool,
    age_ms: u64,
    notice: Option<String>,
    cancelling: bool,
}

impl Model {
    /// Before the first snapshot.
    #[must_use]
    pub fn new() -> Model {
        Model::default()
    }

    /// Takes the newest snapshot.
    pub fn show(&mut self, snapshot: Snapshot) {
        self.selected = self.selected.min(snapshot.phases.len().saturating_sub(1));
        if !self.chosen {
            self.selected = most_telling(&snapshot).unwrap_or(self.selected);
        }
        self.snapshot = Some(snapshot);
        self.age_ms = 0;
    }

    /// How long ago the snapshot came, in milliseconds: clocks go on between snapshots.
    pub fn set_age(&mut self, age_ms: u64) {
        self.age_ms = age_ms;
    }

    /// A line for the operator, until the next one.
    pub fn set_notice(&mut self, notice: Option<String>) {
        self.notice = notice;
    }

    /// What a key changes, and what is to be asked of the recovery because of it.
    pub fn press(&mut self, key: Key) -> Option<Ask> {
        let last = self.snapshot.as_ref().map_or(0, |s| s.phases.len().saturating_sub(1));
        self.chosen |= matches!(key, Key::Up | Key::Down);
        match key {
            Key::Up => self.selected = self.selected.saturating_sub(1),
            Key::Down => self.selected = (self.selected + 1).min(last),
            Key::Skip => {
                let phase = self.snapshot.as_ref()?.phases.get(self.selected)?;
                return Some(Ask::Skip(phase.phase.clone()));
            }
            Key::Quit if self.cancelling => return Some(Ask::Leave),
            Key::Quit => {
                self.cancelling = true;
                return Some(Ask::Cancel);
            }
        }
        None
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// Which phase is selected.
    #[must_use]
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// Whether the recovery is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|s| s.outcome != RecoveryOutcome::Running)
    }

    pub(crate) fn age_ms(&self) -> u64 {
        if self.is_over() { 0 } else { self.age_ms }
    }

    pub(crate) fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    pub(crate) fn is_cancelling(&self) -> bool {
        self.cancelling && !self.is_over()
    }
}

/// The phase that the operator most likely wants to read about.
fn most_telling(snapshot: &Snapshot) -> Option<usize> {
    let order = match snapshot.outcome {
        RecoveryOutcome::Running => [PhaseStatus::Running, PhaseStatus::Failed],
        _ => [PhaseStatus::Failed, PhaseStatus::Degraded],
    };
    order.iter().find_map(|&status| snapshot.phases.iter().position(|p| p.status == status))
}
