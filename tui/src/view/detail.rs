//! The selected phase: what it waits for, what it does or why it ended so.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use recovery::recovery::Snapshot;

use super::theme::Theme;
use crate::model::Model;
use crate::text::fit;

/// An empty line, the title, the message.
pub(super) const ROWS: u16 = 3;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, model: &Model, theme: Theme) {
    let Some(phase) = snapshot.phases.get(model.selected()) else { return };
    let width = usize::from(area.width);
    let after = match phase.depends_on.as_slice() {
        [] => String::new(),
        names => format!(" after {}", names.join(", ")),
    };
    let critical = if phase.critical { ", critical" } else { "" };
    let title = fit(&format!("{}{after}{critical}", phase.phase), width);
    let message = phase.message.as_deref().unwrap_or("–");
    let message = format!("  {}", fit(message, width.saturating_sub(2)));
    let lines = vec![Line::raw(""), Line::from(Span::styled(title, theme.heading())), Line::raw(message)];
    frame.render_widget(Text::from(lines), area);
}
