//! A list with columns. Only the visible lines are formatted, however many there are. Columns that have no
//! room are left out, the least important first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};

use super::layout::{first_line, has_summary};
use super::theme::Theme;
use crate::listing::{Cell, Column, Listing, Tone};
use crate::model::{ListState, Model};
use crate::text::{fit, pad, width, wrapped};

/// Draws the list of the view that is shown.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let list = model.list();
    let mut lines = Vec::new();
    if has_summary(area) {
        lines.push(summary(list, model, area, theme));
    }
    match &list.data {
        None => lines.extend(nothing_yet(model, &list.trouble, area.width.into(), theme)),
        Some(data) if data.is_empty() => lines.push(Line::styled(data.empty(), theme.tone(Tone::Quiet))),
        Some(_) if list.order.is_empty() => {
            let text =
                fit(&format!("Nothing has “{}” in it. Esc shows all.", list.filter), area.width.into());
            lines.push(Line::styled(text, theme.tone(Tone::Warning)));
        }
        Some(data) => table(&mut lines, &**data, list, model, area, theme),
    }
    frame.render_widget(Text::from(lines), area);
}

/// The text until something could be read.
pub(super) fn nothing_yet(
    model: &Model,
    trouble: &Option<String>,
    width: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let (text, tone) = match (&model.lost, trouble) {
        (Some(lost), _) => {
            (format!("{}. It is asked again every second.", lost.why.trim_end_matches('.')), Tone::Bad)
        }
        (None, Some(why)) => (format!("It cannot be read: {why}"), Tone::Bad),
        (None, None) => ("Reading …".to_owned(), Tone::Quiet),
    };
    wrapped(&text, width, 0).into_iter().map(|line| Line::styled(line, theme.tone(tone))).collect()
}

/// The list's own summary; why it is not newer; its filter.
fn summary(list: &ListState, model: &Model, area: Rect, theme: Theme) -> Line<'static> {
    let mut cells = particulars(list, model);
    if let Some(data) = &list.data {
        cells.extend(data.summary(model.now));
    }
    Line::from(columns(&cells, area.width.into(), theme).0)
}

/// Why the list is not newer, and what narrows it.
pub(super) fn particulars<'a>(list: &ListState, model: &Model) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    if model.lost.is_some() && list.data.is_some() {
        cells.push(Cell::toned("old", Tone::Bad));
    }
    if let Some(trouble) = &list.trouble {
        cells.push(Cell::toned(format!("not read: {trouble}"), Tone::Bad));
    }
    if !list.filter.is_empty() {
        let text = format!("“{}”: {}", list.filter, list.order.len());
        cells.push(Cell::toned(text, Tone::Warning));
    }
    if !list.marks.is_empty() {
        cells.push(Cell::toned(format!("{} marked", list.marks.len()), Tone::Warning));
    }
    cells
}

/// Returns as many columns as there is room for, and the room that is left.
pub(super) fn columns(cells: &[Cell<'_>], room: usize, theme: Theme) -> (Vec<Span<'static>>, usize) {
    let (mut spans, mut room) = (Vec::new(), room);
    for cell in cells.iter().filter(|cell| !cell.text.is_empty()) {
        let text = fit(&cell.text, room);
        room = room.saturating_sub(width(&text) + 2);
        spans.push(Span::styled(text, theme.tone(cell.tone)));
        spans.push(Span::raw("  "));
    }
    (spans, room)
}

fn table(
    lines: &mut Vec<Line<'static>>,
    data: &dyn Listing,
    list: &ListState,
    model: &Model,
    area: Rect,
    theme: Theme,
) {
    let has_marks = !list.marks.is_empty();
    let signs = if has_marks { 2 } else { 0 };
    let columns = shared_out(data.columns(), usize::from(area.width).saturating_sub(signs));
    lines.push(titles(data.columns(), &columns, list, signs, theme));
    let room = usize::from(area.height).saturating_sub(lines.len());
    let top = first_line(list.top, list.selected, list.order.len(), room);
    for (at, &row) in list.order.iter().enumerate().skip(top).take(room) {
        let row = row as usize;
        let mut spans = Vec::new();
        if has_marks {
            spans.push(Span::raw(if list.marks.contains(&*data.key(row)) { "* " } else { "  " }));
        }
        for &(column, columns) in &columns {
            let cell = data.cell(row, column, model.now);
            let right = data.columns()[column].right;
            spans.push(Span::styled(aligned(&cell.text, columns, right), theme.tone(cell.tone)));
            spans.push(Span::raw(" "));
        }
        spans.pop();
        let line = Line::from(spans);
        lines.push(if at == list.selected { line.style(theme.selected()) } else { line });
    }
}

fn titles(
    all: &[Column],
    shown: &[(usize, usize)],
    list: &ListState,
    signs: usize,
    theme: Theme,
) -> Line<'static> {
    let mut text = " ".repeat(signs);
    for &(column, columns) in shown {
        let sign = match list.sort {
            Some((by, false)) if by == column => "↓",
            Some((by, true)) if by == column => "↑",
            _ => "",
        };
        let title = format!("{}{sign}", all[column].title);
        text.push_str(&aligned(&title, columns, all[column].right));
        text.push(' ');
    }
    Line::styled(text, theme.tone(Tone::Strong))
}

fn aligned(text: &str, columns: usize, right: bool) -> String {
    if !right {
        return pad(text, columns);
    }
    let text = fit(text, columns);
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(&text))))
}

/// The visible columns, with their widths.
fn shared_out(all: &[Column], room: usize) -> Vec<(usize, usize)> {
    let mut shown: Vec<usize> = (0..all.len()).collect();
    let needed = |shown: &[usize]| shown.iter().map(|&c| all[c].width + 1).sum::<usize>();
    while needed(&shown) > room + 1 {
        let Some(least) = shown.iter().copied().filter(|&c| all[c].rank > 0).max_by_key(|&c| all[c].rank)
        else {
            break;
        };
        shown.retain(|&c| c != least);
    }
    let left = (room + 1).saturating_sub(needed(&shown));
    let shares: usize = shown.iter().map(|&c| all[c].grow).sum();
    let mut given: Vec<(usize, usize)> = shown
        .iter()
        .map(|&c| (c, all[c].width + (left * all[c].grow).checked_div(shares).unwrap_or(0)))
        .collect();
    // On a very narrow terminal even these are cut.
    let mut rest = room;
    for (_, columns) in &mut given {
        *columns = (*columns).min(rest);
        rest = rest.saturating_sub(*columns + 1);
    }
    given
}
