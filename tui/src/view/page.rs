//! Something to read: lines, broken between words to the width of the screen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Text};
use recovery::state::Timestamp;

use super::table::nothing_yet;
use super::theme::Theme;
use crate::key::BINDINGS;
use crate::listing::{Document, Tone};
use crate::model::{Model, PageState};
use crate::text::{fit, pad, wrapped};

/// A document's lines as they are drawn.
pub(crate) fn broken(document: &dyn Document, now: Timestamp, width: usize) -> Vec<(String, Tone)> {
    let lines = document.lines(now).into_iter();
    lines
        .flat_map(|line| wrapped(&line.text, width, line.indent).into_iter().map(move |l| (l, line.tone)))
        .collect()
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, page: &PageState, model: &Model, theme: Theme) {
    let width = usize::from(area.width);
    let room = usize::from(area.height).saturating_sub(1);
    let mut lines = Vec::new();
    match &page.document {
        Some(document) => {
            let text = broken(&**document, model.now, width);
            let most = text.len().saturating_sub(room);
            let top = page.top.unwrap_or(if document.follows() { most } else { 0 }).min(most);
            let place = if most == 0 { String::new() } else { format!("  {}/{}", top + room, text.len()) };
            let old = if page.object.is_some() && model.lost.is_some() { "old  " } else { "" };
            let title = format!("{old}{}", document.title());
            let title = format!("{}{place}", fit(&title, width.saturating_sub(place.len())));
            let trouble = page.trouble.as_ref().map(|why| fit(&format!("not read: {why}"), width));
            lines.push(match trouble {
                Some(why) => Line::styled(why, theme.tone(Tone::Bad)),
                None => Line::styled(title, theme.tone(Tone::Strong)),
            });
            let shown = text.into_iter().skip(top).take(room);
            lines.extend(shown.map(|(text, tone)| Line::styled(text, theme.tone(tone))));
        }
        None => lines.extend(nothing_yet(model, &page.trouble, width, theme)),
    }
    frame.render_widget(Text::from(lines), area);
}

/// Draws the key table.
pub(super) fn draw_help(frame: &mut Frame<'_>, area: Rect, top: usize, theme: Theme) {
    let width = usize::from(area.width);
    let mut lines = vec![Line::styled("Keys", theme.tone(Tone::Strong))];
    let room = usize::from(area.height).saturating_sub(1);
    let top = top.min(BINDINGS.len().saturating_sub(room));
    let keys = BINDINGS.iter().map(|b| crate::text::width(b.shown)).max().unwrap_or(0);
    for binding in BINDINGS.iter().skip(top).take(room) {
        let text = format!("  {}  {}", pad(binding.shown, keys), binding.what);
        lines.push(Line::raw(fit(&text, width)));
    }
    frame.render_widget(Text::from(lines), area);
}
