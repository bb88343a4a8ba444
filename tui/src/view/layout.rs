//! The layout, shared by drawing and scrolling.

use ratatui::layout::{Constraint, Layout, Rect};

use crate::model::Model;

/// From this height on, there is a line of tabs and one above each list.
const TALL: u16 = 14;

/// The smallest terminal on which the dashboard makes sense: columns, rows.
pub const SMALLEST: (u16, u16) = (24, 5);

/// The parts of the screen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) header: Rect,
    /// The line of tabs; it has no height on a low terminal.
    pub(crate) tabs: Rect,
    pub(crate) body: Rect,
    pub(crate) footer: Rect,
}

impl Parts {
    pub(crate) fn of(area: Rect) -> Parts {
        let tabs = u16::from(area.height >= TALL);
        let rows =
            [Constraint::Length(1), Constraint::Length(tabs), Constraint::Min(1), Constraint::Length(1)];
        let [header, tabs, body, footer] = Layout::vertical(rows).areas(area);
        Parts { header, tabs, body, footer }
    }

    fn of_model(model: &Model) -> Parts {
        Parts::of(Rect::new(0, 0, model.size.0, model.size.1))
    }
}

/// Whether there is room for a line above each list.
pub(crate) fn has_summary(body: Rect) -> bool {
    body.height >= TALL - 3
}

/// Whether the view that is shown has that line.
pub(crate) fn shows_summary(model: &Model) -> bool {
    has_summary(Parts::of_model(model).body)
}

/// How many lines of a list are shown.
pub(crate) fn list_room(model: &Model) -> usize {
    let body = Parts::of_model(model).body;
    let above = 1 + usize::from(has_summary(body));
    usize::from(body.height).saturating_sub(above).max(1)
}

/// How many rows of the screen lie above a list's first line.
pub(crate) fn rows_above_list(model: &Model) -> usize {
    let body = Parts::of_model(model).body;
    usize::from(body.y) + 1 + usize::from(has_summary(body))
}

/// How wide a page is, and how many of its lines are shown.
pub(crate) fn page_room(model: &Model) -> (usize, usize) {
    let body = Parts::of_model(model).body;
    (usize::from(body.width), usize::from(body.height).saturating_sub(1).max(1))
}

/// Returns the first line to show, so that the selected one is visible: as near as possible to the present
/// one.
pub(crate) fn first_line(top: usize, selected: usize, lines: usize, room: usize) -> usize {
    let room = room.max(1);
    let lowest = (selected + 1).saturating_sub(room);
    top.clamp(lowest, selected.max(lowest)).min(lines.saturating_sub(room).max(lowest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selected_line_is_always_shown() {
        for lines in 1..30 {
            for room in 1..12 {
                for selected in 0..lines {
                    for top in 0..40 {
                        let first = first_line(top, selected, lines, room);
                        assert!(first <= selected && selected < first + room);
                        assert!(first + room <= lines.max(room), "{top} {selected} {lines} {room}: {first}");
                    }
                }
            }
        }
    }
}
