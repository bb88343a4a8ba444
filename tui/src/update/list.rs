//! Lists: the visible lines, their order, the selected and the marked ones.

use std::collections::HashSet;

use crate::key::Command;
use crate::listing::Tone;
use crate::model::Model;
use crate::view::layout::{first_line, list_room};
use crate::views::View;

/// Handles the commands of a list.
pub(super) fn obey(model: &mut Model, command: Command) {
    let room = list_room(model);
    let list = model.list_mut();
    let last = list.order.len().saturating_sub(1);
    let page = room.saturating_sub(1).max(1);
    match command {
        Command::Up => choose(model, |at| at.saturating_sub(1)),
        Command::Down => choose(model, |at| (at + 1).min(last)),
        Command::Top => choose(model, |_| 0),
        Command::Bottom => choose(model, |_| last),
        Command::PageUp => choose(model, |at| at.saturating_sub(page)),
        Command::PageDown => choose(model, |at| (at + page).min(last)),
        Command::Mark => {
            mark(model);
            choose(model, |at| (at + 1).min(last));
        }
        Command::Sort => sort(model),
        Command::Reverse => {
            if let Some((column, reversed)) = list.sort {
                list.sort = Some((column, !reversed));
                arrange(model, model.view);
            } else {
                sort(model);
            }
        }
        _ => {}
    }
}

/// The operator selects: from now on the selection stays with that line's key.
fn choose(model: &mut Model, to: impl FnOnce(usize) -> usize) {
    let list = model.list_mut();
    list.selected = to(list.selected);
    list.chosen = list.key().map(std::borrow::Cow::into_owned);
    keep_in_sight(model);
}

fn mark(model: &mut Model) {
    let list = model.list_mut();
    let Some(key) = list.key().map(std::borrow::Cow::into_owned) else { return };
    if !list.marks.remove(&key) {
        list.marks.insert(key);
    }
}

/// Sorts by the next column; after the last one, in the list's own order again.
fn sort(model: &mut Model) {
    let view = model.view;
    let list = model.list_mut();
    let Some(data) = &list.data else { return };
    let columns = data.columns();
    list.sort = match list.sort {
        None if columns.is_empty() => None,
        None => Some((0, false)),
        Some((column, _)) if column + 1 < columns.len() => Some((column + 1, false)),
        Some(_) => None,
    };
    let said = match list.sort {
        Some((column, _)) => format!("sorted by {}", columns[column].title.to_lowercase()),
        None => "in its own order".to_owned(),
    };
    arrange(model, view);
    model.say(said, Tone::Quiet);
}

/// Determines which lines are shown, in which order, and where the selection is.
pub(super) fn arrange(model: &mut Model, view: View) {
    let list = &mut model.lists[view.number()];
    let Some(data) = list.data.clone() else { return };
    let needle = list.filter.to_lowercase();
    let rows = 0..u32::try_from(data.len()).unwrap_or(u32::MAX);
    list.order = match needle.is_empty() {
        true => rows.collect(),
        false => rows.filter(|&row| data.matches(row as usize, &needle)).collect(),
    };
    if let Some((column, reversed)) = list.sort.filter(|(column, _)| *column < data.columns().len()) {
        list.order.sort_by(|&a, &b| data.compare(a as usize, b as usize, column));
        if reversed {
            list.order.reverse();
        }
    }
    if !list.marks.is_empty() {
        let keys: HashSet<_> = (0..data.len()).map(|row| data.key(row)).collect();
        list.marks.retain(|mark| keys.contains(&**mark));
    }
    let found = match &list.chosen {
        Some(chosen) => list.order.iter().position(|&row| data.key(row as usize) == **chosen),
        None => {
            let telling = u32::try_from(data.most_telling()).unwrap_or(0);
            Some(list.order.iter().position(|&row| row == telling).unwrap_or(0))
        }
    };
    // The selected line is gone: select the one in its place.
    list.selected = found.unwrap_or(list.selected).min(list.order.len().saturating_sub(1));
    keep_view_in_sight(model, view);
}

/// Scrolls as little as needed to show the selected line.
pub(super) fn keep_in_sight(model: &mut Model) {
    keep_view_in_sight(model, model.view);
}

fn keep_view_in_sight(model: &mut Model, view: View) {
    let room = list_room(model);
    let list = &mut model.lists[view.number()];
    list.top = first_line(list.top, list.selected, list.order.len(), room);
}

/// Selects the line that was clicked.
pub(super) fn click(model: &mut Model, line: u16) {
    if !model.overlays.is_empty() || model.view == View::Overview {
        return;
    }
    let above = crate::view::layout::rows_above_list(model);
    let Some(at) = usize::from(line).checked_sub(above) else { return };
    let at = model.list().top + at;
    if at < model.list().order.len() {
        choose(model, |_| at);
    }
}
