//! What is unusable, and what was found, newest first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use recovery::recovery::{DegradedResource, Snapshot};
use recovery::report::Finding;

use super::theme::{Theme, severity_word};
use crate::text::{fit, pad};

/// Draws it: at most half of the room for what is unusable.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, theme: Theme) {
    let (width, room) = (usize::from(area.width), usize::from(area.height));
    let degraded: Vec<&DegradedResource> = snapshot.degraded_resources().collect();
    let found = newest_first(snapshot);
    let half = if found.is_empty() { room } else { room / 2 };
    let mut lines = Vec::new();
    if !degraded.is_empty() {
        heading(&mut lines, "Degraded", degraded.len(), theme);
        let shown = degraded.iter().take(half.saturating_sub(2).max(1));
        lines.extend(shown.map(|d| Line::raw(format!("  {}", fit(&say(d), width.saturating_sub(2))))));
    }
    if !found.is_empty() {
        let total: u64 = snapshot.phases.iter().map(|p| p.findings_total).sum();
        let total = usize::try_from(total).unwrap_or(usize::MAX).saturating_add(snapshot.findings.len());
        heading(&mut lines, "Findings", total, theme);
        let left = room.saturating_sub(lines.len());
        lines.extend(found.iter().take(left).map(|f| line_of(f, width, theme)));
    }
    frame.render_widget(Text::from(lines), area);
}

fn heading(lines: &mut Vec<Line<'_>>, word: &str, count: usize, theme: Theme) {
    lines.push(Line::raw(""));
    lines.push(Line::from(Span::styled(format!("{word} ({count})"), theme.heading())));
}

fn say(degraded: &DegradedResource) -> String {
    format!("{}: {}", degraded.object, degraded.why)
}

fn line_of(finding: &Finding, width: usize, theme: Theme) -> Line<'static> {
    let word = pad(severity_word(finding.severity), 8);
    let text = format!("{}: {}", finding.object, finding.sentence);
    Line::from(vec![
        Span::raw("  "),
        Span::styled(word, theme.severity(finding.severity)),
        Span::raw(format!(" {}", fit(&text, width.saturating_sub(11)))),
    ])
}

/// The phase that began last found what is newest.
fn newest_first(snapshot: &Snapshot) -> Vec<&Finding> {
    let mut phases: Vec<_> = snapshot.phases.iter().collect();
    phases.sort_by_key(|p| std::cmp::Reverse(p.started_at));
    let of_phases = phases.into_iter().flat_map(|p| p.findings.iter().rev());
    of_phases.chain(snapshot.findings.iter().rev()).collect()
}
