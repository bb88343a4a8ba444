//! The views at fixed sizes, compared with the pictures in `tests/snapshots/`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p recovery-tui` writes them anew; look at what changed.

use crate::support;
use recovery::queue::JobStatus;
use std::sync::Arc;

use crate::support::{
    Names, THEME, at, compare, compare_all, lines, model, overview, press, reports, showing,
};
use ratatui::style::Color;
use recovery::findings::Severity;
use recovery::recovery::{PhaseStatus, RecoveryOutcome, Snapshot};
use recovery::system::Host;
use recovery_tui::action::Action;
use recovery_tui::key::{BINDINGS, Key};
use recovery_tui::listing::Object;
use recovery_tui::message::{Answer, Ask, Message, Ran};
use recovery_tui::panel::job::Output;
use recovery_tui::view::Theme;
use recovery_tui::{Model, Trouble, View, picture, text_of, update};

fn with(overview: overview_type::Overview) -> Model {
    let mut model = model(View::Overview);
    update(&mut model, Message::Answer(Answer::Overview(Arc::new(overview))));
    model
}

mod overview_type {
    pub(crate) use recovery_tui::panel::overview::Overview;
}

#[test]
fn overviews() {
    let mut reading = Model::new(support::setting(), View::Overview, (80, 24), support::NOW);
    compare_all("overview-reading", &reading);
    update(
        &mut reading,
        Message::Trouble(Ask::Overview, "cannot open /var/lib/recoveryctl/queue: Input/output error".into()),
    );
    compare_all("overview-trouble", &reading);
    compare_all("overview-empty", &with(overview::empty()));
    compare_all("overview-healthy", &with(overview::healthy()));
    compare_all("overview-degraded", &with(overview::degraded()));
    compare_all("overview-running", &with(overview::running()));
    compare_all("overview-hostile", &with(overview::hostile(100_000)));
}

/// What a recovery came to is shown as soon as it is over, also while what was read of the state is from before.
#[test]
fn what_a_recovery_found_is_shown_when_it_is_over() {
    let mut jobs = overview::phase("jobs", &[], "jobs", PhaseStatus::Succeeded);
    jobs.findings.push(overview::finding(Severity::Warning, "job:migrate-db", "its processes vanished"));
    let over = Snapshot {
        recovery_id: uuid::Uuid::nil(),
        outcome: RecoveryOutcome::Completed,
        purpose: "demo".to_owned(),
        started_at: support::before(500),
        ended_at: Some(support::NOW),
        duration_ms: 500,
        phases_done: 1,
        phases_total: 1,
        pid: 10,
        process_start_time: 20,
        host: Host::this(),
        phases: vec![jobs],
        findings: Vec::new(),
        only: Vec::new(),
    };
    for before in [overview::empty(), overview::healthy(), overview::running()] {
        let mut model = with(before);
        update(&mut model, Message::Answer(Answer::Progress(Some(Arc::new(over.clone())))));
        let shown = text_of(&picture(&model, THEME));
        assert!(shown.contains("completed by demo") && shown.contains("job:migrate-db"), "{shown}");
    }
}

#[test]
fn lists() {
    for view in View::ALL.iter().copied().skip(1) {
        let name = view.title().to_lowercase();
        compare_all(&format!("{name}-reading"), &model(view));
        compare_all(&format!("{name}-empty"), &showing(view, reports::list(view, Names::Plain, 0)));
        compare_all(&format!("{name}-typical"), &showing(view, reports::list(view, Names::Plain, 7)));
        compare_all(&format!("{name}-hostile"), &showing(view, reports::list(view, Names::Hostile, 6)));
        let mut degraded = showing(view, reports::list(view, Names::Plain, 5));
        update(&mut degraded, Message::Trouble(Ask::List(view), "the disk does not answer".into()));
        compare_all(&format!("{name}-degraded"), &degraded);
        let mut many = showing(view, reports::list(view, Names::Plain, 100_000));
        press(&mut many, &[Key::Char('G')]);
        compare_all(&format!("{name}-100000"), &many);
    }
}

#[test]
fn levels_above_the_views() {
    let mut help = model(View::Jobs);
    press(&mut help, &[Key::Char('?')]);
    compare_all("help", &help);
    let mut menu = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 7));
    press(&mut menu, &[Key::Down, Key::Down, Key::Char('a')]);
    compare_all("menu", &menu);
    press(&mut menu, &[Key::Enter]);
    compare_all("dialog", &menu);
    let words = menu.dialog().unwrap().action().words.clone();
    let text = "would be queued again, attempt 2, from its checkpoint\n".to_owned();
    update(&mut menu, Message::Rehearsed(words, Ran { status: 0, text }));
    compare_all("dialog-rehearsed", &menu);
    let mut severe = showing(View::Locks, reports::list(View::Locks, Names::Hostile, 6));
    press(&mut severe, &[Key::Char('a'), Key::Enter]);
    compare_all("dialog-severe", &severe);
    let mut filter = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 70));
    press(&mut filter, &[Key::Char('/'), Key::Char('w'), Key::Char('e'), Key::Char('b')]);
    compare_all("filter", &filter);
    press(&mut filter, &[Key::Enter, Key::Char(' '), Key::Char(' '), Key::Char('s')]);
    compare_all("filter-marks-sort", &filter);
}

#[test]
fn pages() {
    let mut page = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 7));
    press(&mut page, &[Key::Char('o')]);
    compare_all("page-reading", &page);
    let object = Object::Output("build".into());
    let text = (0..200).map(|n| format!("line {n} \x1b[31mred\x1b[0m\tend {}\n", "x".repeat(n))).collect();
    let output =
        Output { job_id: "build".into(), attempt: 1, status: JobStatus::Running, bytes: 90_000, text };
    update(&mut page, Message::Answer(Answer::Object(object, Arc::new(output))));
    compare_all("page-output", &page);
    press(&mut page, &[Key::Char('g')]);
    compare_all("page-output-begin", &page);
    let mut failed = model(View::Jobs);
    let ran =
        Ran { status: 11, text: "error: it is held\x1b[2J\nhint: recoveryctl locks inspect web\n".into() };
    update(&mut failed, Message::Acted(Action::release("web", Some("7"), false), ran));
    compare_all("page-failed", &failed);
    let mut finding = with(overview::degraded());
    press(&mut finding, &[Key::Enter]);
    compare_all("page-finding", &finding);
}

#[test]
fn nobody_answers() {
    let why = "the daemon at http://db-7:9797 cannot be asked: Connection refused (os error 111)";
    let lose = |model: &mut Model, ask: Ask| {
        update(model, Message::Time(support::NOW.plus_millis(12_000)));
        update(model, Message::Trouble(ask, Trouble::Unreachable(why.into())));
    };
    let mut setting = support::setting();
    setting.source = "http://db-7:9797".to_owned();
    let mut never = Model::new(setting, View::Overview, (80, 24), support::NOW);
    lose(&mut never, Ask::Overview);
    compare_all("lost-never-answered", &never);
    let mut overview = with(overview::degraded());
    lose(&mut overview, Ask::Overview);
    compare_all("lost-overview", &overview);
    let mut jobs = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 7));
    lose(&mut jobs, Ask::List(View::Jobs));
    compare_all("lost-jobs", &jobs);
    press(&mut jobs, &[Key::Char('2')]);
    compare_all("lost-not-read", &jobs);
    // It comes back by itself, and then nothing is old.
    update(&mut jobs, Message::Answer(Answer::Overview(Arc::new(overview::healthy()))));
    press(&mut jobs, &[Key::Char('3')]);
    let text = text_of(&picture(&jobs, THEME));
    assert!(text.starts_with("HEALTHY") && !text.contains("old"), "{text}");
}

/// Everything there is to draw, in all states.
fn everything() -> Vec<Model> {
    let mut all = vec![
        with(overview::empty()),
        with(overview::degraded()),
        with(overview::running()),
        with(overview::hostile(40)),
    ];
    for view in View::ALL.iter().copied().skip(1) {
        for keys in [
            &[][..],
            &[Key::Enter],
            &[Key::Char('a')],
            &[Key::Char('a'), Key::Enter],
            &[Key::Char('/'), Key::Char('\u{9b}'), Key::Char('e')],
            &[Key::Char(' '), Key::Char(' '), Key::Char('S')],
        ] {
            let mut model = showing(view, reports::list(view, Names::Hostile, 6));
            press(&mut model, keys);
            all.push(model);
        }
    }
    all
}

/// Where there is no line above the list, the bottom line shows the most important part of it.
#[test]
fn a_low_terminal_says_why_a_list_is_old_and_what_narrows_it() {
    let mut jobs = showing(View::Jobs, reports::list(View::Jobs, Names::Plain, 50));
    press(&mut jobs, &[Key::Char('/'), Key::Char('w'), Key::Char('e'), Key::Char('b'), Key::Enter]);
    press(&mut jobs, &[Key::Char(' ')]);
    for (columns, rows) in [(40, 10), (60, 13)] {
        let text = text_of(&picture(&at(&jobs, columns, rows), THEME));
        assert!(text.contains("“web”: ") && text.contains("1 marked"), "{text}");
    }
    update(&mut jobs, Message::Trouble(Ask::List(View::Jobs), "the disk does not answer".into()));
    let text = text_of(&picture(&at(&jobs, 40, 10), THEME));
    assert!(text.contains("not read: the disk does not answer"), "{text}");
}

#[test]
fn the_help_is_made_of_the_key_table() {
    let mut help = at(&model(View::Jobs), 120, 60);
    press(&mut help, &[Key::Char('?')]);
    let text = text_of(&picture(&help, THEME));
    for binding in BINDINGS {
        assert!(text.contains(binding.shown) && text.contains(binding.what), "{binding:?}:\n{text}");
    }
}

#[test]
fn no_size_breaks_it_and_nothing_raw_gets_through() {
    for model in everything() {
        for (columns, rows) in
            [(1, 1), (10, 3), (24, 5), (25, 6), (40, 10), (57, 13), (58, 14), (80, 24), (200, 60)]
        {
            let buffer = picture(&at(&model, columns, rows), THEME);
            let dangerous =
                |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let raw = buffer.content.iter().find(|cell| cell.symbol().chars().any(dangerous));
            assert!(raw.is_none(), "{columns}×{rows}: {raw:?}");
        }
    }
}

#[test]
fn with_ascii_nothing_else_is_sent() {
    for model in everything() {
        let buffer = picture(&at(&model, 80, 24), Theme { colors: true, ascii: true });
        assert!(buffer.content.iter().all(|cell| cell.symbol().is_ascii()));
    }
    let model = with(overview::running());
    compare("overview-ascii", &lines(&picture(&model, Theme { colors: false, ascii: true })));
}

#[test]
fn only_the_sixteen_colours_and_none_when_not_wanted() {
    for model in everything() {
        let colored = picture(&model, THEME);
        let is_own = |c: Color| !matches!(c, Color::Rgb(..) | Color::Indexed(_));
        assert!(colored.content.iter().all(|c| is_own(c.fg) && is_own(c.bg)));
        let plain = picture(&model, Theme { colors: false, ascii: false });
        assert!(plain.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset));
        assert_eq!(lines(&colored), lines(&plain), "colour says nothing that the text does not say");
    }
    let degraded = picture(&with(overview::degraded()), THEME);
    assert!(degraded.content.iter().any(|c| c.fg == Color::Yellow));
}

#[test]
fn at_80_by_24_one_sees_what_is_wrong_and_what_to_press() {
    let text = text_of(&picture(&with(overview::degraded()), THEME));
    for wanted in [
        "DEGRADED",
        "no daemon",
        "cannot be used: lock:web",
        "recoveryctl locks inspect web",
        "press x",
        "✗",
        "failed",
        "2 crashed",
        "job:nightly",
        "1 cleanup parked",
        "6 orphans",
        "? help",
        "q quit",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in sight:\n{text}");
    }
}

#[test]
fn clocks_go_on_while_a_recovery_runs() {
    let mut model = with(overview::running());
    update(&mut model, Message::Time(support::NOW.plus_millis(60_000)));
    assert!(text_of(&picture(&model, THEME)).contains("1 min 2 s"));
}
