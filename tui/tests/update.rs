//! The update, with keys and messages in any order: it never panics, the selected line exists, and nothing is
//! done that was not confirmed.

use crate::support;
use recovery::queue::JobStatus;
use std::sync::Arc;

use crate::support::{NOW, Names, model, overview, reports, showing};
use proptest::prelude::*;
use recovery_tui::action::{Action, Weight};
use recovery_tui::key::{BINDINGS, Command, Key};
use recovery_tui::listing::Object;
use recovery_tui::message::{Answer, Ask, Effect, Message, Ran};
use recovery_tui::panel::job::Output;
use recovery_tui::view::Theme;
use recovery_tui::{Model, Trouble, View, picture, text_of, update};

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        4 => prop::sample::select("jkgGsSrp/:?aowxmqhln 123456789\u{e9}\u{9b}".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        2 => prop::sample::select(vec![
            Key::Up, Key::Down, Key::Left, Key::Right, Key::Home, Key::End, Key::PageUp, Key::PageDown,
            Key::Backspace, Key::BackTab, Key::Control('b'), Key::Control('f'), Key::Control('u'), Key::Control('w'),
        ]),
        // What a question needs comes often.
        5 => prop::sample::select(vec![Key::Tab, Key::Enter, Key::Enter, Key::Escape, Key::Char('a')]),
        1 => any::<char>().prop_map(Key::Char),
    ]
}

fn view() -> impl Strategy<Value = View> {
    prop::sample::select(View::ALL.to_vec())
}

fn names() -> impl Strategy<Value = Names> {
    prop::sample::select(vec![Names::Plain, Names::Hostile])
}

fn answer() -> impl Strategy<Value = Answer> {
    let list = (view().prop_filter("a list", |v| *v != View::Overview), names(), 0..30usize)
        .prop_map(|(view, names, count)| Answer::List(view, reports::list(view, names, count)));
    let whole = (0..5usize).prop_map(|which| {
        Answer::Overview(Arc::new(match which {
            0 => overview::empty(),
            1 => overview::healthy(),
            2 => overview::degraded(),
            3 => overview::running(),
            _ => overview::hostile(7),
        }))
    });
    let output = ("[a-c]", ".{0,80}").prop_map(|(id, text)| {
        let output = Output { job_id: id.clone(), attempt: 1, status: JobStatus::Running, bytes: 9, text };
        Answer::Object(Object::Output(id), Arc::new(output))
    });
    prop_oneof![4 => list, 3 => whole, 1 => output, 1 => Just(Answer::Progress(None))]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        20 => key().prop_map(Message::Key),
        4 => answer().prop_map(Message::Answer),
        1 => (1..200u16, 1..60u16).prop_map(|(columns, rows)| Message::Size(columns, rows)),
        1 => ".{0,40}".prop_map(Message::Paste),
        1 => any::<bool>().prop_map(Message::Wheel),
        1 => (0..60u16).prop_map(Message::Click),
        1 => (0..100_000i64).prop_map(|ms| Message::Time(NOW.plus_millis(ms))),
        1 => view().prop_map(|view| Message::Trouble(Ask::List(view), "no".into())),
        1 => view().prop_map(|view| {
            Message::Trouble(Ask::List(view), Trouble::Unreachable("gone".into()))
        }),
        1 => (0..20i32).prop_map(|status| {
            Message::Acted(Action::recover(), Ran { status, text: "said\nmore".into() })
        }),
    ]
}

/// Checks what must hold after every message, by the model before it.
fn check(before: &Model, message: &Message, effects: &[Effect], after: &Model) {
    let (selected, shown) = after.selection();
    assert!(selected < shown || (selected, shown) == (0, 0), "line {selected} of {shown} is selected");
    assert_eq!(after.selected_key().is_some(), shown > 0);
    for effect in effects {
        let Effect::Act(action, _) = effect else { continue };
        let dialog = before.dialog().expect("nothing is done without a question");
        assert!(
            matches!(message, Message::Key(Key::Enter)),
            "only Enter does it: {message_key:?}",
            message_key = key_of(message)
        );
        assert!(dialog.is_about_to_act(), "the button had the keys, and the name was typed");
        assert_eq!(dialog.action(), action, "what was asked about is done");
    }
    // Every job can have something done about it: whatever the filter shows, the keys find it.
    if after.view() == View::Jobs && after.depth() == 0 {
        let mut pressed = after.clone();
        update(&mut pressed, Message::Key(Key::Char('a')));
        assert_eq!(pressed.depth(), usize::from(shown > 0 || has_marks(after)), "{shown} jobs are shown");
    }
    // A question opens with the harmless answer: Enter alone does nothing.
    if let (None, Some(opened)) = (before.dialog(), after.dialog()) {
        assert!(!opened.is_about_to_act());
        let mut pressed = after.clone();
        let done = update(&mut pressed, Message::Key(Key::Enter));
        assert!(!done.iter().any(|e| matches!(e, Effect::Act(..))));
    }
}

fn has_marks(model: &Model) -> bool {
    text_of(&picture(model, Theme { colors: false, ascii: false })).contains(" marked")
}

fn key_of(message: &Message) -> Option<Key> {
    match message {
        Message::Key(key) => Some(*key),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_keys_and_messages(view in view(), messages in prop::collection::vec(message(), 0..120)) {
        let mut model = model(view);
        for message in messages {
            let before = model.clone();
            let effects = update(&mut model, message.clone());
            check(&before, &message, &effects, &model);
        }
        // Every result can be drawn.
        drop(picture(&model, Theme { colors: true, ascii: false }));
    }

    #[test]
    fn nothing_is_done_when_only_looking(messages in prop::collection::vec(message(), 0..120)) {
        let mut setting = support::setting();
        setting.read_only = true;
        let mut model = Model::new(setting, View::Jobs, (80, 24), NOW);
        update(&mut model, Message::Answer(Answer::List(View::Jobs, reports::list(View::Jobs, Names::Plain, 9))));
        for message in messages {
            let effects = update(&mut model, message);
            prop_assert!(!effects.iter().any(|e| matches!(e, Effect::Act(..) | Effect::Rehearse(_))));
            prop_assert!(model.dialog().is_none());
        }
    }
}

fn press(model: &mut Model, keys: impl IntoIterator<Item = Key>) -> Vec<Effect> {
    keys.into_iter().flat_map(|key| update(model, Message::Key(key))).collect()
}

fn typed(text: &str) -> impl Iterator<Item = Key> + '_ {
    text.chars().map(Key::Char)
}

#[test]
fn a_crashed_job_is_resumed_after_its_question() {
    let mut model = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 7));
    let asked = press(&mut model, [Key::Down, Key::Down, Key::Char('a'), Key::Enter]);
    let resume = Action::resume(&["nightly".to_owned()]);
    assert_eq!(asked, [Effect::Rehearse(resume.clone())]);
    assert!(press(&mut model, [Key::Enter]).is_empty(), "the harmless answer had the keys");
    assert_eq!(model.depth(), 0);
    press(&mut model, [Key::Char('a'), Key::Enter, Key::BackTab]);
    press(&mut model, typed("disk is back"));
    let done = press(&mut model, [Key::Tab, Key::Tab, Key::Enter]);
    assert_eq!(done, [Effect::Act(resume, Some("disk is back".to_owned()))]);
}

#[test]
fn a_menu_without_a_line_says_why_there_is_none() {
    let said = |model: &Model| text_of(&picture(model, Theme { colors: false, ascii: false }));
    let mut model = model(View::Jobs);
    press(&mut model, [Key::Char('a')]);
    assert!(said(&model).contains("still being read"), "{}", said(&model));
    let list = reports::list(View::Jobs, Names::Plain, 7);
    update(&mut model, Message::Answer(Answer::List(View::Jobs, list)));
    press(&mut model, [Key::Down, Key::Down, Key::Char('/')]);
    press(&mut model, typed("deploy"));
    // What was chosen is not shown any more: the first line that is shown is meant.
    press(&mut model, [Key::Enter, Key::Char('a')]);
    assert!(said(&model).contains("Cancel job deploy"), "{}", said(&model));
    press(&mut model, [Key::Escape, Key::Char('/')]);
    press(&mut model, typed("nothing of this name"));
    press(&mut model, [Key::Enter, Key::Char('a')]);
    assert!(said(&model).contains("Esc shows all") && model.depth() == 0, "{}", said(&model));
}

#[test]
fn force_wants_the_name_typed() {
    let mut model = showing(View::Locks, reports::list(View::Locks, Names::Plain, 1));
    press(&mut model, [Key::Char('a'), Key::Enter]);
    let action = model.dialog().unwrap().action().clone();
    assert_eq!(action.weight, Weight::Typed("build".to_owned()));
    assert_eq!(action.words, ["release", "--id", "0195-0", "--force", "build"]);
    // From the harmless answer on the button: nothing is typed.
    assert!(press(&mut model, [Key::Tab, Key::Enter]).is_empty());
    press(&mut model, [Key::Tab]);
    press(&mut model, typed("buil"));
    assert!(press(&mut model, [Key::Tab, Key::Tab, Key::Tab, Key::Enter]).is_empty(), "not the whole name");
    press(&mut model, [Key::Tab]);
    press(&mut model, typed("d"));
    let done = press(&mut model, [Key::Tab, Key::Tab, Key::Tab, Key::Enter]);
    assert_eq!(done, [Effect::Act(action, None)]);
}

#[test]
fn the_next_step_of_the_overview_is_asked_about() {
    let mut model = model(View::Overview);
    update(&mut model, Message::Answer(Answer::Overview(Arc::new(overview::degraded()))));
    press(&mut model, [Key::Char('x')]);
    assert_eq!(
        model.wanted()[0],
        Ask::Object(Object::Why("lock:web".to_owned())),
        "it is something to look at"
    );
    press(&mut model, [Key::Escape, Key::Char(':')]);
    press(&mut model, typed("resume nightly"));
    press(&mut model, [Key::Enter]);
    assert_eq!(model.dialog().unwrap().action(), &Action::resume(&["nightly".to_owned()]));
}

#[test]
fn the_selection_stays_with_what_is_selected() {
    let mut model = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 50));
    press(&mut model, [Key::Down, Key::Down, Key::Down]);
    let chosen = model.selected_key();
    press(&mut model, [Key::Char('s'), Key::Char('S')]);
    assert_eq!(model.selected_key(), chosen, "sorted");
    update(
        &mut model,
        Message::Answer(Answer::List(View::Jobs, reports::list(View::Jobs, Names::Plain, 99_000))),
    );
    assert_eq!(model.selected_key(), chosen, "more lines came");
    update(&mut model, Message::Answer(Answer::List(View::Jobs, reports::list(View::Jobs, Names::Plain, 2))));
    assert!(model.selected_key().is_some(), "it is gone");
}

#[test]
fn escape_goes_one_level_back_and_never_quits() {
    let mut model = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 7));
    press(&mut model, [Key::Enter, Key::Char('?')]);
    assert_eq!(model.depth(), 2);
    for depth in [1, 0, 0, 0] {
        assert!(press(&mut model, [Key::Escape]).is_empty());
        assert_eq!(model.depth(), depth);
    }
    assert_eq!(press(&mut model, [Key::Char('q')]), [Effect::Quit]);
}

#[test]
fn what_is_read_is_what_is_on_the_screen() {
    let mut model = model(View::Jobs);
    assert_eq!(model.wanted(), [Ask::List(View::Jobs), Ask::Overview]);
    update(&mut model, Message::Answer(Answer::Overview(Arc::new(overview::running()))));
    assert!(model.wanted().contains(&Ask::Progress), "a recovery is watched closely");
    press(&mut model, [Key::Char('p')]);
    assert!(model.wanted().is_empty(), "paused");
    assert_eq!(press(&mut model, [Key::Char('p')]), [Effect::Refresh]);
}

/// Each key of the table, pressed on a list of fifty lines.
#[test]
fn every_key_of_the_table_does_what_it_says() {
    let list = || {
        let mut model = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 50));
        press(&mut model, [Key::Home, Key::Down]);
        model
    };
    let text = |model: &Model| text_of(&picture(model, Theme { colors: false, ascii: false }));
    for (key, command) in BINDINGS.iter().flat_map(|binding| binding.keys) {
        let mut model = list();
        let effects = update(&mut model, Message::Key(*key));
        let (line, _) = model.selection();
        let top = model.wanted().into_iter().next().unwrap_or(Ask::Progress);
        let is_so = match command {
            Command::Down => line == 2,
            Command::Up | Command::Top => line == 0,
            Command::Bottom => line == 49,
            Command::PageDown => (10..30).contains(&line),
            Command::PageUp => line == 0,
            Command::NextView => model.view() == View::Locks,
            Command::PreviousView => model.view() == View::Queue,
            Command::View(number) => model.view() == View::ALL[*number],
            Command::Open => top == Ask::Object(Object::Job("deploy".into())),
            Command::Why => top == Ask::Object(Object::Why("job:deploy".into())),
            Command::Output => top == Ask::Object(Object::Output("deploy".into())),
            Command::Back => text(&model).contains("q quits") && model.depth() == 0,
            Command::Actions => text(&model).contains("Cancel job deploy"),
            Command::Next => text(&model).contains("there is nothing to be done"),
            Command::Mark => text(&model).contains("1 marked") && line == 2,
            Command::Filter => text(&model).lines().last() == Some("/"),
            Command::CommandLine => text(&model).lines().last() == Some(":"),
            Command::Sort | Command::Reverse => text(&model).contains("sorted by job"),
            Command::Refresh => effects == [Effect::Refresh],
            Command::Pause => text(&model).contains("PAUSED"),
            Command::Mouse => effects == [Effect::Mouse(true)],
            Command::Help => text(&model).contains("select the line below, above"),
            Command::Quit => effects == [Effect::Quit],
        };
        assert!(is_so, "{key:?}: {command:?}:\n{}", text(&model));
    }
}
