//! The overview: the state, the next step, the recovery's progress, findings.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line as TextLine, Span, Text};
use recovery::queue::Counts;
use recovery::recovery::{PhaseProgress, PhaseStatus};
use recovery::report::dashboard::Dashboard;
use recovery::state::human;

use super::layout::first_line;
use super::table::nothing_yet;
use super::theme::{Theme, glyph, severity_word, tone_of_outcome, tone_of_phase};
use crate::action::{Meant, meant};
use crate::listing::{Listing, Tone};
use crate::model::Model;
use crate::panel::finding::tone_of;
use crate::panel::overview::{Besides, Line, Overview};
use crate::text::{fit, pad, safe, width, wrapped};

/// From this height on, everything is shown; below it only state, next step, and the lines.
const TALL: u16 = 14;
/// Width of the labels.
const LABEL: usize = 10;

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, theme: Theme) {
    let Some(overview) = &model.overview else {
        let lines = nothing_yet(model, &model.list().trouble, area.width.into(), theme);
        frame.render_widget(Text::from(lines), area);
        return;
    };
    let mut lines = Vec::new();
    let is_tall = area.height >= TALL;
    head(&mut lines, overview, model, area, is_tall, theme);
    if is_tall {
        lines.push(TextLine::raw(""));
    }
    // Headings are separate lines between those that can be selected.
    let all = body(overview, model, area, theme);
    let selected = all.iter().position(|(row, _)| *row == Some(model.list().selected)).unwrap_or(0);
    let room = usize::from(area.height).saturating_sub(lines.len());
    let top = if all.len() <= room { 0 } else { first_line(0, selected.max(1) + 1, all.len() + 1, room) };
    let top = top.min(selected);
    lines.extend(all.into_iter().skip(top).take(room).map(|(_, line)| line));
    frame.render_widget(Text::from(lines), area);
}

/// The state, the next step, and figures.
fn head(
    lines: &mut Vec<TextLine<'static>>,
    overview: &Overview,
    model: &Model,
    area: Rect,
    is_tall: bool,
    theme: Theme,
) {
    let width = usize::from(area.width);
    let status = overview.status();
    let mut told = |label: &str, text: &str, tone: Tone, most: usize| {
        let label = if is_tall { pad(label, LABEL) } else { String::new() };
        let room = width.saturating_sub(label.len());
        let mut broken = wrapped(text, room, 0);
        if broken.len() > most {
            let rest = broken.split_off(most.saturating_sub(1)).join(" ");
            broken.push(fit(&rest, room));
        }
        for (n, line) in broken.into_iter().enumerate() {
            let label = if n == 0 { label.clone() } else { " ".repeat(label.len()) };
            lines.push(TextLine::from(vec![
                Span::styled(label, theme.tone(Tone::Strong)),
                Span::styled(line, theme.tone(tone)),
            ]));
        }
    };
    if let Some(lost) = &model.lost {
        told("old", &lost.why, Tone::Bad, 1);
    }
    if let Some(why) = &model.list().trouble {
        told("not read", why, Tone::Bad, 1);
    }
    let progress = overview.progress();
    let (_, tone) = overview.state();
    let sentence = match progress.is_running() {
        true => {
            let over = progress.phases.iter().filter(|p| p.status.is_over()).count();
            format!("a recovery is running: {over} of {} phases are done", progress.phases.len())
        }
        false => status.map_or_else(|| "reading …".to_owned(), |status| status.status.clone()),
    };
    told(
        "status",
        &sentence,
        if tone == Tone::Good { Tone::Good } else { Tone::Strong },
        if is_tall { 2 } else { 1 },
    );
    match overview.next() {
        Some(next) => {
            let how = if meant(next) == Meant::Nothing { "in a shell" } else { "press x" };
            told("do", &format!("{next}   ({how})"), Tone::Warning, 1);
        }
        None if is_tall && progress.is_running() => {
            told("do", "wait; a on a phase: skip it, try it again", Tone::Quiet, 1);
        }
        None if is_tall => told("do", "nothing", Tone::Quiet, 1),
        None => {}
    }
    if !is_tall {
        return;
    }
    let recovery = match progress.outcome {
        None => "none yet".to_owned(),
        Some(outcome) => {
            let when =
                progress.started_at.map_or_else(String::new, |at| format!(", {}", human::ago(model.now, at)));
            let took = human::duration(progress.elapsed_ms(model.now));
            match progress.is_running() {
                true => format!("started by {}{when}", progress.purpose),
                false => format!("{} by {} in {took}{when}", outcome.word(), progress.purpose),
            }
        }
    };
    let tone = progress.outcome.map_or(Tone::Quiet, tone_of_outcome);
    told("recovery", &recovery, tone, 1);
    if let Some(status) = status {
        told("jobs", &counts(status.counts), Tone::Plain, 1);
    }
    if let Some(dashboard) = overview.dashboard() {
        told("besides", &besides(overview, dashboard), Tone::Plain, 1);
    }
}

fn counts(c: Counts) -> String {
    let over = [
        (c.crashed, "crashed"),
        (c.failed, "failed"),
        (c.timed_out, "timed out"),
        (c.cancelled, "cancelled"),
        (c.succeeded, "succeeded"),
    ];
    let over: String = over.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!(", {n} {word}")).collect();
    format!("{} queued, {} running{over}", c.queued, c.running)
}

fn many(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn besides(overview: &Overview, dashboard: &Dashboard) -> String {
    let mut parts = vec![many(dashboard.locks.total, "lock")];
    let of_verdict = |v: &str| dashboard.locks.locks.iter().filter(|l| l.verdict == v).count();
    for (verdict, word) in [("stale", "stale"), ("unknown", "not to be judged")] {
        let count = of_verdict(verdict);
        if count > 0 {
            parts.push(format!("{count} of them {word}"));
        }
    }
    let Besides { cleanups, orphans } = overview.besides();
    let under_way = cleanups.pending + cleanups.running + cleanups.waiting;
    let mut told = |n: u64, what: String| parts.extend((n > 0).then_some(what));
    told(under_way, many(under_way, "cleanup"));
    told(cleanups.parked, format!("{} parked", many(cleanups.parked, "cleanup")));
    if let Some((n, bytes)) = orphans {
        told(n, format!("{} ({} safe to remove)", many(n, "orphan"), human::size(bytes)));
    }
    if let Some(webhooks) = dashboard.status.webhooks {
        let under_way = webhooks.total() - webhooks.parked;
        told(under_way, format!("{} under way", many(under_way, "webhook")));
        told(webhooks.parked, format!("{} parked", many(webhooks.parked, "webhook")));
    }
    if dashboard.startup.consecutive_aborts > 0 {
        parts.push(format!("{} startups died in a row", dashboard.startup.consecutive_aborts));
    }
    parts.join(", ")
}

type Selectable = (Option<usize>, TextLine<'static>);

/// The phases, then unusable resources and findings, each with its index in the list.
fn body(overview: &Overview, model: &Model, area: Rect, theme: Theme) -> Vec<Selectable> {
    let list = model.list();
    let columns = usize::from(area.width);
    let mut all: Vec<Selectable> = Vec::new();
    let tree = Tree::of(overview);
    let layout = Columns::at(columns, tree.widest());
    let mut last = None;
    for (at, &row) in list.order.iter().enumerate() {
        let line = overview.line(row as usize);
        let kind = std::mem::discriminant(&line);
        let is_new = last != Some(kind);
        let drawn = match line {
            Line::Phase(i) => {
                if is_new {
                    all.push((None, TextLine::styled(layout.titles(), theme.tone(Tone::Strong))));
                }
                let elapsed = overview.progress().elapsed_of(overview.phase(i), model.now);
                phase_line(overview.phase(i), &tree.names[i], &layout, elapsed, theme)
            }
            Line::Degraded(i) => {
                if is_new {
                    heading(&mut all, "Cannot be used", None, theme);
                }
                let resource = overview.degraded(i);
                let text = format!("  {}: {}", resource.object, resource.why);
                TextLine::raw(pad(&text, columns))
            }
            Line::Finding(i) => {
                if is_new {
                    heading(&mut all, "Findings", Some(findings_total(overview)), theme);
                }
                let finding = overview.finding(i);
                let text = format!("{}: {}", finding.object, finding.sentence);
                TextLine::from(vec![
                    Span::raw("  "),
                    Span::styled(
                        pad(severity_word(finding.severity), 9),
                        theme.tone(tone_of(finding.severity)),
                    ),
                    Span::raw(pad(&text, columns.saturating_sub(11))),
                ])
            }
        };
        last = Some(kind);
        let is_selected = at == list.selected;
        let mark = list.marks.contains(&*overview.key(row as usize));
        let drawn = if mark { marked(drawn) } else { drawn };
        all.push((Some(at), if is_selected { drawn.style(theme.selected()) } else { drawn }));
    }
    all
}

fn marked(mut line: TextLine<'static>) -> TextLine<'static> {
    line.spans.insert(0, Span::raw("*"));
    line
}

fn findings_total(overview: &Overview) -> usize {
    let progress = overview.progress();
    if !progress.is_running() {
        return overview.status().map_or(0, |status| status.findings.len());
    }
    let total: u64 = progress.phases.iter().map(|p| p.findings_total).sum();
    usize::try_from(total).unwrap_or(usize::MAX).saturating_add(progress.findings.len())
}

fn heading(all: &mut Vec<Selectable>, word: &str, count: Option<usize>, theme: Theme) {
    let text = count.map_or_else(|| word.to_owned(), |count| format!("{word} ({count})"));
    all.push((None, TextLine::styled(text, theme.tone(Tone::Strong))));
}

/// The phases' names, each indented behind the one that it waits for.
struct Tree {
    names: Vec<String>,
}

impl Tree {
    fn of(overview: &Overview) -> Tree {
        let count = overview.progress().phases.len();
        let parents: Vec<Option<usize>> = (0..count).map(|i| overview.parent(i)).collect();
        let has_later_sibling =
            |i: usize| parents.iter().enumerate().skip(i + 1).any(|(_, p)| *p == parents[i] && p.is_some());
        let names = (0..count).map(|i| {
            let mut name = safe(&overview.phase(i).phase);
            let mut at = i;
            let mut is_own = true;
            while let Some(parent) = parents[at] {
                let sign = match (is_own, has_later_sibling(at)) {
                    (true, true) => "├ ",
                    (true, false) => "└ ",
                    (false, true) => "│ ",
                    (false, false) => "  ",
                };
                name.insert_str(0, sign);
                is_own = false;
                at = parent;
            }
            name
        });
        Tree { names: names.collect() }
    }

    fn widest(&self) -> usize {
        self.names.iter().map(|name| width(name)).max().unwrap_or(0)
    }
}

/// Columns of the fixed parts, each with the blanks that follow it.
const GLYPH: usize = 2;
const STATE: usize = 11;
const TRIES: usize = 6;
const TIME: usize = 12;
const REST: usize = 9;

/// The widths of a phase's columns; 0 leaves a column out.
struct Columns {
    name: usize,
    bar: usize,
    items: usize,
    tries: usize,
    time: usize,
    rest: usize,
    message: usize,
}

impl Columns {
    fn at(total: usize, widest_name: usize) -> Columns {
        let mut left = total.saturating_sub(GLYPH + STATE);
        let name = (widest_name + 1).clamp(9, 26).min(left);
        left -= name;
        let mut give = |wanted: usize| {
            let given = if left >= wanted { wanted } else { 0 };
            left -= given;
            given
        };
        let time = give(TIME);
        let bar = give(if total >= 100 { 14 } else { 9 });
        let items = if total >= 70 { give(if total >= 110 { 22 } else { 12 }) } else { 0 };
        let rest = give(REST);
        let tries = give(TRIES);
        let message = if left >= 12 { left } else { 0 };
        Columns { name, bar, items, tries, time, rest, message }
    }

    fn titles(&self) -> String {
        let mut text = pad("", GLYPH);
        let all = [
            ("PHASE", self.name),
            ("STATE", STATE),
            ("PROGRESS", self.bar),
            ("ITEMS", self.items),
            ("TIME", self.time),
            ("LEFT", self.rest),
            ("TRIES", self.tries),
            ("MESSAGE", self.message),
        ];
        all.iter().for_each(|(title, columns)| text.push_str(&pad(title, *columns)));
        text
    }
}

fn phase_line(
    phase: &PhaseProgress,
    name: &str,
    columns: &Columns,
    elapsed_ms: u64,
    theme: Theme,
) -> TextLine<'static> {
    let style = theme.tone(tone_of_phase(phase.status));
    let tries = if phase.attempts > 1 { phase.attempts.to_string() } else { String::new() };
    let rest = phase.remaining_ms.filter(|_| phase.status == PhaseStatus::Running);
    let rest = rest.map_or_else(String::new, |ms| format!("~{}", human::about(ms)));
    let cell = |text: &str, columns: usize| match columns {
        0 => Span::raw(""),
        // The last column of each cell stays blank, so that two long ones do not touch.
        _ => Span::raw(pad(&fit(text, columns - 1), columns)),
    };
    TextLine::from(vec![
        Span::styled(pad(glyph(phase.status), GLYPH), style),
        cell(name, columns.name),
        Span::styled(pad(phase.status.word(), STATE), style),
        cell(&bar(phase, columns.bar), columns.bar),
        cell(&items(phase, columns.items), columns.items),
        cell(&elapsed(phase, elapsed_ms), columns.time),
        cell(&rest, columns.rest),
        cell(&tries, columns.tries),
        cell(phase.message.as_deref().unwrap_or(""), columns.message),
    ])
}

fn bar(phase: &PhaseProgress, columns: usize) -> String {
    let Some(total) = phase.total.filter(|_| columns > 2) else { return String::new() };
    let columns = columns - 2;
    let share = match total {
        0 => columns as u64,
        _ => {
            let share = columns as u128 * u128::from(phase.done.min(total)) / u128::from(total);
            u64::try_from(share).unwrap_or(0)
        }
    };
    let filled = usize::try_from(share).unwrap_or(columns);
    format!("{}{}", "█".repeat(filled), "░".repeat(columns - filled))
}

/// The counters, with their unit where there is room for it.
fn items(phase: &PhaseProgress, columns: usize) -> String {
    let numbers = match phase.total {
        Some(total) if total != phase.done => format!("{}/{total}", phase.done),
        _ if phase.done > 0 => phase.done.to_string(),
        _ => return String::new(),
    };
    let whole = match phase.total {
        Some(total) if total != phase.done => format!("{numbers} {}", phase.unit),
        _ => human::of_unit(phase.done, &phase.unit),
    };
    if width(&whole) < columns { whole } else { numbers }
}

fn elapsed(phase: &PhaseProgress, elapsed_ms: u64) -> String {
    phase.started_at.map_or_else(String::new, |_| human::duration(elapsed_ms))
}
