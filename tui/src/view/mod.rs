//! Draws a [`Model`]. One file a panel; drawing changes nothing, and every text from outside passes
//! `text::safe`, so that no terminal obeys it.

mod ascii;
mod footer;
mod header;
pub(crate) mod layout;
mod overview;
pub(crate) mod page;
mod popup;
mod table;
mod theme;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

pub use layout::SMALLEST;
pub use theme::Theme;

use crate::model::{Model, Overlay};
use crate::views::View;
use layout::Parts;

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, model: &Model, theme: Theme) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("{}×{}: too small", area.width, area.height);
        frame.render_widget(Line::raw(text), Rect { height: area.height.min(1), ..area });
    } else {
        draw_parts(frame, Parts::of(area), model, theme);
    }
    if theme.ascii {
        ascii::make_ascii(frame.buffer_mut());
    }
}

fn draw_parts(frame: &mut Frame<'_>, parts: Parts, model: &Model, theme: Theme) {
    header::draw(frame, parts.header, model, theme);
    header::draw_tabs(frame, parts.tabs, model, theme);
    footer::draw(frame, parts.footer, model, theme);
    // The topmost page covers the view; menus and questions lie above it.
    let page = model.overlays.iter().rposition(|o| matches!(o, Overlay::Page(_) | Overlay::Help { .. }));
    match page.map(|at| &model.overlays[at]) {
        Some(Overlay::Page(page)) => page::draw(frame, parts.body, page, model, theme),
        Some(Overlay::Help { top }) => page::draw_help(frame, parts.body, *top, theme),
        _ if model.view == View::Overview => overview::draw(frame, parts.body, model, theme),
        _ => table::draw(frame, parts.body, model, theme),
    }
    match model.overlays.last() {
        Some(Overlay::Menu { actions, selected }) => {
            popup::draw_menu(frame, parts.body, (actions, *selected), model, theme);
        }
        Some(Overlay::Dialog(dialog)) => popup::draw_dialog(frame, parts.body, dialog, model, theme),
        _ => {}
    }
}
