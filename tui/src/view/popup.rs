//! Overlays: the menu of actions, and the dialog before an action.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear};

use super::theme::Theme;
use crate::action::{Action, Weight};
use crate::listing::Tone;
use crate::model::{Dialog, Focus, Model};
use crate::text::{fit, pad, wrapped};

/// The largest width of an overlay.
const WIDEST: u16 = 76;

/// Draws the choice.
pub(super) fn draw_menu(
    frame: &mut Frame<'_>,
    area: Rect,
    (actions, selected): (&[Action], usize),
    model: &Model,
    theme: Theme,
) {
    let inner = usize::from(area.width.min(WIDEST).saturating_sub(4));
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (at, action) in actions.iter().enumerate() {
        let line = Line::raw(pad(&action.title, inner));
        lines.push(if at == selected { line.style(theme.selected()) } else { line });
    }
    if let Some(action) = actions.get(selected) {
        lines.push(Line::raw(""));
        let command = action.command_line(&model.setting.program);
        lines.extend(styled(wrapped(&command, inner, 2), Tone::Quiet, theme));
    }
    boxed(frame, area, "What can be done", lines, selected, theme);
}

/// Draws the question.
pub(super) fn draw_dialog(frame: &mut Frame<'_>, area: Rect, dialog: &Dialog, model: &Model, theme: Theme) {
    let inner = usize::from(area.width.min(WIDEST).saturating_sub(4));
    let action = &dialog.action;
    // The buttons and fields are always visible: lines above that do not fit are left out.
    let mut fields = Vec::new();
    if let Weight::Typed(name) = &action.weight {
        let label = format!("Type “{name}”: ");
        fields.push(field(&label, &dialog.typed, dialog.focus == Focus::Name, inner, theme));
    }
    fields.push(field("Reason (audit): ", &dialog.reason, dialog.focus == Focus::Reason, inner, theme));
    fields.push(buttons(dialog, theme));
    let command = action.command_line(&model.setting.program);
    let mut text: Vec<Line<'static>> = styled(wrapped(&command, inner, 2), Tone::Strong, theme);
    let tone = match action.weight {
        Weight::Confirmed => Tone::Plain,
        Weight::Typed(_) => Tone::Bad,
    };
    text.extend(styled(wrapped(&action.does, inner, 0), tone, theme));
    if let Some(ran) = &dialog.rehearsal {
        text.push(Line::raw(""));
        let said = ran.text.lines().filter(|line| !line.trim().is_empty());
        let tone = if ran.status == 0 { Tone::Plain } else { Tone::Warning };
        text.extend(said.flat_map(|line| styled(wrapped(line, inner, 2), tone, theme)));
    } else if action.can_rehearse {
        text.push(Line::styled("asking what it would do …", theme.tone(Tone::Quiet)));
    }
    let mut room = usize::from(area.height).saturating_sub(2 + fields.len());
    if text.len() > room && dialog.focus != Focus::Reason && dialog.reason.is_empty() {
        // The field is visible again when it has the keys.
        fields.remove(fields.len() - 2);
        room += 1;
    }
    if text.len() > room {
        text.truncate(room.saturating_sub(1));
        text.push(Line::styled("…", theme.tone(Tone::Quiet)));
    }
    text.extend(fields);
    boxed(frame, area, &action.title, text, usize::MAX, theme);
}

fn styled(lines: Vec<String>, tone: Tone, theme: Theme) -> Vec<Line<'static>> {
    lines.into_iter().map(|line| Line::styled(line, theme.tone(tone))).collect()
}

fn field(label: &str, text: &str, has_keys: bool, room: usize, theme: Theme) -> Line<'static> {
    let label = fit(label, room.saturating_sub(6));
    let left = room.saturating_sub(crate::text::width(&label) + 1);
    let text = crate::text::safe(text);
    let mut shown: String = text;
    while crate::text::width(&shown) > left {
        shown.remove(0);
    }
    let cursor = if has_keys { Span::styled(" ", theme.selected()) } else { Span::raw("") };
    let label = if has_keys { Span::styled(label, theme.tone(Tone::Strong)) } else { Span::raw(label) };
    Line::from(vec![label, Span::raw(shown), cursor])
}

fn buttons(dialog: &Dialog, theme: Theme) -> Line<'static> {
    let button = |text: String, focus: Focus, usable: bool| {
        let style = match (dialog.focus == focus, usable) {
            (true, _) => theme.selected(),
            (false, true) => theme.tone(Tone::Plain),
            (false, false) => theme.tone(Tone::Quiet),
        };
        Span::styled(text, style)
    };
    Line::from(vec![
        button("[ Cancel ]".to_owned(), Focus::Cancel, true),
        Span::raw("  "),
        button(format!("[ {} ]", dialog.action.verb), Focus::Do, dialog.is_named()),
    ])
}

/// A box in the middle, as high as its lines, never larger than the area. `keep` is a line that must be
/// visible.
fn boxed(frame: &mut Frame<'_>, area: Rect, title: &str, lines: Vec<Line<'_>>, keep: usize, theme: Theme) {
    let width = area.width.min(WIDEST);
    let wanted = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let height = wanted.min(area.height);
    let at =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    let room = usize::from(height.saturating_sub(2));
    let skip = if keep == usize::MAX { 0 } else { (keep + 1).saturating_sub(room) };
    let title = format!(" {} ", fit(title, usize::from(width).saturating_sub(6)));
    let block = Block::bordered().title(Span::styled(title, theme.tone(Tone::Strong)));
    let mut inner = block.inner(at);
    frame.render_widget(Clear, at);
    frame.render_widget(block, at);
    inner.x += u16::from(inner.width > 2);
    inner.width = inner.width.saturating_sub(2).max(1).min(width);
    let shown: Vec<Line<'_>> = lines.into_iter().skip(skip).take(room).collect();
    frame.render_widget(Text::from(shown), inner);
}
