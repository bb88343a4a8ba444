//! The view at fixed sizes, compared with the pictures in `tests/snapshots/`.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p recovery-tui` writes them anew; look at what changed.
#![allow(clippy::disallowed_methods)]

use std::path::Path;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;
use recovery::recovery::{DegradedResource, PhaseProgress, PhaseStatus, RecoveryOutcome, Snapshot};
use recovery::report::{Finding, Severity};
use recovery::state::Timestamp;
use recovery::system::Host;
use recovery_tui::view::{Theme, draw};
use recovery_tui::{Ask, Key, Model, final_text};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (40, 10)];

#[test]
fn pictures() {
    let models = [
        ("empty", Model::new()),
        ("running", showing(running())),
        ("degraded", showing(degraded())),
        ("failed", showing(failed())),
        ("hostile", showing(hostile())),
    ];
    for (name, model) in models {
        for (columns, rows) in SIZES {
            compare(&format!("{name}-{columns}x{rows}"), &lines(&buffer(&model, columns, rows, true)));
        }
    }
}

#[test]
fn the_final_picture_is_plain_text() {
    let text = final_text(&showing(failed()), 80);
    compare("final-80", &text);
    assert!(!text.contains('\x1b'));
    let everything = final_text(&showing(hostile()), 80);
    assert!(everything.chars().all(|c| c == '\n' || !c.is_control()), "{everything:?}");
}

#[test]
fn no_size_breaks_it_and_nothing_raw_gets_through() {
    for model in [Model::new(), showing(running()), showing(hostile()), showing(no_phases())] {
        for columns in 1..60 {
            for rows in 1..30 {
                let buffer = buffer(&model, columns, rows, true);
                let raw = buffer.content.iter().find(|c| c.symbol().chars().any(char::is_control));
                assert!(raw.is_none(), "{columns}×{rows}: {raw:?}");
            }
        }
    }
}

#[test]
fn only_the_sixteen_colours_and_none_when_not_wanted() {
    for model in [showing(running()), showing(degraded()), showing(failed())] {
        let colored = buffer(&model, 80, 24, true);
        let is_own = |c: Color| !matches!(c, Color::Rgb(..) | Color::Indexed(_));
        assert!(colored.content.iter().all(|c| is_own(c.fg) && is_own(c.bg)));
        assert!(colored.content.iter().any(|c| c.fg != Color::Reset));
        let plain = buffer(&model, 80, 24, false);
        assert!(plain.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset));
        assert_eq!(lines(&colored), lines(&plain), "colour says nothing that the text does not say");
    }
}

#[test]
fn keys_select_skip_and_end() {
    let mut model = Model::new();
    assert_eq!(model.press(Key::Skip), None, "nothing to skip yet");
    model.show(running());
    assert_eq!(model.selected(), 2, "until the operator selects, it is what runs");
    assert_eq!(model.press(Key::Up), None);
    model.show(running());
    assert_eq!(model.selected(), 1, "the operator selected");
    assert_eq!(model.press(Key::Skip), Some(Ask::Skip("queue".into())));
    (0..20).for_each(|_| drop(model.press(Key::Down)));
    assert_eq!(model.selected(), 4);
    model.show(no_phases());
    assert_eq!((model.selected(), model.press(Key::Skip)), (0, None));
    assert_eq!(model.press(Key::Quit), Some(Ask::Cancel));
    assert_eq!(model.press(Key::Quit), Some(Ask::Leave));
}

#[test]
fn clocks_go_on_between_snapshots_until_the_end() {
    let mut model = showing(running());
    model.set_age(60_000);
    assert!(lines(&buffer(&model, 80, 24, false)).contains("1m 03s"));
    let mut over = showing(failed());
    let before = lines(&buffer(&over, 80, 24, false));
    over.set_age(60_000);
    assert_eq!(lines(&buffer(&over, 80, 24, false)), before);
}

fn showing(snapshot: Snapshot) -> Model {
    let mut model = Model::new();
    model.show(snapshot);
    model
}

fn buffer(model: &Model, columns: u16, rows: u16, colors: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, model, Theme { colors })).unwrap();
    terminal.backend().buffer().clone()
}

/// One line a row, between bars, so that blanks at the end count. The cell behind a wide character is
/// left out.
fn lines(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let (mut x, mut line) = (0, String::new());
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += u16::try_from(ratatui::text::Span::raw(symbol).width()).unwrap().max(1);
        }
        text.push_str(&format!("|{line}|\n"));
    }
    text
}

fn compare(name: &str, picture: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, picture).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == picture, "{name} differs from {}:\nkept\n{kept}\nnow\n{picture}", path.display());
}

fn phase(name: &str, after: &[&str], unit: &str, status: PhaseStatus) -> PhaseProgress {
    let has_begun = !matches!(status, PhaseStatus::Pending | PhaseStatus::Blocked);
    PhaseProgress {
        phase: name.into(),
        depends_on: after.iter().map(|&a| a.into()).collect(),
        critical: matches!(name, "queue" | "jobs"),
        status,
        done: 0,
        total: None,
        unit: unit.into(),
        attempts: u32::from(has_begun),
        started_at: has_begun.then(|| Timestamp::from_millis(1_772_357_400_000)),
        duration_ms: if has_begun { 412 } else { 0 },
        message: None,
        findings: Vec::new(),
        findings_total: 0,
        degraded_resources: Vec::new(),
        remaining_ms: None,
        carried_over: false,
    }
}

fn finding(severity: Severity, object: &str, sentence: &str) -> Finding {
    Finding { code: "code".into(), severity, object: object.into(), sentence: sentence.into(), next: None }
}

fn snapshot(outcome: RecoveryOutcome, phases: Vec<PhaseProgress>) -> Snapshot {
    let host = Host {
        boot_id: "b".into(),
        machine_id: "m".into(),
        host: "batch-1".into(),
        pid_namespace: 4_026_531_836,
    };
    Snapshot {
        recovery_id: "0195a000-0000-7000-8000-000000000000".parse().unwrap(),
        outcome,
        only: Vec::new(),
        purpose: "recover".into(),
        started_at: Timestamp::from_millis(1_772_357_400_000),
        ended_at: None,
        duration_ms: 3_210,
        phases_done: u32::try_from(phases.iter().filter(|p| p.status.is_over()).count()).unwrap(),
        phases_total: u32::try_from(phases.len()).unwrap(),
        pid: 4711,
        process_start_time: 99,
        host,
        phases,
        findings: Vec::new(),
    }
}

fn no_phases() -> Snapshot {
    snapshot(RecoveryOutcome::Running, Vec::new())
}

fn running() -> Snapshot {
    let mut startup = phase("startup", &[], "steps", PhaseStatus::Succeeded);
    startup.message = Some("the startup before it ended well".into());
    let mut queue = phase("queue", &["startup"], "records", PhaseStatus::Succeeded);
    (queue.done, queue.total) = (1_000_000, Some(1_000_000));
    queue.message = Some("10,000 jobs from snapshot and 1,204 records".into());
    let mut locks = phase("locks", &["queue"], "locks", PhaseStatus::Running);
    locks.attempts = 2;
    locks.message = Some("cannot read the locks: disk asleep; next try in 2 s".into());
    let mut jobs = phase("jobs", &["queue"], "jobs", PhaseStatus::Running);
    (jobs.done, jobs.total) = (37, Some(120));
    jobs.findings = vec![
        finding(Severity::Info, "job:build-17", "Re-attached to process 812."),
        finding(Severity::Warning, "job:build-18", "Its heartbeat is from the future."),
    ];
    jobs.findings_total = 2;
    snapshot(
        RecoveryOutcome::Running,
        vec![startup, queue, locks, jobs, phase("cleanup", &["locks", "jobs"], "jobs", PhaseStatus::Pending)],
    )
}

fn degraded() -> Snapshot {
    let mut all = running();
    all.outcome = RecoveryOutcome::Degraded;
    all.phases_done = 5;
    all.phases[2].status = PhaseStatus::Degraded;
    all.phases[2].message = Some("3 locks, 1 unavailable".into());
    all.phases[2].degraded_resources =
        vec![DegradedResource { object: "lock:web".into(), why: "its metadata is damaged".into() }];
    all.phases[2].findings = vec![finding(
        Severity::Error,
        "lock:web",
        "The lock's metadata is damaged and in quarantine; the repository stays closed.",
    )];
    all.phases[2].findings_total = 1;
    all.phases[3].status = PhaseStatus::Succeeded;
    all.phases[3].done = 120;
    all.phases[4].status = PhaseStatus::Skipped;
    all.phases[4].message = Some("skipped by uid:0 root: it hangs".into());
    all
}

fn failed() -> Snapshot {
    let mut queue = phase("queue", &["startup"], "records", PhaseStatus::Failed);
    (queue.done, queue.total, queue.attempts) = (81, Some(4_000), 4);
    queue.message = Some("cannot read /var/lib/recoveryctl/queue/log: Input/output error".into());
    queue.findings = vec![finding(
        Severity::Critical,
        "phase:queue",
        "Phase queue of the recovery failed: cannot read /var/lib/recoveryctl/queue/log: Input/output error.",
    )];
    queue.findings_total = 1;
    snapshot(
        RecoveryOutcome::Failed,
        vec![
            phase("startup", &[], "steps", PhaseStatus::Succeeded),
            queue,
            phase("locks", &["queue"], "locks", PhaseStatus::Blocked),
            phase("jobs", &["queue"], "jobs", PhaseStatus::Blocked),
        ],
    )
}

/// Names and messages that are long, wide, and full of what a terminal would obey.
fn hostile() -> Snapshot {
    let mut evil = phase("evil\x1b[2J\nphase", &["\x1b]0;title\x07"], "\tthings", PhaseStatus::Running);
    (evil.done, evil.total) = (u64::MAX - 2, Some(u64::MAX - 1));
    evil.message = Some(format!("\x1b[31m{}\u{202e}\u{9b}1m\r\n", "very long ".repeat(50)));
    evil.findings = vec![finding(Severity::Error, "job:\x07", &"見つかった ".repeat(40))];
    evil.findings_total = 1_000_000;
    let mut wide = phase("日本語の非常に長い段階の名前です", &[], "個", PhaseStatus::Degraded);
    (wide.done, wide.total) = (9, Some(3));
    wide.message = Some("👩‍👩‍👧‍👦 e\u{301} 段階".into());
    wide.degraded_resources = (0..40)
        .map(|i| DegradedResource { object: format!("lock:倉庫/{i}\n"), why: "\x1b[8mhidden".into() })
        .collect();
    let mut phases = vec![evil, wide];
    let names: Vec<String> = (0..30).map(|i| format!("phase-{i}")).collect();
    phases.extend(names.iter().map(|name| phase(name, &[], "items", PhaseStatus::Pending)));
    let mut all = snapshot(RecoveryOutcome::Running, phases);
    all.purpose = "dae\x1bmon".into();
    all
}
