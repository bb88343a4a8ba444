//! The top line: how the whole stands.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::theme::Theme;
use crate::model::Model;
use crate::text::{duration, fit};

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let mut spans = vec![Span::styled("Recovery", theme.heading())];
    if let Some(s) = model.snapshot() {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(s.outcome.word(), theme.outcome(s.outcome)));
        let elapsed = duration(s.duration_ms.saturating_add(model.age_ms()));
        spans.push(Span::raw(format!("  {}/{} phases  {elapsed}", s.phases_done, s.phases_total)));
        let degraded = s.degraded_resources().count();
        if degraded > 0 {
            spans.push(Span::raw(format!("  {degraded} degraded")));
        }
        let left = usize::from(area.width).saturating_sub(Line::from(spans.clone()).width() + 2);
        let who = fit(&format!("{} · process {} · {}", s.purpose, s.pid, s.host.host), left);
        if left > 12 {
            spans.push(Span::raw("  "));
            spans.push(Span::styled(who, theme.quiet()));
        }
    }
    frame.render_widget(Line::from(spans), area);
}
