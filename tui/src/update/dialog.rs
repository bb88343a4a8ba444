//! The dialog before an action. The harmless answer has the focus when it opens; an action that may do harm
//! requires its name to be typed; and only Enter on the button does it.

use crate::action::Weight;
use crate::key::Key;
use crate::listing::Tone;
use crate::message::{Effect, Ran};
use crate::model::{Dialog, Focus, Model, Overlay};

/// The longest text that is taken.
const LONGEST: usize = 400;

pub(super) fn pressed(model: &mut Model, key: Key) -> Vec<Effect> {
    let Some(Overlay::Dialog(dialog)) = model.overlays.last_mut() else { return Vec::new() };
    match (key, dialog.focus) {
        (Key::Escape, _)
        | (Key::Enter, Focus::Cancel)
        | (Key::Char('n' | 'q'), Focus::Cancel | Focus::Do) => {
            model.overlays.pop();
        }
        (Key::Control('c'), _) => {
            model.overlays.pop();
        }
        (Key::Enter, Focus::Do) => return carry_out(model),
        (Key::Enter | Key::Tab | Key::Down, _) => dialog.focus = next(dialog),
        (Key::BackTab | Key::Up, _) => dialog.focus = previous(dialog),
        (Key::Left | Key::Right | Key::Char('h' | 'l'), Focus::Cancel | Focus::Do) => {
            dialog.focus = if dialog.focus == Focus::Cancel { Focus::Do } else { Focus::Cancel };
        }
        (key, Focus::Name | Focus::Reason) => edit(field(dialog), key),
        _ => {}
    }
    Vec::new()
}

/// Inserts pasted text, where text can be typed.
pub(super) fn paste(dialog: &mut Dialog, text: &str) {
    if matches!(dialog.focus, Focus::Name | Focus::Reason) {
        text.chars().for_each(|c| edit(field(dialog), Key::Char(c)));
    }
}

fn field(dialog: &mut Dialog) -> &mut String {
    match dialog.focus {
        Focus::Name => &mut dialog.typed,
        _ => &mut dialog.reason,
    }
}

pub(super) fn edit(text: &mut String, key: Key) {
    match key {
        Key::Char(c) if !c.is_control() && text.len() + c.len_utf8() <= LONGEST => text.push(c),
        Key::Backspace | Key::Control('h') => drop(text.pop()),
        Key::Control('u') => text.clear(),
        Key::Control('w') => {
            let kept = text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            text.truncate(kept);
        }
        _ => {}
    }
}

/// Returns the parts in the order in which they get the keys: the order of reading.
fn order(dialog: &Dialog) -> &'static [Focus] {
    match dialog.action.weight {
        Weight::Confirmed => &[Focus::Reason, Focus::Cancel, Focus::Do],
        Weight::Typed(_) => &[Focus::Name, Focus::Reason, Focus::Cancel, Focus::Do],
    }
}

fn next(dialog: &Dialog) -> Focus {
    beside(dialog, 1)
}

fn previous(dialog: &Dialog) -> Focus {
    beside(dialog, order(dialog).len() - 1)
}

fn beside(dialog: &Dialog, step: usize) -> Focus {
    let order = order(dialog);
    let at = order.iter().position(|focus| *focus == dialog.focus).unwrap_or(0);
    order[(at + step) % order.len()]
}

fn carry_out(model: &mut Model) -> Vec<Effect> {
    let Some(Overlay::Dialog(dialog)) = model.overlays.last() else { return Vec::new() };
    if !dialog.is_named() {
        model.say("type the name first", Tone::Warning);
        return Vec::new();
    }
    let (action, reason) = (dialog.action.clone(), dialog.reason.trim().to_owned());
    model.overlays.pop();
    model.list_mut().marks.clear();
    model.at_work.push(action.clone());
    vec![Effect::Act(action, (!reason.is_empty()).then_some(reason))]
}

/// The result of the rehearsal, if the dialog is still open.
pub(super) fn rehearsed(model: &mut Model, words: &[String], ran: &Ran) {
    for overlay in &mut model.overlays {
        if let Overlay::Dialog(dialog) = overlay
            && dialog.action.words == words
        {
            dialog.rehearsal = Some(ran.clone());
        }
    }
}
