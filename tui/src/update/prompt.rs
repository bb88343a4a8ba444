//! Typed text: a filter, or the name of a view, or a command.

use super::navigation::{ask, help, open_object, quit, switch};
use super::{dialog, list};
use crate::action::{Meant, meant};
use crate::key::Key;
use crate::listing::{Object, Tone};
use crate::message::Effect;
use crate::model::{Model, Overlay, PromptKind};
use crate::views::View;

pub(super) fn pressed(model: &mut Model, key: Key) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = model.overlays.last_mut() else { return Vec::new() };
    let kind = prompt.kind;
    match key {
        Key::Escape | Key::Control('c') => {
            prompt.text.clear();
            apply(model);
            model.overlays.pop();
        }
        Key::Backspace if prompt.text.is_empty() => drop(model.overlays.pop()),
        Key::Enter => {
            let text = prompt.text.trim().to_owned();
            model.overlays.pop();
            if kind == PromptKind::Command && !text.is_empty() {
                return carry_out(model, &text);
            }
        }
        key => {
            dialog::edit(&mut prompt.text, key);
            apply(model);
        }
    }
    Vec::new()
}

/// The list follows the typed text.
fn apply(model: &mut Model) {
    let Some(Overlay::Prompt(prompt)) = model.overlays.last() else { return };
    if prompt.kind == PromptKind::Filter {
        let text = prompt.text.clone();
        let list = model.list_mut();
        list.filter = text;
        // The selected line stays selected if it is shown; otherwise the first one is selected.
        list.selected = 0;
        list::arrange(model, model.view);
    }
}

pub(super) fn paste(model: &mut Model, text: &str) {
    match model.overlays.last_mut() {
        Some(Overlay::Prompt(prompt)) => {
            text.chars().for_each(|c| dialog::edit(&mut prompt.text, Key::Char(c)));
            apply(model);
        }
        Some(Overlay::Dialog(dialog)) => dialog::paste(dialog, text),
        _ => model.say("pasted text means nothing here; / or : takes it", Tone::Quiet),
    }
}

/// Carries out a line typed after `:`, or the next step of a finding.
pub(super) fn carry_out(model: &mut Model, line: &str) -> Vec<Effect> {
    match line {
        "q" | "quit" => return quit(model),
        "help" => {
            help(model);
            return Vec::new();
        }
        _ => {}
    }
    if let Some(view) = View::named(line) {
        switch(model, view.number());
        return Vec::new();
    }
    match meant(line) {
        Meant::Action(action) => return ask(model, *action),
        Meant::Show(view) => switch(model, view.number()),
        Meant::Why(object) => open_object(model, Object::Why(object)),
        Meant::Job(id) => open_object(model, Object::Job(id)),
        Meant::Nothing => {
            let shell = line.strip_prefix("recoveryctl ").unwrap_or(line);
            model.say(format!("not from here; in a shell: recoveryctl {shell}"), Tone::Warning);
        }
    }
    Vec::new()
}

/// The next step that the overview names.
pub(super) fn next_step(model: &mut Model) -> Vec<Effect> {
    let next = model.overview.as_ref().and_then(|overview| overview.next()).map(str::to_owned);
    match next {
        Some(next) => carry_out(model, &next),
        None => {
            model.say("there is nothing to be done", Tone::Good);
            Vec::new()
        }
    }
}
