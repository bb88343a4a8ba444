//! Moves between views, opens and closes what lies above them, and leaves the dashboard.

use super::list;
use crate::action::Action;
use crate::listing::{Object, Tone};
use crate::message::Effect;
use crate::model::{Dialog, Focus, Model, Overlay, PageState};
use crate::views::View;

pub(super) fn switch(model: &mut Model, number: usize) {
    let Some(view) = View::ALL.get(number) else { return };
    model.overlays.clear();
    model.view = *view;
    list::keep_in_sight(model);
}

pub(super) fn quit(model: &mut Model) -> Vec<Effect> {
    if !model.setting.is_recovering || model.is_cancelling {
        return vec![Effect::Quit];
    }
    model.is_cancelling = true;
    model.say("The recovery ends at its next safe points. q: leave now", Tone::Warning);
    vec![Effect::CancelRecovery]
}

/// One level back. At the top level, removes the filter of the view.
pub(super) fn back(model: &mut Model) {
    if model.overlays.pop().is_some() {
        return;
    }
    let list = model.list_mut();
    if !list.filter.is_empty() {
        list.filter.clear();
        list::arrange(model, model.view);
    } else if !list.marks.is_empty() {
        list.marks.clear();
    } else {
        model.say("q quits", Tone::Quiet);
    }
}

pub(super) fn help(model: &mut Model) {
    if !matches!(model.overlays.last(), Some(Overlay::Help { .. })) {
        model.overlays.push(Overlay::Help { top: 0 });
    }
}

pub(super) fn open_object(model: &mut Model, object: Object) {
    let page = PageState { object: Some(object), document: None, trouble: None, top: None };
    model.overlays.push(Overlay::Page(page));
}

pub(super) fn open_or_say(model: &mut Model, object: Option<Object>, otherwise: &str) {
    match object {
        Some(object) => open_object(model, object),
        None => model.say(otherwise, Tone::Quiet),
    }
}

pub(super) fn open_menu(model: &mut Model, actions: Vec<Action>) {
    if actions.is_empty() {
        model.say("nothing can be done about it from here", Tone::Quiet);
    } else {
        model.overlays.push(Overlay::Menu { actions, selected: 0 });
    }
}

/// Opens the question before an action, with the harmless answer selected.
pub(super) fn ask(model: &mut Model, action: Action) -> Vec<Effect> {
    if model.setting.read_only {
        model.say("read-only: nothing is changed from here", Tone::Warning);
        return Vec::new();
    }
    let dialog = Dialog {
        action: action.clone(),
        focus: Focus::Cancel,
        typed: String::new(),
        reason: action.reason.to_owned(),
        rehearsal: None,
    };
    model.overlays.push(Overlay::Dialog(Box::new(dialog)));
    if action.can_rehearse { vec![Effect::Rehearse(action)] } else { Vec::new() }
}
