//! The bottom line: what was just said to the operator, else which keys there are.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::theme::Theme;
use crate::model::Model;
use crate::text::fit;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    if model.is_over() {
        return;
    }
    let text = match model.notice() {
        Some(notice) => notice,
        None if model.is_cancelling() => "Ending at the next safe points. q: leave now",
        None => "↑↓ select  s skip  q end",
    };
    let text = fit(text, usize::from(area.width));
    frame.render_widget(Line::from(Span::styled(text, theme.quiet())), area);
}
