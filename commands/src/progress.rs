//! The progress of a recovery on standard error: bars on a terminal, a line for each change of a phase's
//! status elsewhere, nothing when quiet.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use recovery::recovery::{Observer, PhaseProgress, PhaseStatus, Snapshot};

use crate::output::Output;

/// Who shows a recovery's progress; `None` when nothing is to be shown.
pub(crate) fn observer(output: &Output) -> Option<Observer> {
    if output.is_quiet() {
        return None;
    }
    if std::io::stderr().is_terminal() && !output.is_json() {
        return Some(bars());
    }
    let lines = Mutex::new(Lines::default());
    Some(Arc::new(move |s: &Snapshot| lines.lock().unwrap_or_else(PoisonError::into_inner).show(s)))
}

/// A line that tells how far other work is, on a terminal.
pub(crate) fn ticker(output: &Output) -> Option<ProgressBar> {
    let is_wanted = std::io::stderr().is_terminal() && !output.is_quiet() && !output.is_json();
    is_wanted.then(ProgressBar::new_spinner)
}

/// The same for a daemon, whose log has a line for each change of a phase's status.
pub(crate) fn observer_beside_a_log(output: &Output) -> Option<Observer> {
    let is_wanted = std::io::stderr().is_terminal() && !output.is_quiet() && !output.is_json();
    is_wanted.then(bars)
}

fn bars() -> Observer {
    let bars = Mutex::new(Bars::default());
    Arc::new(move |s: &Snapshot| {
        bars.lock().unwrap_or_else(PoisonError::into_inner).show(s);
    })
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: HashMap<String, ProgressBar>,
}

impl Bars {
    fn show(&mut self, snapshot: &Snapshot) {
        for phase in &snapshot.phases {
            let bar = self.bars.entry(phase.phase.clone()).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new(0));
                bar.set_style(style());
                bar.set_prefix(phase.phase.clone());
                bar
            });
            if let Some(total) = phase.total {
                bar.set_length(total);
            }
            bar.set_position(phase.done);
            bar.set_message(message(phase));
            if phase.status.is_over() {
                bar.abandon();
            }
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:>8} {wide_bar} {pos:>6}/{len:<6} {elapsed:>4}  {msg}";
    ProgressStyle::with_template(template)
        .map_or_else(|_| ProgressStyle::default_bar(), |s| s.progress_chars("=> "))
}

fn message(phase: &PhaseProgress) -> String {
    let word = phase.status.word();
    match phase.status {
        PhaseStatus::Failed | PhaseStatus::Degraded | PhaseStatus::Blocked => {
            let text = phase.message.as_deref().unwrap_or_default();
            format!("{word}: {}", text.chars().filter(|c| !c.is_control()).collect::<String>())
        }
        _ => word.to_owned(),
    }
}

#[derive(Default)]
struct Lines {
    told: HashMap<String, (PhaseStatus, u32)>,
}

impl Lines {
    fn show(&mut self, snapshot: &Snapshot) {
        for phase in &snapshot.phases {
            let now = (phase.status, phase.attempts);
            if self.told.insert(phase.phase.clone(), now) == Some(now) || phase.status == PhaseStatus::Pending
            {
                continue;
            }
            let (name, word) = (&phase.phase, phase.status.word());
            let mut line = format!("{name}: {word}");
            if phase.attempts > 1 {
                line.push_str(&format!(" (try {})", phase.attempts));
            }
            if let Some(text) = phase.message.as_deref().filter(|_| phase.status.is_over()) {
                line.push_str(": ");
                line.extend(text.chars().filter(|c| !c.is_control()));
            }
            // Progress that nobody reads is no failure.
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}
