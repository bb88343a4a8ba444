//! Applies a message: returns the changed model, and effects. The function is pure: the same model and
//! message give the same model and effects, and nothing else happens here.
//!
//! Every change outside of the dashboard is an [`Effect::Act`], which comes from one place only: Enter on the
//! button of an open dialog (`dialog.rs`).

mod answers;
mod dialog;
mod list;
mod navigation;
mod page;
mod prompt;

use self::navigation::{ask, back, help, open_menu, open_object, open_or_say, quit, switch};
use crate::action::Action;
use crate::key::{Command, Key, command};
use crate::listing::{Open, Tone};
use crate::message::{Effect, Message, Ran};
use crate::model::{Model, Overlay, PageState, Prompt, PromptKind};
use crate::views::View;

pub fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => {
            model.notice = None;
            pressed(model, key)
        }
        Message::Paste(text) => {
            prompt::paste(model, &text);
            Vec::new()
        }
        Message::Wheel(up) => obey(model, if up { Command::Up } else { Command::Down }),
        Message::Click(line) => {
            list::click(model, line);
            Vec::new()
        }
        Message::Size(columns, rows) => {
            model.size = (columns, rows);
            list::keep_in_sight(model);
            Vec::new()
        }
        Message::Time(now) => {
            model.now = now;
            Vec::new()
        }
        Message::Answer(answer) => answers::answered(model, answer),
        Message::Trouble(ask, why) => answers::trouble(model, &ask, why),
        Message::Rehearsed(words, ran) => {
            dialog::rehearsed(model, &words, &ran);
            Vec::new()
        }
        Message::Acted(action, ran) => acted(model, &action, &ran),
        Message::RecoveryGone | Message::Lost => vec![Effect::Quit],
    }
}

fn pressed(model: &mut Model, key: Key) -> Vec<Effect> {
    match model.overlays.last() {
        Some(Overlay::Dialog(_)) => return dialog::pressed(model, key),
        Some(Overlay::Prompt(_)) => return prompt::pressed(model, key),
        _ => {}
    }
    command(key).map_or_else(Vec::new, |command| obey(model, command))
}

fn obey(model: &mut Model, command: Command) -> Vec<Effect> {
    match command {
        Command::Quit => return quit(model),
        Command::Back => back(model),
        Command::Help => help(model),
        Command::Refresh => {
            model.is_paused = false;
            return vec![Effect::Refresh];
        }
        Command::Pause => {
            model.is_paused = !model.is_paused;
            return if model.is_paused { Vec::new() } else { vec![Effect::Refresh] };
        }
        Command::Mouse => {
            model.has_mouse = !model.has_mouse;
            let word = if model.has_mouse { "on: Shift selects text" } else { "off" };
            model.say(format!("mouse {word}"), Tone::Plain);
            return vec![Effect::Mouse(model.has_mouse)];
        }
        Command::CommandLine => {
            model.overlays.push(Overlay::Prompt(Prompt { kind: PromptKind::Command, text: String::new() }));
        }
        Command::NextView => switch(model, (model.view.number() + 1) % View::ALL.len()),
        Command::PreviousView => {
            switch(model, (model.view.number() + View::ALL.len() - 1) % View::ALL.len());
        }
        Command::View(number) => switch(model, number),
        other => {
            return match model.overlays.last() {
                Some(Overlay::Menu { .. }) => menu(model, other),
                Some(Overlay::Page(_) | Overlay::Help { .. }) => page::obey(model, other),
                _ => of_view(model, other),
            };
        }
    }
    Vec::new()
}

fn of_view(model: &mut Model, command: Command) -> Vec<Effect> {
    match command {
        Command::Open => {
            let list = model.list();
            let open = list.row().and_then(|row| list.data.as_ref()?.open(row));
            match open {
                Some(Open::Object(object)) => open_object(model, object),
                Some(Open::Document(document)) => {
                    let page = PageState { object: None, document: Some(document), trouble: None, top: None };
                    model.overlays.push(Overlay::Page(page));
                }
                None => {}
            }
        }
        Command::Why => {
            let list = model.list();
            let object = list.row().and_then(|row| list.data.as_ref()?.why(row));
            open_or_say(model, object, "there is no evidence to show for this line");
        }
        Command::Output => {
            let list = model.list();
            let object = list.row().and_then(|row| list.data.as_ref()?.output(row));
            open_or_say(model, object, "this line is about no job");
        }
        Command::Actions => {
            let list = model.list();
            let rows = list.meant();
            match &list.data {
                None => model.say("this is still being read", Tone::Quiet),
                Some(data) if rows.is_empty() && !data.is_empty() => {
                    let text = format!("no line has “{}” in it: Esc shows all", list.filter);
                    model.say(text, Tone::Warning);
                }
                Some(data) => {
                    let actions = data.actions(&rows);
                    open_menu(model, actions);
                }
            }
        }
        Command::Next => return prompt::next_step(model),
        Command::Filter => {
            let text = model.list().filter.clone();
            model.overlays.push(Overlay::Prompt(Prompt { kind: PromptKind::Filter, text }));
        }
        other => list::obey(model, other),
    }
    Vec::new()
}

fn menu(model: &mut Model, command: Command) -> Vec<Effect> {
    let Some(Overlay::Menu { actions, selected }) = model.overlays.last_mut() else { return Vec::new() };
    let last = actions.len().saturating_sub(1);
    match command {
        Command::Up => *selected = selected.saturating_sub(1),
        Command::Down => *selected = (*selected + 1).min(last),
        Command::Top | Command::PageUp => *selected = 0,
        Command::Bottom | Command::PageDown => *selected = last,
        Command::Open => {
            let action = actions.get(*selected).cloned();
            model.overlays.pop();
            return action.map_or_else(Vec::new, |action| ask(model, action));
        }
        _ => {}
    }
    Vec::new()
}

fn acted(model: &mut Model, action: &Action, ran: &Ran) -> Vec<Effect> {
    if let Some(at) = model.at_work.iter().position(|a| a == action) {
        model.at_work.remove(at);
    }
    let mut lines = ran.text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("done").to_owned();
    match ran.status {
        0 => model.say(first, Tone::Good),
        3 => model.say(first, Tone::Warning),
        status => {
            model.say(format!("{first} (exit status {status})"), Tone::Bad);
            page::told(model, action, ran);
        }
    }
    vec![Effect::Refresh]
}
