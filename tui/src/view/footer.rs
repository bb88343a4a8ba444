//! The bottom line: the typed text, else the last message, else the keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::layout::shows_summary;
use super::table::{columns, particulars};
use super::theme::Theme;
use crate::listing::Tone;
use crate::model::{Model, Overlay, PromptKind};
use crate::text::{fit, safe, width};
use crate::views::View;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let room = usize::from(area.width);
    if let Some(Overlay::Prompt(prompt)) = model.overlays.last() {
        let sign = match prompt.kind {
            PromptKind::Filter => '/',
            PromptKind::Command => ':',
        };
        // The end of the typed text must be visible.
        let text = safe(&prompt.text);
        let shown = end_of(&text, room.saturating_sub(3));
        let line = vec![Span::raw(format!("{sign}{shown}")), Span::styled(" ", theme.selected())];
        frame.render_widget(Line::from(line), area);
        return;
    }
    let line = match &model.notice {
        Some((text, tone)) => vec![Span::styled(fit(text, room), theme.tone(*tone))],
        None => standing(model, room, theme),
    };
    frame.render_widget(Line::from(line), area);
}

/// Returns the keys; on a terminal that is too low for a line above the list, the most important part of that
/// line comes first.
fn standing(model: &Model, room: usize, theme: Theme) -> Vec<Span<'static>> {
    let is_low = model.view != View::Overview && model.overlays.is_empty() && !shows_summary(model);
    let cells = if is_low { particulars(model.list(), model) } else { Vec::new() };
    let (mut line, left) = columns(&cells, room, theme);
    let keys = keys(model, left);
    if line.is_empty() || width(&keys) <= left {
        line.push(Span::styled(fit(&keys, left), theme.tone(Tone::Quiet)));
    }
    line
}

fn end_of(text: &str, room: usize) -> &str {
    let mut from = 0;
    for (at, _) in text.char_indices() {
        from = at;
        if width(&text[at..]) <= room {
            break;
        }
    }
    &text[from..]
}

/// The keys that matter here, as many as there is room for.
fn keys(model: &Model, room: usize) -> String {
    let list = model.list();
    let mut keys: Vec<&str> = match model.overlays.last() {
        Some(Overlay::Dialog(_)) => {
            vec!["Tab next field", "Enter press the button", "Esc leave everything as it is"]
        }
        Some(Overlay::Menu { .. }) => vec!["Enter choose", "Esc back"],
        Some(Overlay::Help { .. }) => vec!["Esc back", "j k scroll"],
        Some(Overlay::Page(page)) => {
            let mut keys = vec!["Esc back", "j k scroll"];
            if page.document.as_ref().is_some_and(|document| !document.actions().is_empty()) {
                keys.push("a actions");
            }
            keys.extend(["? help", "q quit"]);
            keys
        }
        _ => {
            let next = model.overview.as_ref().and_then(|overview| overview.next());
            let mut keys = Vec::new();
            if !list.filter.is_empty() || !list.marks.is_empty() {
                keys.push("Esc show all");
            }
            if next.is_some() && model.view == View::Overview {
                keys.push("x do the next step");
            }
            keys.extend(["Enter open", "a actions", "w why", "/ filter", "Tab view", "? help", "q quit"]);
            keys
        }
    };
    while keys.len() > 1 && keys.iter().map(|k| width(k) + 3).sum::<usize>() > room + 3 {
        // Help and the way out are left out last.
        let least = keys.len().saturating_sub(3);
        keys.remove(least);
    }
    keys.join(" · ")
}
