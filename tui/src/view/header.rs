//! The top line: the state, the state directory, and special conditions. Below it the views.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use recovery::state::human;

use super::theme::Theme;
use crate::listing::Tone;
use crate::model::{Lost, Model};
use crate::text::{clock, fit, width};
use crate::views::View;

/// Terminals with fewer columns than this get shorter texts.
const NARROW: usize = 60;

/// Draws the top line.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let room = usize::from(area.width);
    let (state, tone) = match &model.overview {
        _ if model.lost.is_some() => ("NO ANSWER", Tone::Bad),
        Some(overview) => overview.state(),
        None => ("READING …", Tone::Quiet),
    };
    let mut right: Vec<(String, Tone)> = Vec::new();
    if let Some(action) = model.at_work.last() {
        let what = action.words.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
        right.push((format!("running: {what}"), Tone::Busy));
    }
    if model.is_paused {
        right.push(("PAUSED".to_owned(), Tone::Warning));
    }
    if model.setting.read_only {
        right.push(("read-only".to_owned(), Tone::Quiet));
    }
    if let (Some(overview), None) = (&model.overview, &model.lost) {
        let daemon = overview.status().map(|status| &status.daemon);
        let daemon = match daemon {
            Some(Some(daemon)) => (format!("daemon {}", daemon.pid), Tone::Plain),
            None => (String::new(), Tone::Plain),
            Some(None) if overview.progress().is_running() => (String::new(), Tone::Plain),
            Some(None) => ("no daemon".to_owned(), Tone::Warning),
        };
        right.push(daemon);
    }
    right.retain(|(text, _)| !text.is_empty());
    let mut taken = width(state) + 1;
    // Parts that do not fit are left out, the least important first.
    while right.iter().map(|(text, _)| width(text) + 2).sum::<usize>() + taken > room && right.len() > 1 {
        right.pop();
    }
    let of_right: usize = right.iter().map(|(text, _)| width(text) + 2).sum();
    taken += of_right;
    let middle = match &model.lost {
        Some(lost) => lost_since(lost, model, room),
        None => model.setting.source.clone(),
    };
    let source = fit(&middle, room.saturating_sub(taken + 2));
    let mut spans = vec![Span::styled(state.to_owned(), theme.tone(tone).patch(theme.tone(Tone::Strong)))];
    let gap = room.saturating_sub(width(state) + 2 + width(&source) + of_right);
    let quiet = if model.lost.is_some() { Tone::Bad } else { Tone::Quiet };
    spans.push(Span::styled(format!("  {source}{}", " ".repeat(gap)), theme.tone(quiet)));
    for (text, tone) in right {
        spans.push(Span::raw("  "));
        spans.push(Span::styled(fit(&text, room), theme.tone(tone)));
    }
    frame.render_widget(Line::from(spans), area);
}

/// Since when the source does not answer, what that means for the screen, and which source it is.
fn lost_since(lost: &Lost, model: &Model, room: usize) -> String {
    let ms = u64::try_from(model.now.millis_since(lost.since)).unwrap_or(0);
    let so_long = human::duration(ms / 1000 * 1000);
    let since = format!("since {}, {so_long}", clock(lost.since));
    match model.read_at {
        None => format!("{since}  {}", model.setting.source),
        Some(_) if room < NARROW => format!("old {since}"),
        Some(_) => format!("{since}: all below is old  {}", model.setting.source),
    }
}

/// Draws the views' names, the shown one reversed.
pub(super) fn draw_tabs(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let room = usize::from(area.width);
    let all: usize = View::ALL.iter().map(|v| v.title().len() + 2).sum();
    let mut spans = Vec::new();
    for (number, view) in (1..).zip(View::ALL.iter().copied()) {
        let is_shown = view == model.view;
        // Where there is no room for all the names, only numbers are shown.
        let name = if is_shown || all <= room { view.title() } else { "" };
        let text = format!("{number}{name}");
        let style = if is_shown { theme.selected() } else { theme.tone(Tone::Plain) };
        spans.push(Span::styled(text, style));
        spans.push(Span::raw(" "));
    }
    frame.render_widget(Line::from(spans), area);
}
