//! Draws a [`Model`]. One file a panel; drawing changes nothing.

mod detail;
mod findings;
mod footer;
mod header;
mod phases;
mod theme;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

pub use theme::Theme;

use crate::model::Model;

/// The smallest terminal that the view makes sense on: columns, rows.
pub const SMALLEST: (u16, u16) = (24, 5);

/// From this height on there is room for the selected phase and the findings.
const TALL: u16 = 14;

/// Draws the whole view.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("{}×{}: too small", area.width, area.height);
        frame.render_widget(Line::raw(text), Rect { height: area.height.min(1), ..area });
        return;
    }
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    header::draw(frame, top, model, theme);
    footer::draw(frame, bottom, model, theme);
    let Some(snapshot) = model.snapshot() else {
        frame.render_widget(Line::raw("Waiting for the recovery to begin …"), middle);
        return;
    };
    if area.height < TALL {
        phases::draw(frame, middle, snapshot, model, theme);
        return;
    }
    // The phases get what they need, up to two thirds; findings share the rest.
    let wanted = u16::try_from(snapshot.phases.len() + 1).unwrap_or(u16::MAX);
    let table = wanted.min(middle.height * 2 / 3);
    let rows = [Constraint::Length(table), Constraint::Length(detail::ROWS), Constraint::Min(0)];
    let [table, selected, rest] = Layout::vertical(rows).areas(middle);
    phases::draw(frame, table, snapshot, model, theme);
    detail::draw(frame, selected, snapshot, model, theme);
    findings::draw(frame, rest, snapshot, theme);
}
