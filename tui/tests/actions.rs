//! The actions in every view: the dialog shows the command that is run, the harmless answer has the keys, and
//! an action that may do harm needs a typed text.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use crate::support::{Names, THEME, at, model, overview, press, reports, showing};
use recovery_tui::action::{Action, Weight};
use recovery_tui::key::Key;
use recovery_tui::message::{Answer, Effect, Message};
use recovery_tui::panel::overview::Overview;
use recovery_tui::{Model, View, picture, text_of, update};

/// Every view with lines of all kinds.
fn all_views() -> Vec<Model> {
    let with = |overview: Overview| {
        let mut model = model(View::Overview);
        update(&mut model, Message::Answer(Answer::Overview(Arc::new(overview))));
        model
    };
    let lists = View::ALL.iter().copied().skip(1);
    // Five startups are a crash loop.
    let lists = lists.map(|view| showing(view, reports::list(view, Names::Plain, 5)));
    [with(overview::degraded()), with(overview::running())].into_iter().chain(lists).collect()
}

/// A question for each line and each thing that can be done about it.
static QUESTIONS: LazyLock<Vec<Model>> = LazyLock::new(questions);

fn questions() -> Vec<Model> {
    let mut all = Vec::new();
    for view in all_views() {
        let (_, lines) = view.selection();
        for line in 0..lines {
            let mut last = None;
            for choice in 0.. {
                let mut model = view.clone();
                press(&mut model, &[Key::Home]);
                press(&mut model, &vec![Key::Down; line]);
                press(&mut model, &[Key::Char('a')]);
                press(&mut model, &vec![Key::Down; choice]);
                press(&mut model, &[Key::Enter]);
                let action = model.dialog().map(|dialog| dialog.action().clone());
                // After the last one, it stays on the last one.
                if action.is_none() || action == last {
                    break;
                }
                last = action;
                all.push(model);
            }
        }
    }
    all
}

fn action(model: &Model) -> Action {
    model.dialog().unwrap().action().clone()
}

/// Returns the text without the signs between its pieces, when it is broken to fit into a box.
fn joined(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != '│').collect()
}

#[test]
fn all_of_them_can_be_found() {
    let verbs: BTreeSet<&str> = QUESTIONS.iter().map(|model| action(model).verb).collect();
    let wanted = [
        "Skip",
        "Retry",
        "Resume",
        "Release",
        "Release by force",
        "Cancel job",
        "Clean up",
        "Run",
        "Scan",
        "Remove",
        "Replay",
        "Give up",
        "Recover",
        "Clear",
    ];
    for verb in wanted {
        assert!(verbs.contains(verb), "{verb} is offered nowhere: {verbs:?}");
    }
}

#[test]
fn the_question_shows_the_command_and_its_buttons() {
    for model in QUESTIONS.iter() {
        let command = action(model).command_line("recoveryctl");
        for (columns, rows) in [(80, 24), (120, 40)] {
            let text = text_of(&picture(&at(model, columns, rows), THEME));
            assert!(joined(&text).contains(&joined(&command)), "{command}:\n{text}");
        }
        let low = text_of(&picture(&at(model, 40, 10), THEME));
        assert!(low.contains("[ Cancel ]") && low.contains("recoveryctl"), "{command}:\n{low}");
        if let Weight::Typed(name) = action(model).weight {
            assert!(low.contains(&format!("Type “{name}”")), "{low}");
        }
    }
}

#[test]
fn enter_alone_changes_nothing_and_the_button_does_what_was_asked() {
    for model in QUESTIONS.iter() {
        let asked = action(model);
        let mut cancelled = model.clone();
        assert!(update(&mut cancelled, Message::Key(Key::Enter)).is_empty());
        assert!(cancelled.dialog().is_none(), "the question is over: {asked:?}");
        let mut confirmed = model.clone();
        press(&mut confirmed, &[Key::Tab]);
        if let Weight::Typed(name) = &asked.weight {
            assert!(update(&mut confirmed, Message::Key(Key::Enter)).is_empty(), "{asked:?}");
            // From the button to the name.
            press(&mut confirmed, &[Key::Tab]);
            press(&mut confirmed, &name.chars().map(Key::Char).collect::<Vec<_>>());
            press(&mut confirmed, &[Key::Tab, Key::Tab, Key::Tab]);
        }
        let done = update(&mut confirmed, Message::Key(Key::Enter));
        assert_eq!(done, [Effect::Act(asked, None)]);
    }
}

#[test]
fn what_may_break_something_for_others_wants_a_text_typed() {
    for model in QUESTIONS.iter() {
        let Action { weight, words, .. } = action(model);
        let is_discard = words.starts_with(&["webhooks".to_owned(), "discard".to_owned()]);
        let is_severe = is_discard || words.contains(&"--force".to_owned());
        assert_eq!(matches!(weight, Weight::Typed(_)), is_severe, "{words:?}");
    }
}
