//! The phases, one a line, in the order in which they begin. Columns that have no room are left out,
//! the least important first.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use recovery::recovery::{PhaseProgress, PhaseStatus, Snapshot};

use super::theme::{Theme, glyph};
use crate::model::Model;
use crate::text::{duration, fit, pad, width};

/// Columns of the fixed parts, each with the blanks that follow it.
const GLYPH: usize = 2;
const STATE: usize = 11;
const TRIES: usize = 7;
const TIME: usize = 9;
const PERCENT: usize = 6;

/// How the columns are shared out at a width; 0 leaves a column out.
struct Columns {
    name: usize,
    bar: usize,
    items: usize,
    tries: usize,
    time: usize,
    message: usize,
}

impl Columns {
    fn at(total: usize, longest_name: usize) -> Columns {
        let mut columns = Columns { name: 0, bar: 0, items: 0, tries: 0, time: 0, message: 0 };
        let mut left = total.saturating_sub(GLYPH + STATE);
        columns.name = (longest_name + 2).clamp(9, 26).min(left);
        left -= columns.name;
        let mut give = |wanted: usize| {
            let given = if left >= wanted { wanted } else { 0 };
            left -= given;
            given
        };
        columns.time = give(TIME);
        columns.items = if total >= 70 { give(20) } else { 0 };
        columns.bar = if total >= 100 { give(22) } else { give(14) };
        if columns.bar == 0 {
            columns.bar = give(PERCENT);
        }
        columns.tries = give(TRIES);
        columns.message = if left >= 16 { left } else { 0 };
        columns
    }
}

/// Draws them; when there are more than rows, the part around the selected one.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, snapshot: &Snapshot, model: &Model, theme: Theme) {
    let longest = snapshot.phases.iter().map(|p| width(&crate::text::safe(&p.phase))).max().unwrap_or(0);
    let columns = Columns::at(usize::from(area.width), longest);
    let room = usize::from(area.height).saturating_sub(1);
    let first = (model.selected() + 1).saturating_sub(room);
    let mut lines = vec![Line::from(Span::styled(titles(&columns), theme.heading()))];
    for (index, phase) in snapshot.phases.iter().enumerate().skip(first).take(room) {
        let line = line_of(phase, &columns, model.age_ms(), theme);
        lines.push(if index == model.selected() { line.style(theme.selected()) } else { line });
    }
    frame.render_widget(Text::from(lines), area);
}

fn titles(columns: &Columns) -> String {
    let mut text = pad("", GLYPH);
    let all = [
        ("PHASE", columns.name),
        ("STATE", STATE),
        (if columns.bar > PERCENT { "PROGRESS" } else { "DONE" }, columns.bar),
        ("ITEMS", columns.items),
        ("TRIES", columns.tries),
        ("TIME", columns.time),
        ("MESSAGE", columns.message),
    ];
    all.iter().for_each(|(title, columns)| text.push_str(&pad(title, *columns)));
    text
}

fn line_of(phase: &PhaseProgress, columns: &Columns, age_ms: u64, theme: Theme) -> Line<'static> {
    let style = theme.phase(phase.status);
    let tries = if phase.attempts > 1 { phase.attempts.to_string() } else { String::new() };
    let cell = |text: &str, columns: usize| match columns {
        0 => Span::raw(""),
        // The last column of each cell stays blank, so that two long ones do not touch.
        _ => Span::raw(pad(&fit(text, columns - 1), columns)),
    };
    Line::from(vec![
        Span::styled(pad(glyph(phase.status), GLYPH), style),
        cell(&phase.phase, columns.name),
        Span::styled(pad(phase.status.word(), STATE), style),
        cell(&progress(phase, columns.bar), columns.bar),
        cell(&items(phase, columns.items), columns.items),
        cell(&tries, columns.tries),
        cell(&elapsed(phase, age_ms), columns.time),
        cell(phase.message.as_deref().unwrap_or(""), columns.message),
    ])
}

/// A bar, or where it has no room the percentage.
fn progress(phase: &PhaseProgress, columns: usize) -> String {
    let Some(total) = phase.total else { return String::new() };
    let share = |whole: u64| match total {
        0 => whole,
        _ => u64::try_from(u128::from(whole) * u128::from(phase.done.min(total)) / u128::from(total))
            .unwrap_or(whole),
    };
    if columns <= PERCENT {
        return format!("{} %", share(100));
    }
    let columns = columns - 2;
    let filled = usize::try_from(share(columns as u64)).unwrap_or(columns);
    format!("{}{}", "█".repeat(filled), "░".repeat(columns - filled))
}

/// The numbers, and what they count where there is room for it.
fn items(phase: &PhaseProgress, columns: usize) -> String {
    let numbers = match phase.total {
        Some(total) => format!("{}/{total}", phase.done),
        None if phase.done > 0 => phase.done.to_string(),
        None => return String::new(),
    };
    let whole = format!("{numbers} {}", phase.unit);
    if width(&whole) < columns { whole } else { numbers }
}

fn elapsed(phase: &PhaseProgress, age_ms: u64) -> String {
    match phase.status {
        PhaseStatus::Running => duration(phase.duration_ms.saturating_add(age_ms)),
        _ if phase.started_at.is_some() => duration(phase.duration_ms),
        _ => String::new(),
    }
}
