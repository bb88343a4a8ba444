//! Pages: scrolling, and their actions.

use std::sync::Arc;

use super::navigation::{open_menu, open_object};
use super::prompt::next_step;
use crate::action::Action;
use crate::key::{BINDINGS, Command};
use crate::listing::{DocumentLine, Object, Text, Tone};
use crate::message::{Effect, Ran};
use crate::model::{Model, Overlay, PageState};
use crate::view::layout::page_room;
use crate::view::page::broken;

pub(super) fn obey(model: &mut Model, command: Command) -> Vec<Effect> {
    let (width, room) = page_room(model);
    let now = model.now;
    match command {
        Command::Actions => {
            let actions = match model.overlays.last() {
                Some(Overlay::Page(PageState { document: Some(document), .. })) => document.actions(),
                _ => Vec::new(),
            };
            open_menu(model, actions);
        }
        Command::Next => return next_step(model),
        Command::Why | Command::Output => {
            let job = match model.overlays.last() {
                Some(Overlay::Page(page)) => job_of(page),
                _ => None,
            };
            if let Some(job) = job {
                let object = match command {
                    Command::Why => Object::Why(format!("job:{job}")),
                    _ => Object::Output(job),
                };
                open_object(model, object);
            }
        }
        _ => match model.overlays.last_mut() {
            Some(Overlay::Help { top }) => {
                *top = scrolled(*top, BINDINGS.len().saturating_sub(room), room, command);
            }
            Some(Overlay::Page(page)) => {
                let Some(document) = &page.document else { return Vec::new() };
                let lines = broken(&**document, now, width).len();
                let most = lines.saturating_sub(room);
                let follows = document.follows();
                let at = page.top.unwrap_or(if follows { most } else { 0 }).min(most);
                let to = scrolled(at, most, room, command);
                page.top = if follows && to == most { None } else { Some(to) };
            }
            _ => {}
        },
    }
    Vec::new()
}

fn job_of(page: &PageState) -> Option<String> {
    match page.object.as_ref()? {
        Object::Job(id) | Object::Output(id) => Some(id.clone()),
        Object::Why(object) => object.strip_prefix("job:").map(str::to_owned),
        Object::Startup(_) => None,
    }
}

fn scrolled(at: usize, most: usize, room: usize, command: Command) -> usize {
    let page = room.saturating_sub(1).max(1);
    match command {
        Command::Up => at.saturating_sub(1),
        Command::Down => at + 1,
        Command::PageUp => at.saturating_sub(page),
        Command::PageDown => at + page,
        Command::Top => 0,
        Command::Bottom => most,
        _ => at,
    }
    .min(most)
}

/// Shows all that a command said when it failed.
pub(super) fn told(model: &mut Model, action: &Action, ran: &Ran) {
    let mut lines = vec![DocumentLine::toned(action.command_line(&model.setting.program), Tone::Strong)];
    lines.extend(ran.text.lines().map(DocumentLine::plain));
    let title = format!("It ended with status {}", ran.status);
    let document = Arc::new(Text { title, lines, actions: Vec::new() });
    // The page goes below a dialog that was opened since: the dialog keeps the keys.
    let at = model.overlays.iter().position(|o| !matches!(o, Overlay::Page(_) | Overlay::Help { .. }));
    let page = PageState { object: None, document: Some(document), trouble: None, top: None };
    model.overlays.insert(at.unwrap_or(model.overlays.len()), Overlay::Page(page));
}
