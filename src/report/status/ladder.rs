//! One scale of states for the whole: which state a finding is a reason for, and what follows from the worst
//! of them. The first line, the exit status, the colour, the metric and the action are all derived from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::findings::catalogue::{self, Entry};
use crate::findings::{Finding, Object, Severity};

/// How the whole stands: the worst that is true now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WholeState")]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// All well.
    Healthy,
    /// Nothing is broken, and somebody should look: warnings, crashed jobs on hold.
    Attention,
    /// Named resources cannot be used, or work waits for an operator.
    Degraded,
    /// Jobs wait or run, or deliveries are due, and nobody runs, watches or delivers.
    Unwatched,
    /// A recovery is under way.
    Recovering,
    /// Several startups in a row died: no job is started until somebody acts.
    SafeMode,
    /// Something acknowledged is lost, and nobody has acknowledged the loss.
    DataLoss,
    /// Something cannot be read until it is mended.
    Damaged,
}

impl State {
    /// All states, the best first.
    pub const ALL: [State; 8] = [
        State::Healthy,
        State::Attention,
        State::Degraded,
        State::Unwatched,
        State::Recovering,
        State::SafeMode,
        State::DataLoss,
        State::Damaged,
    ];

    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Healthy => "healthy",
            State::Attention => "attention",
            State::Degraded => "degraded",
            State::Unwatched => "unwatched",
            State::Recovering => "recovering",
            State::SafeMode => "safe_mode",
            State::DataLoss => "data_loss",
            State::Damaged => "damaged",
        }
    }

    /// Returns its text for the first line of a screen.
    pub const fn headline(self) -> &'static str {
        match self {
            State::Healthy => "HEALTHY",
            State::Attention => "ATTENTION",
            State::Degraded => "DEGRADED",
            State::Unwatched => "UNWATCHED",
            State::Recovering => "RECOVERING",
            State::SafeMode => "SAFE MODE",
            State::DataLoss => "DATA LOSS",
            State::Damaged => "DAMAGED",
        }
    }

    /// Whether nobody has to be called: all is well, or will be, or can wait.
    pub(crate) const fn is_well(self) -> bool {
        matches!(self, State::Healthy | State::Attention | State::Recovering)
    }
}

/// Why the whole is in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StateReason")]
#[allow(missing_docs)] // The members are the published form; see docs.
pub struct Reason {
    pub state: State,
    pub code: String,
    pub object: Object,
    pub sentence: String,
    /// The command that leads out.
    pub next: Option<String>,
}

impl Reason {
    pub(super) fn of(state: State, finding: &Finding) -> Reason {
        Reason {
            state,
            code: finding.code.to_string(),
            object: finding.object.clone(),
            sentence: finding.sentence.clone(),
            next: finding.next.clone(),
        }
    }
}

/// A finding, and the state that it is a reason for.
pub(super) struct Raised {
    pub(super) state: State,
    pub(super) finding: Finding,
}

impl Raised {
    /// Makes a finding a reason for the state that its kind implies.
    pub(super) fn by_kind(finding: Finding) -> Raised {
        Raised { state: state_of(&finding), finding }
    }

    /// Marks a finding as past: it is no reason for any state.
    pub(super) fn past(finding: Finding) -> Raised {
        Raised { state: State::Healthy, finding }
    }
}

/// Nobody runs, watches or delivers.
const UNWATCHED: [&Entry; 3] =
    [&catalogue::JOBS_UNWATCHED, &catalogue::WEBHOOK_NOBODY_DELIVERS, &catalogue::DAEMON_HANGS];
/// Work that waits for an operator, whatever the severity.
const PARKED: [&Entry; 4] = [
    &catalogue::UNKNOWN_JOB_LIVES,
    &catalogue::JOB_CANNOT_END,
    &catalogue::WEBHOOK_PARKED,
    &catalogue::WEBHOOK_REFUSED,
];

/// The state that a finding is a reason for.
fn state_of(finding: &Finding) -> State {
    let is_among = |entries: &[&Entry]| entries.iter().any(|entry| entry.code == finding.code);
    if finding.severity == Severity::Critical && finding.tells_of_loss() {
        State::DataLoss
    } else if finding.code == catalogue::SAFE_MODE.code {
        State::SafeMode
    } else if is_among(&UNWATCHED) {
        State::Unwatched
    } else if is_among(&PARKED) {
        State::Degraded
    } else {
        match finding.severity {
            Severity::Info => State::Healthy,
            Severity::Warning => State::Attention,
            Severity::Error | Severity::Critical => State::Degraded,
        }
    }
}

/// Returns the reasons for all states but the best, the worst first.
pub(super) fn reasons(raised: &[Raised]) -> Vec<Reason> {
    let counts = |r: &&Raised| r.state > State::Healthy && r.finding.muted_until.is_none();
    let mut worst: Vec<&Raised> = raised.iter().filter(counts).collect();
    worst.sort_by_key(|r| std::cmp::Reverse((r.state, r.finding.severity)));
    worst.into_iter().map(|r| Reason::of(r.state, &r.finding)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(entry: &'static Entry) -> Finding {
        Finding::new(entry, "job:a", "it is so")
    }

    #[test]
    fn the_worst_comes_first_and_what_is_muted_does_not_count() {
        let muted = Finding {
            muted_until: Some("2026-03-01T09:30:00Z".parse().unwrap()),
            ..finding(&catalogue::JOB_HUNG)
        };
        let all = [
            finding(&catalogue::JOB_CRASHED),
            muted,
            finding(&catalogue::QUARANTINE_NOT_EMPTY),
            finding(&catalogue::JOB_LOST),
            finding(&catalogue::JOBS_UNWATCHED),
            finding(&catalogue::LOCK_UNAVAILABLE),
            finding(&catalogue::SAFE_MODE),
        ];
        let raised: Vec<Raised> = all.into_iter().map(Raised::by_kind).collect();
        let states: Vec<State> = reasons(&raised).iter().map(|reason| reason.state).collect();
        let expected =
            [State::DataLoss, State::SafeMode, State::Unwatched, State::Degraded, State::Attention];
        assert_eq!(states, expected);
        assert!(State::ALL.is_sorted(), "the best first");
    }

    #[test]
    fn a_state_is_written_as_json_has_it() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(state.headline().to_lowercase().replace(' ', "_"), state.as_str());
        }
    }
}
